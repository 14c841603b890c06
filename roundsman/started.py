"""A run's process as whoever started it sees it: what it is told, and what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any

from roundsman.errors import Mistake, Unready

if TYPE_CHECKING:
    from roundsman.catalog import Order

# How much of what a dead child said is shown.
ERRORS_CHARACTERS_MAX = 4_000
# After its last word a child only tidies up; this is how long one waits for it.
END_SECONDS = 30
# A child may first have to bring a Prefect server of its own, which takes at most two minutes.
FIRST_WORD_SECONDS_MAX = 180.0


class Started:
    """A child process that carries out one order, and what it says about it."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        self._process = process
        self._said = said
        self._last: dict[str, Any] | None = None

    def send(self, order: Order) -> Started:
        """Hand the order over; the child then reads no more."""
        facts = order._asdict() | {"params": dict(order.params)}
        if order.asked_by is not None:
            facts["asked_by"] = order.asked_by.model_dump(mode="json")
        if self._process.stdin is not None:
            try:
                with self._bounded():
                    self._process.stdin.write(json.dumps(facts, default=str) + "\n")
                    self._process.stdin.close()
            except BrokenPipeError as error:
                raise self._died() from error
        return self

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the child is there still."""
        return self._process.poll() is None

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the child says, as it says it.

        `{"refused": {run_id, type, message, ...}}`; or `{"run_id", "queued"}`, then
        `{"closed": status, "run_id", "verdict", "error"}`, or `{"elsewhere", "run_id", "status"}`
        where a worker or an earlier start has it. Raises Unready or Mistake where it cannot even
        keep a record, Unready where it dies without a last word.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._last = json.loads(line)
            self._raise_error()
            yield dict(self._last or {})
            if self.is_over:
                return
        if not self.is_over:
            raise self._died()

    @property
    def is_over(self) -> bool:
        """Whether the last word was said: refused, closed, or in another's hands."""
        last = self._last or {}
        return any(word in last for word in ("refused", "closed", "elsewhere"))

    def queued(self) -> dict[str, Any]:
        """Wait until the run stands in the ledger, or was refused; a silent child is killed."""
        with self._bounded():
            for message in self.messages():
                return message
        raise self._died()

    def wait(self) -> dict[str, Any]:
        """Wait for the last word and give it."""
        for _ in self.messages():
            continue
        return dict(self._last or {})

    def interrupt(self) -> None:
        """Ask the child to cancel its run, as Ctrl-C does."""
        if self.is_alive:
            self._process.terminate()

    def kill(self) -> None:
        """End a child at once that has no order yet, and so nothing to put away."""
        self._process.kill()

    def end(self) -> int:
        """Wait until the child is gone; it may still tell Prefect how other runs ended."""
        return self._process.wait(END_SECONDS)

    def errors(self) -> str:
        """What the child wrote to standard error so far, its end if it is long."""
        self._said.seek(0)
        return self._said.read()[-ERRORS_CHARACTERS_MAX:]

    def _bounded(self) -> AbstractContextManager[None]:
        """Kill the child if this takes too long; a reader of its pipe then sees the end."""
        # Late, because it loads the standard pools, for which no listing of agents should wait.
        from roundsman.threads import unless_within

        return unless_within(FIRST_WORD_SECONDS_MAX, self._process.kill)

    def _raise_error(self) -> None:
        error = (self._last or {}).get("error")
        if error is None or self.is_over:
            return
        kind = Mistake if error.get("kind") == "Mistake" else Unready
        raise kind(error.get("said", error["message"]), error.get("remedy", ""))

    def _died(self) -> Unready:
        code = self._process.wait()
        lines = [line for line in self.errors().splitlines() if line.strip()]
        return Unready(
            f"the run's process ended with {code}: {lines[-1] if lines else 'it said nothing'}",
            "see 'roundsman history'; ROUNDSMAN_LOG_LEVEL=debug tells more",
        )
