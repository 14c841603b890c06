"""Findings as they are kept: what a look made of them, what was told, what people said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from roundsman.errors import Mistake
from roundsman.rules import finding as rules
from roundsman.rules.finding import Change, Finding, FindingRules, Look, News, fingerprint
from roundsman.rules.findings import judge_look
from roundsman.rules.health import Severity
from roundsman.store import keyed
from roundsman.store.approvals import Review
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import lock_head
from roundsman.store.finding_table import FINDINGS
from roundsman.store.keyed import Row
from roundsman.store.leases import fence
from roundsman.store.records import Event
from roundsman.store.tables import instant_text

PREFIX_CHARACTERS_MIN = 6
LISTED_MAX = 1_000
LISTED_DEFAULT = 100
NAMED_MAX = 5
SEEN_MAX = 1_000
READ_AT_ONCE = 200

_LIVING = " AND agent = :agent AND {round} AND (state <> 'resolved' OR untold IS NOT NULL)"
_NAMED = " AND fingerprint IN ({marks})"
_PREFIX = " AND fingerprint LIKE :like ORDER BY last_seen_at DESC, fingerprint LIMIT :limit"
_LISTED = " ORDER BY last_seen_at DESC, fingerprint LIMIT :limit"


class Told(NamedTuple):
    """Which news of a finding reached people, and when."""

    fingerprint: str
    event: News
    severity: Severity
    at: datetime


class Wanted(NamedTuple):
    """Which findings to list; empty: all."""

    states: Sequence[str] = ()
    severities: Sequence[str] = ()
    agent: str | None = None
    round: str | None = None
    limit: int = LISTED_DEFAULT


def record_look(
    ledger: Ledger, org: str, attempt: int, look: Look, by: FindingRules
) -> list[Change]:
    """Write down what a run saw; give what became of each finding, and what of it is to be told.

    The same look again changes nothing, and gives again what was not told yet. Raises Fenced, and
    Mistake for more than 1,000 problems at once.
    """
    if len(look.seen) > SEEN_MAX:
        raise Mistake(
            f"a look of run '{look.run_id}' saw {len(look.seen):,} problems, {SEEN_MAX:,} are kept",
            "put those together that have one cause",
        )
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, look.run_id, attempt)
        # Nobody else judges between our reading and our writing.
        lock_head(connection, ledger, org)
        changes = judge_look(_known(connection, ledger, org, look), look, by)
        for change in changes:
            kind = f"finding_{'seen' if change.change == 'reminder' else change.change}"
            event = Event(look.run_id, attempt, kind, {}, at)
            _write(connection, ledger, org, event, (change.before, change.after))
    return changes


def mark_told(ledger: Ledger, org: str, run_id: str, attempt: int, told: Told) -> None:
    """Write down that people were told; an older message than the last one changes nothing.

    Raises Fenced.
    """
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        before = _must_read(connection, ledger, org, told.fingerprint)
        if before.told_at is not None and told.at <= before.told_at:
            return
        is_all = before.untold in (told.event, None)
        changes = {
            "told_event": told.event,
            "told_severity": told.severity,
            "told_at": told.at,
            "told_run": run_id,
            "untold": None if is_all else before.untold,
            "why_silent": None if is_all else before.why_silent,
        }
        event = Event(run_id, attempt, "finding_told", {}, at)
        after = before.model_copy(update=changes)
        _write(connection, ledger, org, event, (before, after))


def list_findings(ledger: Ledger, org: str, wanted: Wanted | None = None) -> list[Finding]:
    """Return findings, the latest seen first, at most 1,000."""
    wanted = wanted or Wanted()
    condition, values = "", dict[str, Any]()
    for column, names in (("state", wanted.states), ("severity", wanted.severities)):
        if names:
            marks, more = _marks(column, names)
            condition += f" AND {column} IN ({marks})"
            values |= more
    for column in ("agent", "round"):
        if getattr(wanted, column) is not None:
            condition += f" AND {column} = :{column}"
            values[column] = getattr(wanted, column)
    values["limit"] = min(wanted.limit, LISTED_MAX)
    with ledger.reading() as connection:
        return list(_where(connection, ledger, org, (condition + _LISTED, values)))


def get_finding(ledger: Ledger, org: str, key: str) -> Finding:
    """Return one finding by its fingerprint or the first six or more characters of it.

    Raises Mistake, which names some that there are, where it is none of this org or several.
    """
    if len(key) < PREFIX_CHARACTERS_MIN or not key.isalnum():
        said = f"finding '{key}' is too short a name"
        least = f"give {PREFIX_CHARACTERS_MIN} or more characters"
        raise Mistake(said, f"{least}; {_some(ledger, org)}")
    values = {"like": f"{key.lower()}%", "limit": NAMED_MAX}
    with ledger.reading() as connection:
        found = list(_where(connection, ledger, org, (_PREFIX, values)))
    if not found:
        raise Mistake(f"finding '{key}' is not in the ledger", _some(ledger, org))
    if len(found) > 1:
        names = ", ".join(item.fingerprint for item in found)
        raise Mistake(f"finding '{key}' could be any of {names}", "give more characters")
    return found[0]


def acknowledge(ledger: Ledger, org: str, key: str, review: Review) -> Finding:
    """Take an open finding on: no more reminders until it worsens. Raises Mistake otherwise."""

    def take_on(before: Finding, at: datetime) -> Finding:
        return rules.acknowledge(before, review.who, review.note, at)

    return _decide(ledger, org, key, ("finding_acknowledged", take_on))


def mute(ledger: Ledger, org: str, key: str, until: datetime, review: Review) -> Finding:
    """Let nobody hear of a finding until a time. Raises Mistake for one past or too far away."""

    def silence(before: Finding, at: datetime) -> Finding:
        return rules.mute(before, until, review, at)

    return _decide(ledger, org, key, ("finding_muted", silence))


def unmute(ledger: Ledger, org: str, key: str, review: Review) -> Finding:
    """Let people hear of a finding again, at the next look. Raises Mistake unless it is muted."""
    facts = {"who": review.who, "note": review.note}
    return _decide(ledger, org, key, ("finding_unmuted", rules.unmute), facts)


def _decide(
    ledger: Ledger,
    org: str,
    key: str,
    told: tuple[str, Callable[[Finding, datetime], Finding]],
    facts: Row | None = None,
) -> Finding:
    kind, decide = told
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        before, at = _must_read(connection, ledger, org, key), ledger.now(connection)
        after = decide(before, datetime.fromisoformat(at))
        event = Event(before.last_run, 0, kind, facts or {}, at)
        _write(connection, ledger, org, event, (before, after))
        return _must_read(connection, ledger, org, key)


def _write(
    connection: Connection,
    ledger: Ledger,
    org: str,
    event: Event,
    pair: tuple[Finding | None, Finding],
) -> None:
    """Write and chain what differs, if anything does."""
    before, after = pair
    old = {} if before is None else _as_row(before)
    changes = {name: value for name, value in _as_row(after).items() if old.get(name, ...) != value}
    if changes:
        # So that an event can be read without its row.
        facts = {"about": f"{after.kind} of {after.subject}", **event.payload}
        change = keyed.Change(after.fingerprint, changes, facts)
        keyed.enter(connection, ledger, org, event, (FINDINGS, change))


def _as_row(finding: Finding) -> Row:
    row = finding.model_dump(exclude={FINDINGS.key})
    times = {name: instant_text(row[name]) for name in FINDINGS.times if row[name] is not None}
    return row | times | {name: list(row[name]) for name in FINDINGS.documents}


def _known(connection: Connection, ledger: Ledger, org: str, look: Look) -> list[Finding]:
    """What a look may change: what lives or is untold in its round, and what it sees again."""
    values = {"agent": look.agent} | ({} if look.round is None else {"round": look.round})
    of_round = "round IS NULL" if look.round is None else "round = :round"
    living = _where(connection, ledger, org, (_LIVING.replace("{round}", of_round), values))
    known = {item.fingerprint: item for item in living}
    seen = {fingerprint(look.agent, look.round, item.kind, item.subject) for item in look.seen}
    missing = sorted(seen - known.keys())
    for start in range(0, len(missing), READ_AT_ONCE):
        marks, values = _marks("key", missing[start : start + READ_AT_ONCE])
        condition = _NAMED.replace("{marks}", marks)
        for item in _where(connection, ledger, org, (condition, values)):
            known[item.fingerprint] = item
    return list(known.values())


def _where(
    connection: Connection, ledger: Ledger, org: str, where: tuple[str, Row]
) -> Iterator[Finding]:
    condition, values = where
    statement = f"{FINDINGS.select}{condition}"
    for found in ledger.execute(connection, statement, {"org": org, **values}).all():
        yield Finding.model_validate(FINDINGS.as_row(found))


def _must_read(connection: Connection, ledger: Ledger, org: str, key: str) -> Finding:
    row = keyed.read_row(connection, ledger, org, FINDINGS, key)
    if row is None:
        raise Mistake(f"finding '{key}' is not in the ledger of org '{org}'")
    return Finding.model_validate(row)


def _marks(name: str, values: Sequence[str]) -> tuple[str, Row]:
    marks = {f"{name}_{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{mark}" for mark in marks), marks


def _some(ledger: Ledger, org: str) -> str:
    found = list_findings(ledger, org, Wanted(limit=NAMED_MAX))
    names = ", ".join(f"{item.fingerprint} ({item.kind} of {item.subject})" for item in found)
    return f"there are {names}" if names else "there are none yet"
