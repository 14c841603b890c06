"""Which figures hold, and which fall short: run every program of this folder, or one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# The triage programs need labelled mail, which no clone has: they are run by name of module.
NOT_PROGRAMS = {
    "__init__",
    "__main__",
    "decided",
    "figures",
    "lives",
    "requests",
    "streams",
    "triage",
    "triage_fit",
}


def main(names: list[str]) -> int:
    """Run the programs named (all by default); 1 when a figure falls short."""
    known = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_PROGRAMS)
    if unknown := set(names) - set(known):
        print(f"no bench called {sorted(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in names or known
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
    ]
    if failed:
        print(f"fell short: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
