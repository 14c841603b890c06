"""Whether a failed step is tried again and when, and what a step that gave up leaves: a gap."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from roundsman.errors import BudgetSpent, Misread, Refused, RoundsmanError, Unready

# The waits of C-033; the first try and three more.
DELAYS_SECONDS = (1.0, 2.0, 4.0)
# A wait is lengthened or shortened by at most this share, so that runs do not knock in step.
JITTER_SHARE = 0.2
# An internal error is tried once more (C-034): more of the same call rarely heals it.
INTERNAL_ERROR = 500
INTERNAL_ERROR_RETRIES = 1
# What a flow may go on without; everything else ends the run.
GAP_KINDS = {kind.__name__: kind for kind in (Unready, Refused, Misread, BudgetSpent)}
_STEP = "roundsman_step"


class Retry(NamedTuple):
    """Try again after so many seconds."""

    seconds: float


class Stop(NamedTuple):
    """Do not try again, and why not."""

    reason: str


class Gap(BaseModel):
    """What one step could not tell; a report names it instead of a number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    error_type: str
    said: str
    remedy: str = ""

    def to_error(self) -> RoundsmanError:
        """The error that left the gap, for a run that cannot do without the step after all."""
        error = GAP_KINDS.get(self.error_type, RoundsmanError)(self.said, self.remedy)
        blame(error, self.step)
        return error


def blame(error: BaseException, step: str) -> None:
    """Remember on the error in which step it was raised; the innermost one counts."""
    if step_of(error) is None:
        setattr(error, _STEP, step)


def step_of(error: BaseException) -> str | None:
    """In which step the error was raised, if in any."""
    return getattr(error, _STEP, None)


def decide(kind: str, attempt: int, status: int | None = None, jitter: float = 0.0) -> Retry | Stop:
    """What to do after try number `attempt` (from 1) failed with an error of `kind`.

    `jitter` is a random number from -1 to 1; `status` the HTTP status where there was one.
    """
    if kind != "Unready":
        return Stop(f"{kind} does not heal by itself")
    allowed = INTERNAL_ERROR_RETRIES if status == INTERNAL_ERROR else len(DELAYS_SECONDS)
    if attempt > allowed:
        return Stop(f"still unready after {attempt} tries")
    return Retry(DELAYS_SECONDS[attempt - 1] * (1 + JITTER_SHARE * jitter))


def leaves_gap(kind: str, of_ledger: bool = False) -> bool:
    """Whether a flow may note the failure and go on; a report must not blame our own store's
    trouble on the data."""
    return kind in GAP_KINDS and not of_ledger
