"""Is a build of the transformation wanted, may it be asked for now, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from roundsman.rules.build import BlastRadius, BuildResult
from roundsman.rules.help import Help
from roundsman.rules.need import (
    Need,
    Seen,
    Standing,
    needs,
    not_for_build,
    not_from_source,
    standing,
)
from roundsman.rules.permit import State
from roundsman.rules.reasons import Reason

Mode = Literal["dry_run", "actions_off", "live"]
Word = Literal[
    "not_needed",
    "parity_bad",
    "freshness_bad",
    "dbt_bad",
    "dry_run",
    "actions_off",
    "no_transform",
    "cooling_down",
    "window_full",
    "needs_person",
    "waiting",
    "denied",
    "running",
    "failed",
    "unknown",
]
BEGUN: frozenset[State] = frozenset({"attempting", "done", "failed", "unknown"})
ENDED: frozenset[State] = frozenset({"done", "failed"})
# The clocks of dbt's machine and of the ledger's may be so far apart.
CLOCKS_APART = timedelta(minutes=1)
WORD_OF: dict[State, Word] = {
    "waiting": "waiting",
    "denied": "denied",
    "expired": "denied",
    "attempting": "running",
    "allowed": "failed",
    "failed": "failed",
    "unknown": "unknown",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Record):
    """How far a build may reach without a person, and how often one target may be built."""

    blast_radius_max: int = Field(
        default=20, ge=0, description="Nodes built with it; more ask a person"
    )
    per_window: int = Field(default=3, ge=1, description="Builds of one target in a window")
    window_hours: int = Field(default=24, ge=1, description="How long that window is")
    cool_down_minutes: int = Field(default=30, ge=0, description="Between two builds of one target")
    unhelpful_max: int = Field(
        default=2, ge=1, description="Builds in a row without help, after which a person is needed"
    )

    def for_permit(self) -> dict[str, Any]:
        """What a permit's claim enforces, however many rounds ask at once."""
        return {"per_window": self.per_window, "window_seconds": self.window_hours * 3_600}


class Occasion(_Record):
    """What makes this build another one than the last: the build found wanting, and the try."""

    watermark: str | None
    attempt: int


class Past(_Record):
    """An earlier build of the target; `at` is when it was settled, or else when it was begun.

    `helped` is None where that is not known. `took_place` is false where a person found that it
    never was; `undone_by` says who took it back.
    """

    action_id: str
    state: State
    at: datetime
    helped: bool | None = None
    occasion: Occasion | None = None
    took_place: bool = True
    undone_by: str | None = None


class Remediation(_Record):
    """The remediation block of the report; `needed_for` says what asks for a build.

    `occasion` is there when a build may be asked for, in a dry run too.
    """

    triggered: bool = False
    reason: Word
    needed_for: tuple[Need, ...] = ()
    said: str = ""
    reasons: tuple[Reason, ...] = ()
    occasion: Occasion | None = None
    action_id: str | None = None
    state: State | None = None
    blast_radius: BlastRadius | None = None
    build: BuildResult | None = None
    helped: bool | None = None
    help: Help | None = None
    before: Standing | None = None
    after: Standing | None = None


class _Refusal(NamedTuple):
    word: Word
    reason: Reason


def judge_remediation(
    seen: Seen, mode: Mode, past: Sequence[Past], limits: Limits, now: datetime
) -> Remediation:
    """A build is asked for by rows that differ, by stale rows and by a bad or old last run.

    `past` are the target's earlier builds, newest first. What no build heals asks for none: a
    stale source, a failed test, a stale search.
    """
    wanted = needs(seen)
    beside = tuple(not_for_build(seen))
    if not wanted:
        told = ("nothing that was seen asks for a build", *(reason.quote for reason in beside))
        return Remediation(reason="not_needed", said="; ".join(told), reasons=beside)
    asked: dict[str, Any] = {"needed_for": tuple(wanted), "before": standing(seen)}
    refusal = _refusal(seen, past, limits, now)
    if mode == "live" and refusal is None:
        asked |= {"reason": next(iter(wanted)), "said": _wish(wanted)}
    elif mode == "live" and refusal:
        asked |= {"reason": refusal.word, "said": refusal.reason.quote}
    else:
        asked |= {"reason": mode, "said": _not_live(mode, wanted, refusal)}
    asked["reasons"] = (*wanted.values(), *([refusal.reason] if refusal else ()), *beside)
    return Remediation(**asked, occasion=None if refusal else _occasion(seen, past))


def judge_radius(radius: BlastRadius, limits: Limits) -> Reason:
    """How far a build would reach, against how far it may without a person."""
    most = limits.blast_radius_max
    far = "more than" if radius.size > most else "at most"
    quote = f"the build reaches {radius.size} nodes, {far} the {most} that need no person"
    return Reason(signal="blast_radius", value=radius.size, threshold=most, quote=quote)


def judge_undone(seen: Seen, past: Sequence[Past]) -> Reason | None:
    """Why a person is asked: somebody took the last build back, and nobody has built since."""
    last = next((b for b in past if b.state in ENDED and b.took_place), None)
    if last is None or last.undone_by is None or _built_since(seen, last.at):
        return None
    quote = (
        f"build '{last.action_id[:8]}' of {_clock(last.at)} was undone by {last.undone_by}: "
        "whether it is wanted again is for a person to say"
    )
    return Reason(signal="undone", value=last.undone_by, quote=quote)


