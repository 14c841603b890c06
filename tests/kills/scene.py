"""A small stage on which processes are killed and judged by others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.copies import copy_repository, derive_cards, environment

HOOK = Path(__file__).parent / "hook"
PROCESS_SECONDS = 120
CLI = [sys.executable, "-P", "-c", "from roundsman.cli import main; main()"]

AGENT = '''"""Leaves a line in a file at each step: an agent to be killed."""

from pathlib import Path

from roundsman.agent import AgentParams, Outcome, agent, current, step


class Params(AgentParams):
    """Where the lines go."""

    file: str


def leave_line(file: str, line: str) -> None:
    """Append one line, all at once."""
    with Path(file).open("a") as lines:
        lines.write(line + "\\n")


@step
def leave(file: str, run: str, name: str) -> None:
    """One effect."""
    leave_line(file, f"{run} {name}")


first, second, third = leave.named("first"), leave.named("second"), leave.named("third")


@agent(version="1.0.0", plan=("first", "second", "third"))
async def trace_leaver(params: Params) -> Outcome:
    """Leave three lines."""
    run = current().id
    await first(params.file, run, "first")
    await second(params.file, run, "second")
    await third(params.file, run, "third")
    return Outcome(verdict="healthy", artifacts={})
'''
ROUNDS = """deployments:
  - name: here
    entrypoint: flows.trace_leaver:trace_leaver
    work_pool: {name: kills}
  - name: effects
    entrypoint: flows.effect_leaver:effect_leaver
    work_pool: {name: kills}
"""


class Told(NamedTuple):
    """What a process from outside learns after a kill."""

    statuses: list[str]
    last_steps: list[str | None]
    lines: Counter[str]
    verified: bool
    said: str


class Scene:
    """One copy of the product; each case has a home of its own."""

    def __init__(self, folder: Path, prefect_url: str) -> None:
        self.folder = folder
        self.prefect_url = prefect_url
        self.copy = copy_repository(folder / "copy")
        (self.copy / "flows/trace_leaver.py").write_text(AGENT)
        shutil.copy(Path(__file__).with_name("effect_leaver.py"), self.copy / "flows")
        (self.copy / "prefect.yaml").write_text(ROUNDS)
        derive_cards(self.copy, environment(self.copy, folder / "cards-home"))

    def variables(self, home: Path, kill: str = "", **more: str) -> dict[str, str]:
        """The environment of a process, a victim's if `kill` says where it dies."""
        made = environment(self.copy, home, ROUNDSMAN_PREFECT_API_URL=self.prefect_url, **more)
        if kill:
            made |= {"ROUNDSMAN_TEST_KILL": kill, "PYTHONPATH": f"{HOOK}:{self.copy}"}
        return made

    def roundsman(
        self, home: Path, *words: str, kill: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*CLI, *words],
            env=self.variables(home, kill, **more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PROCESS_SECONDS,
        )

    def run_agent(
        self, home: Path, kill: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """`roundsman run` of the agent that leaves lines."""
        file = f"file={home / 'lines'}"
        return self.roundsman(
            home, "run", "trace_leaver", "--param", file, "--json", kill=kill, **more
        )

    def die_alone(self, home: Path, kill: str) -> None:
        """Let a child without a door die, so that nobody sweeps its run yet."""
        order = {"agent_or_round": "trace_leaver", "params": {"file": str(home / "lines")}}
        subprocess.run(
            [sys.executable, "-P", "-m", "roundsman.child"],
            input=json.dumps(order) + "\n",
            env=self.variables(home, kill) | {"PREFECT_API_URL": self.prefect_url},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PROCESS_SECONDS,
        )

    def judge(self, home: Path, expected: int) -> Told:
        """Ask the ledger by other processes, until as many runs as expected are over."""
        deadline = time.monotonic() + PROCESS_SECONDS
        while True:
            listed = self.roundsman(home, "history", "--json")
            runs: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
            alive = [run for run in runs if run["status"] in ("queued", "running")]
            if (not alive and len(runs) >= expected) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        shown = [
            json.loads(self.roundsman(home, "show", run["run_id"], "--json").stdout) for run in runs
        ]
        audit = self.roundsman(home, "verify-audit", "--json")
        lines = (home / "lines").read_text().splitlines() if (home / "lines").exists() else []
        return Told(
            [run["status"] for run in runs],
            [_last_step(one) for one in shown],
            Counter(lines),
            audit.returncode == 0,
            listed.stderr + audit.stdout + audit.stderr,
        )


def _last_step(shown: dict[str, Any]) -> str | None:
    begun = [one["name"] for one in shown.get("steps", []) if one.get("began_at")]
    return begun[-1] if begun else None
