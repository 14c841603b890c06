"""What one attempt at a run may do, and what the ledger is told about it while it works."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from roundsman.budget import Meter, Purse, meter
from roundsman.errors import Cancelled, Fenced, Mistake, RoundsmanError
from roundsman.log import get_logger
from roundsman.metrics import Tally, tally
from roundsman.rules.budget import Budget
from roundsman.settings import Settings, get_settings
from roundsman.store import Ledger, open_ledger
from roundsman.store import runs as ledger_of_runs
from roundsman.store.artifacts import ArtifactStore, prepare
from roundsman.store.records import Note, Spent, StepSkip
from roundsman.threads import Pool

# The thread that holds the lease looks for a wish to cancel, and renews, this often.
CANCEL_POLL_SECONDS = 1.0
RENEW_SECONDS = 10.0
# Without a renewal for so long the lease is lost, whatever hinders us to hear it.
LEASE_SECONDS = 45.0

P = ParamSpec("P")
R = TypeVar("R")
_log = get_logger(__name__, component="envelope")


@cache
def ledger_pool() -> Pool:
    """The one thread through which steps are told, so that they stand in order."""
    return Pool(1, "ledger")


@cache
def step_pool() -> Pool:
    """The bounded threads in which step bodies run."""
    return Pool(get_settings().step_threads, "step")


@cache
def _opened(url: str, key: Path, anchor: Path | None) -> Ledger:
    return open_ledger(url, key, anchor)


def ledger_of(settings: Settings) -> Ledger:
    """The ledger of these settings; opened, and swept, once in a process."""
    return _opened(settings.ledger_url, settings.chain_key, settings.anchor)


class Identity(NamedTuple):
    """Which run of whose, by which agent, in which manner."""

    id: str
    org: str
    agent: str
    plan: tuple[str, ...]
    dry_run: bool
    may_act: bool = False
    round: str | None = None
    asked_by: str = ""
    # Whether a person at a door asked for it, and not a schedule or an event.
    is_persons: bool = False
    action_id: str | None = None


class Run:
    """One attempt at a run: its ledger, its artifacts, its budget, and whether it may go on."""

    def __init__(self, who: Identity, ledger: Ledger, artifacts: ArtifactStore) -> None:
        self.id = who.id
        self.org = who.org
        self.agent = who.agent
        self.plan = who.plan
        self.dry_run = who.dry_run
        self.may_act = who.may_act
        self.round = who.round
        self.asked_by = who.asked_by
        self.is_persons = who.is_persons
        # The approved permit that this run was started for, if any.
        self.action_id = who.action_id
        self.ledger = ledger
        self.artifacts = artifacts
        self.attempt = 0
        self.outer: Run | None = None
        self.purse: Purse
        # Written when the run ends, with its end.
        self.counts = Tally()
        self._steps = 0
        self._told: deque[Future[None]] = deque()
        self._stopped: Cancelled | Fenced | None = None
        self._on_stop: Callable[[], object] | None = None

    def give(self, budget: Budget, earlier_ms: float) -> None:
        """Give the run its budget; a run inside another one spends its root's."""
        root = self.outer.purse.meter if self.outer else self._own_meter(budget, earlier_ms)
        self.purse = Purse(root, self.check_alive)

    def _own_meter(self, budget: Budget, earlier_ms: float) -> Meter:
        def tell(status: dict[str, Any]) -> None:
            self.tell(ledger_of_runs.note, Note(kind="budget_exceeded", payload=status))

        return Meter(budget, self._spend_one, tell, earlier_ms)

    def _spend_one(self) -> Spent:
        return self.fenced(ledger_of_runs.spend_operation)

    # What others are told.

    def tell(
        self,
        write: Callable[Concatenate[Ledger, str, str, int, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]:
        """Write about this attempt in the ledger's thread, after all that was told before."""
        return ledger_pool().submit(self.fenced, write, *args, **kwargs)

    def told(self, telling: Future[None]) -> None:
        """Nobody waits for this one; `check_told` says whether it was written."""
        self._told.append(telling)

    def check_told(self) -> None:
        """Raise what hindered the ledger to hear of the end of an earlier step."""
        while self._told and self._told[0].done():
            self._told.popleft().result()

    def fenced(
        self,
        write: Callable[Concatenate[Ledger, str, str, int, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Write about this attempt now; an attempt that was declared dead stops here."""
        try:
            return write(self.ledger, self.org, self.id, self.attempt, *args, **kwargs)
        except Fenced as error:
            self.stop(error)
            raise

    def write(self, name: str, content: str | bytes) -> Path:
        """Write an artifact: said before and after, so that a torn one can be told."""
        self.check_alive()
        prepared = prepare(content)
        facts = {"path": name, "bytes": prepared.bytes, "sha256": prepared.sha256}
        self.tell(ledger_of_runs.note, Note(kind="artifact_intended", payload=facts)).result()
        with self.artifacts.laid_aside(name, prepared, self.agent) as draft:
            return self.tell(ledger_of_runs.publish, draft).result()

    # Steps.

    def enter_step(self, name: str) -> int:
        """Number the step that is about to begin; one that is not on the card is a Mistake."""
        self.check_alive()
        if name not in self.plan:
            raise Mistake(
                f"step '{name}' is not in the plan of '{self.agent}' ({', '.join(self.plan)})",
                "name it in @agent(plan=...) and run `make cards`",
            )
        index, self._steps = self._steps, self._steps + 1
        return index

    def skip(self, step: str, reason: str) -> None:
        """Note that a planned step is not run, and why."""
        skipped = StepSkip(index=self.enter_step(step), name=step, reason=reason)
        self.tell(ledger_of_runs.skip_step, skipped)

    # Whether to go on.

    def check_alive(self) -> None:
        """Raise Cancelled or Fenced once this run, or one around it, was stopped."""
        if self._stopped:
            raise type(self._stopped)(self._stopped.said, self._stopped.remedy)
        if self.outer:
            self.outer.check_alive()

    @property
    def stopped(self) -> Cancelled | Fenced | None:
        """Why this run must not go on, if so."""
        return self._stopped or (self.outer.stopped if self.outer else None)

    def stop(self, why: Cancelled | Fenced) -> None:
        """Let nothing more happen in this run; may be called from any thread, the first counts."""
        if self._stopped is None:
            self._stopped = why
            if self._on_stop:
                self._on_stop()

    def on_stop(self, act: Callable[[], object] | None) -> None:
        """What to do at the moment of a stop, at once if it is past."""
        self._on_stop = act
        if act and self._stopped:
            act()


class Lease(threading.Thread):
    """Keeps an open run's lease, and hears when somebody wants it cancelled."""

    def __init__(self, run: Run) -> None:
        super().__init__(name=f"lease-{run.id[:8]}", daemon=True)
        self._run = run
        self._done = threading.Event()
        self._renewed = time.monotonic()

    def run(self) -> None:
        """Look and renew until the run is closed, fenced or cancelled."""
        while not self._done.wait(CANCEL_POLL_SECONDS) and not isinstance(
            self._run.stopped, Fenced
        ):
            self._look()

    def end(self) -> None:
        """Stop renewing; the run is closed or will be swept."""
        self._done.set()

    def _look(self) -> None:
        run = self._run
        try:
            if time.monotonic() - self._renewed >= RENEW_SECONDS:
                wanted = run.fenced(ledger_of_runs.renew)
                self._renewed = time.monotonic()
            else:
                wanted = ledger_of_runs.is_cancel_requested(run.ledger, run.org, run.id)
        except Fenced as error:
            _log.error("the run was declared dead", metadata={"run": run.id, "said": str(error)})
        except RoundsmanError as error:
            # Whatever hinders it may pass: a full file table, a fail-over.
            self._bear(error)
        else:
            if wanted:
                run.stop(Cancelled(f"run '{run.id}' was cancelled"))

    def _bear(self, error: RoundsmanError) -> None:
        _log.warning("lease not renewed", metadata={"run": self._run.id, "said": str(error)})
        if time.monotonic() - self._renewed > LEASE_SECONDS:
            self._run.stop(Fenced(f"run '{self._run.id}' could not renew its lease"))


_current: ContextVar[Run | None] = ContextVar("run", default=None)


def current() -> Run:
    """The run that this code works for; a Mistake outside of one."""
    run = _current.get()
    if run is None:
        raise Mistake("no run is open here", "call it from a flow made with @agent")
    return run


def current_or_none() -> Run | None:
    """The run that this code works for, if any."""
    return _current.get()


def enter(run: Run) -> None:
    """Make the run current for all that is called from here on: it pays, and it is counted for."""
    _current.set(run)
    meter.set(run.purse)
    tally.set(run.counts)
