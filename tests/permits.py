"""Permits for tests that write to a block directly: real ones, of a real run in a real ledger."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from roundsman import envelope
from roundsman.envelope import Identity, Run
from roundsman.permits import Permit, Wish, ask_for
from roundsman.rules.budget import Budget
from roundsman.store import Ledger, approvals, open_ledger
from roundsman.store.artifacts import ArtifactStore
from roundsman.store.records import ActionRow
from tests.store.words import ORG, begin

AGENT = "seed_sample"
PLAN = ("send_message",)
_occasions = count()


def granted(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a block's mutating method by a permit that policy has allowed."""
    return method(*args, permit=permit_for(method, *args, **kwargs), **kwargs)


def permit_for(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Permit:
    """A permit of its own for one such call."""
    number = next(_occasions)
    # What a test left unknown holds its target; the next write of the tests is another's.
    wish = Wish(target=f"tests/{number}", occasion={"n": number}, context={"sandbox": True})
    with run_in(ledger_of_tests()):
        return ask_for(method, wish, *args, **kwargs)


def row_of(permit: Permit) -> ActionRow:
    """Such a permit as the ledger has it now."""
    return approvals.get_action(ledger_of_tests(), ORG, permit.key)


@contextmanager
def run_in(ledger: Ledger, *, dry_run: bool = False, ops: int | None = None) -> Iterator[Run]:
    """An open run of this ledger that is current here; live ones may act."""
    params = {"dry_run": dry_run, "allow_actions": not dry_run}
    run_id = begin(ledger, dry_run=dry_run, params=params)
    who = Identity(run_id, ORG, AGENT, PLAN, dry_run, may_act=not dry_run, asked_by="ada")
    run = Run(who, ledger, ArtifactStore(Path(tempfile.gettempdir()), ORG))
    run.attempt = 1
    run.give(Budget(ops=ops), 0.0)
    token = envelope._current.set(run)
    try:
        yield run
    finally:
        envelope._current.reset(token)


@cache
def ledger_of_tests() -> Ledger:
    """One for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="roundsman-permits-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return open_ledger(f"sqlite:///{folder}/ledger.db", folder / "chain.key", folder / "anchors")
