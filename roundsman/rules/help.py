"""Whether a build helped: what asked for it, seen again afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.need import Need, Seen, bad_run, needs, rows_apart
from roundsman.rules.reasons import Reason

Outcome = Literal["helped", "partly", "not", "unknown"]
Healing = Literal["gone", "less", "same", "unseen"]
SAID: dict[Healing, str] = {
    "gone": "is over",
    "less": "is less than it was",
    "same": "is as it was",
    "unseen": "could not be seen afterwards",
}


class Help(BaseModel):
    """Whether a build helped; `helped` counts a build that helped in part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    reasons: tuple[Reason, ...]

    @property
    def helped(self) -> bool | None:
        """None where it could not be seen."""
        return None if self.outcome == "unknown" else self.outcome != "not"


def judge_help(before: Seen, after: Seen) -> Help:
    """helped when all that asked for the build is gone, and nothing new asks for one.

    partly when some of it is gone or less, unknown when a check that asked could not be seen
    afterwards: a look that failed says nothing about the build.
    """
    was, left = needs(before), needs(after)
    found: dict[Need, Healing] = {need: _healing(need, before, after) for need in was}
    reasons = tuple(_help_reason(need, how, was[need]) for need, how in found.items())
    fresh = {need: reason for need, reason in left.items() if need not in was}
    reasons += tuple(
        Reason(signal=need, value="new", quote=f"new since the build: {reason.quote}")
        for need, reason in fresh.items()
    )
    outcome: Outcome = "not"
    if "unseen" in found.values():
        outcome = "unknown"
    elif not fresh and set(found.values()) <= {"gone"}:
        outcome = "helped"
    elif {"gone", "less"} & set(found.values()):
        outcome = "partly"
    return Help(outcome=outcome, reasons=reasons)


def _healing(need: Need, before: Seen, after: Seen) -> Healing:
    if need == "parity_bad":
        if after.parity.status == "unknown":
            return "unseen"
        less = rows_apart(after.parity) < rows_apart(before.parity)
    elif need == "freshness_bad":
        was, now = _warehouse_time(before), _warehouse_time(after)
        if now is None:
            return "unseen"
        less = was is not None and now > was
    else:
        if after.pulse is None or not after.pulse.read:
            return "unseen"
        less = len(list(bad_run(after.pulse))) < len(list(bad_run(before.pulse)))
    if need not in needs(after):
        return "gone"
    return "less" if less else "same"


def _warehouse_time(seen: Seen) -> datetime | None:
    return next((side.at for side in seen.freshness.sides if side.side == "warehouse"), None)


def _help_reason(need: Need, how: Healing, was: Reason) -> Reason:
    return Reason(signal=need, value=how, quote=f"{SAID[how]}: {was.quote}")
