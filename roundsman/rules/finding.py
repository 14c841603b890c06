"""What a finding is, by which rules it lives, and what a person may do with it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from roundsman.errors import Mistake
from roundsman.rules.health import SEVERITIES, Severity
from roundsman.rules.maintenance import Maintenance
from roundsman.rules.reasons import Reason

# Muting is an attribute, not a state: a muted finding lives on, only nobody is told.
State = Literal["open", "acknowledged", "resolved"]
STATES: tuple[State, ...] = ("open", "acknowledged", "resolved")
What = Literal["opened", "reopened", "worsened", "eased", "seen", "good", "resolved", "reminder"]
Untold = Literal["opened", "reopened", "worsened", "resolved"]
News = Literal["opened", "reopened", "worsened", "resolved", "reminder"]

FINGERPRINT_LETTERS = 16
WINDOWS_MAX = 50
MUTE_DAYS_MAX = 366
# The last that people heard was that there is a problem: they must hear of its end.
ALARMS = frozenset({"opened", "reopened", "worsened", "reminder"})


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(_Record):
    """One problem as one look saw it."""

    kind: str
    subject: str
    severity: Severity
    said: str
    reasons: tuple[Reason, ...] = ()


class Look(_Record):
    """What a run saw at one moment, and what it was able to judge.

    `looked` has kinds of problems, and `kind:subject` where only that subject of a kind was looked
    at; nothing else is found gone. `scope` tells runs apart that look at different things under
    one name, for example a hash of their parameters: a run finds gone only what a run of its scope
    had seen. `tells` is false for a run that sends nothing, whatever it finds.
    """

    agent: str
    round: str | None
    run_id: str
    at: AwareDatetime
    seen: tuple[Seen, ...]
    looked: frozenset[str]
    scope: str = ""
    tells: bool = True

    def covers(self, finding: Finding) -> bool:
        """Whether this run could have seen the finding if it were still there."""
        named = {finding.kind, f"{finding.kind}:{finding.subject}"}
        return bool(named & self.looked) and self.scope in finding.scopes


class FindingRules(_Record):
    """How a round's findings live and whom they concern."""

    good_runs: int = Field(
        default=1, ge=1, le=100, description="Runs in a row without it until it is resolved"
    )
    remind_hours: float | None = Field(
        default=None, gt=0, description="Tell again what nobody acknowledged; unset: never"
    )
    owner: str | None = Field(default=None, description="Whose concern it is")
    channel: str | None = Field(
        default=None, description="A channel of systems.yaml; unset: nobody is told"
    )
    windows: tuple[Maintenance, ...] = Field(
        default=(), max_length=WINDOWS_MAX, description="When messages wait"
    )


class Finding(_Record):
    """A judged problem with a life of its own.

    `opened_at` is of the latest opening, `looked_at` of the newest look that counted. `untold` is
    what people still have to hear, `why_silent` what holds it back.
    """

    fingerprint: str
    agent: str
    round: str | None
    kind: str
    subject: str
    severity: Severity
    said: str
    reasons: tuple[Reason, ...] = ()
    state: State
    first_seen_at: datetime
    opened_at: datetime
    opened_run: str
    last_seen_at: datetime
    last_run: str
    times_seen: int = 1
    reopened: int = 0
    looked_at: datetime
    good_runs: int = 0
    good_run: str | None = None
    scopes: tuple[str, ...]
    resolved_at: datetime | None = None
    resolved_run: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    note: str | None = None
    muted_until: datetime | None = None
    muted_by: str | None = None
    mute_reason: str | None = None
    owner: str | None = None
    channel: str | None = None
    untold: Untold | None = None
    why_silent: str | None = None
    told_event: News | None = None
    told_severity: Severity | None = None
    told_at: datetime | None = None
    told_run: str | None = None

    @property
    def source(self) -> str:
        """Agent and round, as everywhere."""
        return f"{self.agent}/{self.round}" if self.round else self.agent

    @property
    def is_heard(self) -> bool:
        """Whether somebody knows that there is a problem, and of no end of it."""
        return self.told_event in ALARMS or self.acknowledged_at is not None

    def is_muted(self, at: datetime) -> bool:
        """Whether a person wanted to hear nothing of it at this time."""
        return self.muted_until is not None and at < self.muted_until


class Change(_Record):
    """What one look made of a finding; `event` is what is to be told of it, if anything."""

    change: What
    before: Finding | None
    after: Finding
    tell: bool = False
    event: News | None = None
    why_silent: str | None = None

    @property
    def occasion(self) -> str:
        """The same whoever tells it and however often; the next message's is another one."""
        told = self.after.told_at
        return f"{self.after.opened_at.isoformat()}, {told.isoformat() if told else 'never told'}"


def fingerprint(agent: str, round: str | None, kind: str, subject: str) -> str:
    """The one name of one problem: 16 hex digits over its length-prefixed parts."""
    parts = (agent, round, kind, subject)
    told = "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:FINGERPRINT_LETTERS]


def is_worse(one: Severity, other: Severity) -> bool:
    """Whether the first severity is above the second."""
    return SEVERITIES.index(one) < SEVERITIES.index(other)


def acknowledge(finding: Finding, who: str, note: str | None, at: datetime) -> Finding:
    """The finding after a person took it on; a Mistake where there is nothing to take on."""
    if finding.state != "open":
        said = f"finding '{finding.fingerprint}' is {finding.state}"
        by = f" by {finding.acknowledged_by}" if finding.state == "acknowledged" else ""
        raise Mistake(f"{said}{by}, not open", "nothing is to be acknowledged")
    known = {"state": "acknowledged", "acknowledged_by": who, "acknowledged_at": at, "note": note}
    return finding.model_copy(update=known | {"untold": None, "why_silent": None})


def mute(finding: Finding, until: datetime, by: tuple[str, str | None], at: datetime) -> Finding:
    """The finding after a person (`by` is who, and why) wanted to hear nothing of it for a time.

    Raises Mistake for a time that is past, or more than 366 days away.
    """
    if not timedelta() < until - at <= timedelta(days=MUTE_DAYS_MAX):
        raise Mistake(
            f"a finding cannot be muted until {until.isoformat()}",
            f"name a time in the future, at most {MUTE_DAYS_MAX} days away",
        )
    who, reason = by
    changes = {"muted_until": until, "muted_by": who, "mute_reason": reason}
    return finding.model_copy(update=changes)


def unmute(finding: Finding, at: datetime) -> Finding:
    """The finding after people wanted to hear of it again; a Mistake unless it is muted."""
    if not finding.is_muted(at):
        raise Mistake(f"finding '{finding.fingerprint}' is not muted")
    return finding.model_copy(update=dict.fromkeys(("muted_until", "muted_by", "mute_reason")))
