"""The problems that rounds found, and what people say about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, ConfigDict, Field

from roundsman.api.access import Caller, Reader, TheHouse, Writer
from roundsman.api.problems import answered, documented, example
from roundsman.api.words import Body, Limit, Note, Text, Word
from roundsman.errors import Mistake
from roundsman.rules.finding import MUTE_DAYS_MAX, Finding, State
from roundsman.rules.health import Severity
from roundsman.store import Ledger
from roundsman.store import findings as kept
from roundsman.store.approvals import Review

LISTED_DEFAULT = 50

_FINDING = {
    "fingerprint": "3f0a5b7c9d1e2f30",
    "agent": "warehouse_health",
    "round": "emails-prod",
    "kind": "parity",
    "subject": "analytics.emails",
    "severity": "high",
    "said": "3 of 7 days differ by more than 5 %",
    "state": "open",
    "opened_at": "2025-10-17T10:30:00Z",
    "times_seen": 3,
}
_KNOWN = _FINDING | {"state": "acknowledged", "acknowledged_by": "ann@example.org"}
_MUTED = _FINDING | {"muted_until": "2025-10-18T10:30:00Z", "muted_by": "ann@example.org"}
_DECIDED = documented(401, 403, 404, 409, 415, 422)

router = APIRouter(prefix="/findings", tags=["findings"])


class Wanted(Body):
    """Which findings: those that are not resolved, unless states are named or all are wanted."""

    state: list[State] = Field(default=["open", "acknowledged"], max_length=3)
    everything: bool = Field(default=False, description="In every state")
    severity: list[Severity] = Field(default=[], max_length=4)
    agent: Word | None = None
    round: Word | None = None
    limit: Limit = LISTED_DEFAULT


class Mute(Body):
    """For how long nobody is to hear of a finding: `until` a time, or for so many `hours`."""

    model_config = ConfigDict(json_schema_extra={"example": {"hours": 4, "reason": "migration"}})

    until: AwareDatetime | None = None
    hours: float | None = Field(default=None, gt=0, le=MUTE_DAYS_MAX * 24)
    reason: Text | None = None


@router.get("", responses=example({"findings": [_FINDING]}) | documented(401, 403, 422))
def list_findings(
    caller: Reader, house: TheHouse, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """List findings, the latest seen first."""
    states = () if wanted.everything else tuple(wanted.state)
    severities = tuple(wanted.severity)
    chosen = kept.Wanted(states, severities, wanted.agent, wanted.round, wanted.limit)
    found = kept.list_findings(house.ledger, caller.org, chosen)
    return {"findings": [_document(one) for one in found]}


@router.get("/{fingerprint}", responses=example(_FINDING) | documented(401, 403, 404, 422))
def read_finding(caller: Reader, house: TheHouse, fingerprint: Word) -> dict[str, Any]:
    """Tell everything about one finding."""
    return _document(_find(house.ledger, caller.org, fingerprint))


@router.post("/{fingerprint}/ack", responses=example(_KNOWN) | _DECIDED)
def acknowledge_finding(
    caller: Writer, house: TheHouse, fingerprint: Word, body: Note | None = None
) -> dict[str, Any]:
    """Take a finding on: no reminders any more, unless it worsens."""
    key = _find(house.ledger, caller.org, fingerprint).fingerprint
    review = _review(caller, body.note if body else None)
    with answered(409):
        return _document(kept.acknowledge(house.ledger, caller.org, key, review))


@router.post("/{fingerprint}/mute", responses=example(_MUTED) | _DECIDED)
def mute_finding(caller: Writer, house: TheHouse, fingerprint: Word, body: Mute) -> dict[str, Any]:
    """Let nobody hear of a finding for a time; it is still recorded."""
    end = _end(body, datetime.now(UTC))
    key = _find(house.ledger, caller.org, fingerprint).fingerprint
    review = _review(caller, body.reason)
    return _document(kept.mute(house.ledger, caller.org, key, end, review))


@router.post("/{fingerprint}/unmute", responses=example(_FINDING) | _DECIDED)
def unmute_finding(
    caller: Writer, house: TheHouse, fingerprint: Word, body: Note | None = None
) -> dict[str, Any]:
    """Let people hear of a finding again, at its round's next look."""
    key = _find(house.ledger, caller.org, fingerprint).fingerprint
    review = _review(caller, body.note if body else None)
    with answered(409):
        return _document(kept.unmute(house.ledger, caller.org, key, review))


def _find(ledger: Ledger, org: str, fingerprint: str) -> Finding:
    with answered(404):
        return kept.get_finding(ledger, org, fingerprint)


def _review(caller: Caller, note: str | None) -> Review:
    return Review(caller.name, note)


def _end(body: Mute, now: datetime) -> datetime:
    if (body.until is None) == (body.hours is None):
        raise Mistake("a mute needs to know for how long", "give either 'until' or 'hours'")
    if body.until is None:
        return now + timedelta(hours=body.hours or 0)
    try:
        return body.until.astimezone(UTC)
    except OverflowError as error:
        raise Mistake(f"'until' {body.until} is no time in UTC", "name a nearer one") from error


def _document(finding: Finding) -> dict[str, Any]:
    return finding.model_dump(mode="json")
