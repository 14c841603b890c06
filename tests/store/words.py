"""What the tests of the store say often: a run asked for, opened, lived through, edited behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from roundsman.store import Ledger, runs
from roundsman.store.records import Ask, AskedBy, Closing, Holder, Opening, StepBegin, StepEnd

ORG = "default"
DEADLINE_SECONDS = 30
ROOT = Path(__file__).parents[2]


class Home(NamedTuple):
    """A folder and the address of a ledger."""

    folder: Path
    url: str

    @property
    def key(self) -> Path:
        """The chain's key."""
        return self.folder / "keys" / "chain.key"

    @property
    def anchors(self) -> Path:
        """The file of anchors."""
        return self.folder / "anchors.jsonl"


def ask(**changed: Any) -> Ask:
    """A request for a run."""
    fields: dict[str, Any] = {
        "agent_type": "warehouse_health",
        "objective": "look",
        "plan": ["query", "judge"],
        "params": {"days": 7},
        "asked_by": AskedBy(kind="cli", name="ada"),
    }
    return Ask(**(fields | changed))


def opening(**changed: Any) -> Opening:
    """What an attempt runs with."""
    systems = changed.pop("systems", {"search/local": "abc"})
    return Opening(**ask(**changed).model_dump(), systems=systems)


def queue(ledger: Ledger, org: str = ORG, holder: Holder | None = None, **changed: Any) -> str:
    """Queue a run for this process and return its id."""
    run_id = str(uuid.uuid4())
    runs.queue_run(ledger, org, run_id, ask(**changed), holder or runs.this_holder())
    return run_id


def begin(ledger: Ledger, org: str = ORG, **changed: Any) -> str:
    """Queue and open a run of this process; its attempt is 1."""
    run_id = queue(ledger, org, **changed)
    assert runs.open_attempt(ledger, org, run_id, opening(**changed), runs.this_holder()) == 1
    return run_id


def step(ledger: Ledger, run_id: str, index: int, org: str = ORG, attempt: int = 1) -> None:
    """Run one step well."""
    runs.begin_step(ledger, org, run_id, attempt, StepBegin(index=index, name=f"step_{index}"))
    end = StepEnd(index=index, status="success", seconds=0.25)
    runs.end_step(ledger, org, run_id, attempt, end)


def finish(ledger: Ledger, run_id: str, status: Any = "success", **changed: Any) -> None:
    """Close attempt 1 of a run."""
    closing = Closing(status=status, **{"verdict": "healthy", "artifacts": {"n": 1}} | changed)
    runs.close_run(ledger, ORG, run_id, 1, closing)


def whole_run(ledger: Ledger, count: int = 2, **changed: Any) -> str:
    """One run from its request to its end."""
    run_id = begin(ledger, **changed)
    for index in range(count):
        step(ledger, run_id, index)
    finish(ledger, run_id)
    return run_id


def change(ledger: Ledger, *statements: str) -> None:
    """Edit the database behind the ledger's back."""
    with ledger.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def rows(ledger: Ledger, statement: str) -> list[Any]:
    """Return what a plain statement finds."""
    with ledger.reading() as connection:
        return list(connection.execute(statement))


def child(home: Home, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a real process that runs `code` with `url`, `key`, `anchors` and `arguments`."""
    prelude = (
        "import sys, json\nfrom pathlib import Path\n"
        "from roundsman.store import open_ledger, runs\n"
        "from roundsman.store.records import *\n"
        "from tests.store.words import ask, opening\n"
        "url, key, anchors = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])\n"
        "arguments = sys.argv[4:]\n"
    )
    command = [sys.executable, "-c", prelude + code, home.url, str(home.key), str(home.anchors)]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def said(process: subprocess.Popen[str]) -> Any:
    """Wait for the process and return the JSON on its last line of output."""
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err
    return json.loads(out.strip().splitlines()[-1])


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, or fail after half a minute."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
