"""One step of a run: its tries, its thread, and what the ledger is told before and after."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

from roundsman.envelope import Run, step_pool
from roundsman.errors import BudgetSpent, Cancelled, Fenced, RoundsmanError, Unready
from roundsman.log import get_logger
from roundsman.metrics import STEP_RETRIES_TOTAL, Tally, tally
from roundsman.rules.recovery import Gap, Retry, blame, decide, leaves_gap, step_of
from roundsman.rules.redaction import redact
from roundsman.store import runs as ledger_of_runs
from roundsman.store.records import Note, StepBegin, StepEnd

Ending = Literal["success", "failed", "cancelled", "timed_out"]
# No step is cut off sooner than this, so that what is due in a moment may still arrive.
CUT_SECONDS_MIN = 0.01

_log = get_logger(__name__, component="steps")


class Call:
    """One call of a step. A plain class on purpose: Prefect does not look inside of it."""

    def __init__(
        self, name: str, body: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.body = body
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.error: BaseException | None = None
        self.say: Callable[[str], object] = _log.warning
        self.run: Run | None = None
        self.index = 0
        # What the latest try has counted; the end of the step makes it the run's.
        self._counted = Tally()
        self._begun: Future[None] | None = None
        self._ending = threading.Lock()
        self._has_begun = False
        self._has_ended = False
        self._started = time.monotonic()

    def begin(self, run: Run) -> None:
        """Have the beginning written; the body waits for it in its thread, nobody else does."""
        self.run = run
        self.index = run.enter_step(self.name)
        self._begun = run.tell(
            ledger_of_runs.begin_step, StepBegin(index=self.index, name=self.name)
        )

    async def carry_out(self) -> None:
        """Run the body, again where that may heal; result or error is left on the call."""
        status: Ending = "success"
        try:
            self.result = await self._tries()
        except _NotBegunError as error:
            status, self.error = _ending(error.reason), error.reason
        except asyncio.CancelledError as error:
            status, self.error = "cancelled", error
        except RoundsmanError as error:
            status, self.error = _ending(error), error
        self._end(status, self.error)

    def failed(self, error: Exception) -> None:
        """Take an error that is nobody's intention: a bug in the body."""
        self.error = error
        self._end("failed", error)

    def finish(self) -> Any:
        """Give the result or raise the error. The end is on its way to the ledger: whatever is
        told next, the beginning of the next step above all, stands behind it."""
        if self.error is None:
            return self.result
        raise self.error

    def gap(self, error: RoundsmanError) -> Gap | None:
        """What is left of a step that failed, noted in the ledger; None: the run cannot go on."""
        if not leaves_gap(error.kind, error.of_ledger):
            return None
        facts = redact({"said": error.said, "remedy": error.remedy})
        gap = Gap(step=self.name, error_type=error.kind, **facts)
        if self.run:
            self.run.tell(ledger_of_runs.note, Note(kind="gap", payload=gap.model_dump()))
        return gap

    def _end(self, status: Ending, error: BaseException | None) -> None:
        if error is not None:
            blame(error, self.name)
        # A fenced attempt has no right to write; a step that never began has no end.
        if self.run is None or self._begun is None or isinstance(error, Fenced):
            return
        if self._begun.done() and self._begun.exception():
            return
        with self._ending:
            if self._has_ended:
                return
            self._has_ended = True
        self.run.counts.take(self._counted)
        end = StepEnd(
            index=self.index,
            status=status,
            error=None if error is None else describe(error),
            seconds=round(time.monotonic() - self._started, 6),
        )
        self.run.told(self.run.tell(ledger_of_runs.end_step, end))
        self.run.purse.meter.check()

    async def _tries(self) -> Any:
        tried = 0
        while True:
            tried += 1
            try:
                return await self._try_once()
            except Unready as error:
                verdict = decide(error.kind, tried, error.status, random.uniform(-1, 1))
                if not isinstance(verdict, Retry) or not self._has_time(verdict.seconds):
                    raise
                self._tell_retry(error, tried, verdict.seconds)
                await asyncio.sleep(verdict.seconds)

    async def _try_once(self) -> Any:
        if self.run:
            self.run.check_alive()
        seconds = self.run.purse.meter.step_seconds() if self.run else None
        self._counted, context = Tally(), contextvars.copy_context()
        context.run(tally.set, self._counted)
        work = asyncio.wrap_future(step_pool().submit(self._in_thread, context))
        if seconds is None or self.run is None:
            return await work
        done, _ = await asyncio.wait({work}, timeout=max(CUT_SECONDS_MIN, seconds))
        if not done:
            # The thread goes on until its client's own time-out; nobody listens to it any more.
            work.cancel()
            raise self.run.purse.meter.late(f"step '{self.name}' was cut off")
        return await work

    def _in_thread(self, context: contextvars.Context) -> Any:
        self._await_begun()
        result = context.run(self.body, *self.args, **self.kwargs)
        # Told from here, so that it is written while the loop is still waking up.
        self._end("success", None)
        return result

    def _await_begun(self) -> None:
        """Wait until the beginning is committed; from here, because each change of threads costs
        more than the commit."""
        if self._begun is None or self.run is None:
            return
        try:
            self._begun.result()
            self.run.check_told()
        except RoundsmanError as error:
            raise _NotBegunError(error) from error
        if not self._has_begun:
            self._has_begun, self._started = True, time.monotonic()

    def _has_time(self, seconds: float) -> bool:
        left = self.run.purse.meter.step_seconds() if self.run else None
        return left is None or seconds < left

    def _tell_retry(self, error: Unready, tried: int, seconds: float) -> None:
        said = redact(str(error))
        self.say(f"step '{self.name}' try {tried} failed, again in {seconds:.1f} s: {said}")
        if self.run:
            STEP_RETRIES_TOTAL.labels(agent_type=self.run.agent, step=self.name).inc()
            facts = {"index": self.index, "step": self.name, "tries": tried + 1}
            payload = facts | {"said": said, "seconds": round(seconds, 3)}
            self.run.tell(ledger_of_runs.note, Note(kind="step_retried", payload=payload))


class _NotBegunError(Exception):
    """The ledger could not be told of the step: its body did not run, and trying again is vain."""

    def __init__(self, reason: RoundsmanError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _ending(error: RoundsmanError) -> Ending:
    if isinstance(error, Cancelled | Fenced):
        return "cancelled"
    return "timed_out" if isinstance(error, BudgetSpent) else "failed"


def describe(error: BaseException) -> dict[str, Any]:
    """An error as A-024 has it, without its traceback."""
    kind = error.wire_type if isinstance(error, RoundsmanError) else type(error).__name__
    said = str(redact(str(error))) or kind
    facts: dict[str, Any] = {"type": kind, "message": said, "step": step_of(error)}
    if isinstance(error, RoundsmanError):
        facts |= {
            "kind": error.kind,
            "said": str(redact(error.said)),
            "remedy": str(redact(error.remedy)),
        }
    return facts
