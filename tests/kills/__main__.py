"""`kill -9` at named points: is a run left open, is the record true, is anything twice?"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kills.cases import CASES, Case
from tests.kills.effects import EFFECTS
from tests.kills.play import play
from tests.kills.scene import Scene
from tests.servers.prefect_server import run_server

SIDE_BY_SIDE = 2
ALL = [*CASES, *EFFECTS]


def main() -> int:
    """Play every case; the last line counts."""
    began = time.monotonic()
    wrong: dict[str, list[str]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as folder,
        run_server(Path(folder) / "prefect") as server,
    ):
        # What is prepared for a victim is not to meet the caller's own home.
        os.environ["ROUNDSMAN_HOME"] = str(Path(folder) / "own")
        scene = Scene(Path(folder), server.url)

        def attempt(numbered: tuple[int, Case]) -> tuple[Case, list[str]]:
            number, case = numbered
            return case, play(scene, case, Path(folder) / f"home-{number}")

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for case, complaints in pool.map(attempt, enumerate(ALL)):
                verdict = "BAD" if complaints else "ok "
                sys.stdout.write(f"{verdict} {case.kind}: {case.script}: {case.kill}\n")
                sys.stdout.write("".join(f"      {one}\n" for one in complaints))
                sys.stdout.flush()
                if complaints:
                    wrong[f"{case.script}: {case.kill}"] = complaints
    left = sum("left open" in one for many in wrong.values() for one in many)
    twice = sum("times" in one for many in wrong.values() for one in many)
    sys.stdout.write(f"{time.monotonic() - began:.0f} s, {len(wrong)} not as they must be\n")
    sys.stdout.write(
        f"kills={len(ALL)} kinds={len({case.kind for case in ALL})} open={left} twice={twice}\n"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