def leave_to_source(judged: Remediation, seen: Seen, table: str) -> Remediation:
    """The block where the table is a source of the project: only what else asks for a build."""
    left, beside = not_from_source(needs(seen), table)
    reasons = (*left.values(), *beside, *not_for_build(seen))
    if not left:
        said = "; ".join(reason.quote for reason in beside)
        told = {"reason": "not_needed", "needed_for": (), "occasion": None, "said": said}
        return judged.model_copy(update={**told, "reasons": reasons})
    told = {"needed_for": tuple(left), "said": _wish(left), "reasons": reasons}
    if judged.reason in judged.needed_for:
        told["reason"] = next(iter(left))
    return judged.model_copy(update=told)


def tell_permit(asked: Remediation, action_id: str, state: State, said: str) -> Remediation:
    """The block once a permit was asked for: what became of that is what is told."""
    done = state == "done"
    told = {
        "action_id": action_id,
        "state": state,
        "triggered": state in BEGUN - {"attempting"},
        "reason": asked.needed_for[0] if done else WORD_OF[state],
        "said": said or asked.said,
    }
    return asked.model_copy(update=told)


def _wish(wanted: dict[Need, Reason]) -> str:
    return f"a build is wanted: {'; '.join(reason.quote for reason in wanted.values())}"


def _not_live(mode: Mode, wanted: dict[Need, Reason], refusal: _Refusal | None) -> str:
    why = "actions are off (allow_actions)" if mode == "actions_off" else "this is a dry run"
    live = refusal.reason.quote if refusal else _wish(wanted)
    return f"nothing is done, because {why}; otherwise: {live}"


def _refusal(seen: Seen, past: Sequence[Past], limits: Limits, now: datetime) -> _Refusal | None:
    """Why no build may be asked for, the reason that lasts longest first."""
    if seen.pulse is None or not seen.pulse.read:
        said = "could not be read" if seen.pulse else "is not named (transform)"
        quote = f"a build is wanted, but the dbt project {said}"
        return _Refusal("no_transform", Reason(signal="no_transform", value=None, quote=quote))
    # Asked for again, a permit whose answer was lost finds out what became of itself.
    again = ("unknown", _occasion(seen, past))
    took_place = [b for b in past if b.state in BEGUN and b.took_place]
    begun = [b for b in took_place if (b.state, b.occasion) != again]
    return (
        _in_use(seen, begun)
        or _unhelpful(seen, begun, limits)
        or _window_full(begun, limits, now)
        or _cooling_down(begun, limits, now)
    )


def _in_use(seen: Seen, begun: Sequence[Past]) -> _Refusal | None:
    for build in begun:
        name = f"build '{build.action_id[:8]}' of {_clock(build.at)}"
        if build.state == "attempting":
            quote = f"{name} is still at it: one at a time"
            return _Refusal("running", Reason(signal="running", value=build.action_id, quote=quote))
        if build.state == "unknown" and not _built_since(seen, build.at):
            quote = f"{name} lost its answer: say what became of it (roundsman actions settle)"
            return _Refusal("unknown", Reason(signal="lost", value=build.action_id, quote=quote))
    return None


def _unhelpful(seen: Seen, begun: Sequence[Past], limits: Limits) -> _Refusal | None:
    ended = [build for build in begun if build.state in ENDED]
    if not ended or _built_since(seen, ended[0].at):
        return None
    count = 0
    for build in ended:
        if build.helped:
            break
        count += build.helped is False or build.state == "failed"
    if count < limits.unhelpful_max:
        return None
    quote = (
        f"{count} builds in a row did not help, the last at {_clock(ended[0].at)}, after "
        f"{limits.unhelpful_max} a person is needed: mend the cause and build by hand"
    )
    reason = Reason(signal="unhelpful", value=count, threshold=limits.unhelpful_max, quote=quote)
    return _Refusal("needs_person", reason)


def _window_full(begun: Sequence[Past], limits: Limits, now: datetime) -> _Refusal | None:
    window = timedelta(hours=limits.window_hours)
    recent = [build for build in begun if now - build.at < window]
    if len(recent) < limits.per_window:
        return None
    free = recent[limits.per_window - 1].at + window
    quote = (
        f"{len(recent)} builds in {limits.window_hours} hours, {limits.per_window} are allowed: "
        f"the next one after {_clock(free)}"
    )
    reason = Reason(
        signal="window_full", value=len(recent), threshold=limits.per_window, quote=quote
    )
    return _Refusal("window_full", reason)


def _cooling_down(begun: Sequence[Past], limits: Limits, now: datetime) -> _Refusal | None:
    # What was undone is asked of a person next, who need not wait for that question.
    ended = [build for build in begun if build.state in ENDED and build.undone_by is None]
    if not ended or now - ended[0].at >= timedelta(minutes=limits.cool_down_minutes):
        return None
    minutes = max(round((now - ended[0].at) / timedelta(minutes=1), 1), 0.0)
    quote = (
        f"the last build ended {minutes} minutes ago, {limits.cool_down_minutes} must pass "
        "before the next"
    )
    reason = Reason(
        signal="cooling_down", value=minutes, threshold=limits.cool_down_minutes, quote=quote
    )
    return _Refusal("cooling_down", reason)


def _built_since(seen: Seen, at: datetime) -> bool:
    """Whether somebody else built after that moment; a build's own results are older than it."""
    ran_at = seen.pulse.ran_at if seen.pulse else None
    return ran_at is not None and ran_at > at + CLOCKS_APART


def _occasion(seen: Seen, past: Sequence[Past]) -> Occasion:
    """The last build found wanting, and how often we tried since: the same until a build ends."""
    ran_at = seen.pulse.ran_at if seen.pulse else None
    tried = [build for build in past if build.state in ENDED]
    since = [build for build in tried if ran_at is None or build.at + CLOCKS_APART >= ran_at]
    return Occasion(watermark=ran_at.isoformat() if ran_at else None, attempt=len(since) + 1)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
