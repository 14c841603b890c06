"""Permits as people see them: asked for, approved, denied, expired, settled by hand, halted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from roundsman.errors import Denied, Mistake
from roundsman.store.action_table import ACTIONS, SWITCHES
from roundsman.store.actions import EFFECTS, must_read, refuse_stopped, rows_where, signature
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import lock_head
from roundsman.store.keyed import NO_RUN, Change, Row, enter, read_row
from roundsman.store.records import ActionRow, Event
from roundsman.store.tables import instant_text

PREFIX_CHARACTERS_MIN = 6
LISTED_MAX = 1_000
AMBIGUOUS_SHOWN_MAX = 5
EXPIRED_AT_ONCE_MAX = 1_000
# An approval whose runs keep dying is not tried for ever.
STARTS_MAX = 3
# What a settlement says, and a request that waits again says no more.
SETTLED = ("settled_at", "settled_by", "result")

_ANY = " AND action_id LIKE :like ORDER BY proposed_at DESC LIMIT :limit"
_DUE = (
    "SELECT org_id, action_id FROM actions WHERE (state = 'waiting'"
    " OR (state = 'allowed' AND nonce IS NOT NULL)) AND expires_at < {clock} LIMIT :limit"
)
_APPROVED = (
    " AND state = 'allowed' AND reviewed_by IS NOT NULL AND expires_at > {clock}"
    " AND NOT EXISTS (SELECT 1 FROM agent_audit_log AS l WHERE l.org_id = actions.org_id"
    " AND l.action_id = actions.action_id AND l.status IN ('queued', 'running'))"
    " AND (SELECT count(*) FROM agent_audit_log AS l WHERE l.org_id = actions.org_id"
    " AND l.action_id = actions.action_id AND l.completed_at > actions.reviewed_at) < :starts"
    " ORDER BY reviewed_at LIMIT :limit"
)
_ENDED = (
    "SELECT count(*) FROM actions AS a JOIN agent_audit_log AS l ON l.org_id = a.org_id"
    " AND l.action_id = a.action_id AND l.completed_at > a.reviewed_at"
    " WHERE a.org_id = :org AND a.action_id = :action_id"
)


class NotWaiting(Mistake):
    """A request that cannot be answered so, or not any more."""

    wire_type = "PolicyError"


class Review(NamedTuple):
    """Who decides what about a permit, and why."""

    who: str
    note: str | None = None


class Switch(NamedTuple):
    """Whether all effects of an org are halted, since when, by whom and why."""

    is_on: bool
    who: str
    reason: str
    changed_at: str


class Wanted(NamedTuple):
    """Which permits to list, newest first."""

    states: Sequence[str] = ()
    agent: str | None = None
    run_id: str | None = None
    target: str | None = None
    was_asked: bool = False
    limit: int = 100


def list_actions(ledger: Ledger, org: str, wanted: Wanted | None = None) -> list[ActionRow]:
    """Return permits, newest first; `run_id` means the run that proposed or used them."""
    wanted = wanted or Wanted()
    condition, values = "", dict[str, Any]()
    if wanted.states:
        marks = {f"state_{number}": state for number, state in enumerate(wanted.states)}
        condition += f" AND state IN ({', '.join(f':{name}' for name in marks)})"
        values |= marks
    if wanted.run_id is not None:
        condition += " AND (run_id = :run_id OR acting_run = :run_id)"
        values["run_id"] = wanted.run_id
    for name in ("agent", "target"):
        if getattr(wanted, name) is not None:
            condition += f" AND {name} = :{name}"
            values[name] = getattr(wanted, name)
    condition += " AND nonce IS NOT NULL" if wanted.was_asked else ""
    condition += " ORDER BY proposed_at DESC, action_id LIMIT :limit"
    values["limit"] = min(wanted.limit, LISTED_MAX)
    with ledger.reading() as connection:
        return list(rows_where(connection, ledger, org, (condition, values)))


def get_action(ledger: Ledger, org: str, key: str) -> ActionRow:
    """Return one permit by its id or the first six or more characters of it.

    Raises Mistake where there is none of this org, or more than one.
    """
    if len(key) < PREFIX_CHARACTERS_MIN or not key.isalnum():
        raise Mistake(
            f"action '{key}' is too short a name",
            f"give {PREFIX_CHARACTERS_MIN} or more characters; see 'roundsman actions list'",
        )
    values = {"like": f"{key.lower()}%", "limit": AMBIGUOUS_SHOWN_MAX}
    with ledger.reading() as connection:
        found = list(rows_where(connection, ledger, org, (_ANY, values)))
    if not found:
        raise Mistake(f"action '{key}' is not in the ledger", "see 'roundsman actions list'")
    if len(found) > 1:
        known = ", ".join(row.action_id[:12] for row in found)
        raise Mistake(f"action '{key}' could be any of {known}", "give more characters")
    return found[0]


def approve(ledger: Ledger, org: str, key: str, review: Review) -> ActionRow:
    """Say yes to a waiting permit, once; the answer is sealed with the chain's key.

    Raises Mistake where it does not wait (any more), Denied where this person may not or all
    effects are halted: a run that cannot act is not to be started.
    """
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        row, at = _waiting(connection, ledger, org, key)
        _refuse_person(row, review)
        refuse_stopped(connection, ledger, org)
        changes: Row = {
            "state": "allowed",
            "reviewed_by": review.who,
            "reviewed_at": at,
            "review_note": review.note,
        }
        changes["signature"] = signature(ledger, org, row | changes)
        return _enter(connection, ledger, org, ("action_approved", row, changes))


def deny(ledger: Ledger, org: str, key: str, review: Review) -> ActionRow:
    """Say no to a waiting permit, or take back a yes that no run has used yet; one of them wins.

    Raises Mistake and Denied as `approve` does.
    """
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        row, at = _deniable(connection, ledger, org, key)
        _refuse_person(row, review, is_no=True)
        changes = {
            "state": "denied",
            "reviewed_by": review.who,
            "reviewed_at": at,
            "review_note": review.note,
        }
        return _enter(connection, ledger, org, ("action_denied", row, changes))


def reopen(ledger: Ledger, org: str, key: str, review: Review) -> ActionRow:
    """Let a request that a person turned down, or nobody answered, wait again, as long as before.

    Raises Mistake where it was not turned down so, Denied where this person may not approve it.
    """
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        row = _turned_down(read_row(connection, ledger, org, ACTIONS, key), org, key)
        _refuse_person(row, review)
        at = ledger.now(connection)
        long = datetime.fromisoformat(row["expires_at"]) - datetime.fromisoformat(
            row["proposed_at"]
        )
        blank = ("reviewed_by", "reviewed_at", "review_note", "signature", *SETTLED)
        changes: Row = dict.fromkeys(blank) | {
            "state": "waiting",
            "proposed_at": at,
            "expires_at": instant_text(datetime.fromisoformat(at) + long),
            "nonce": secrets.token_hex(16),
            "nonce_used": False,
            "said": f"reopened by {review.who}: {review.note or 'no reason given'}",
        }
        return _enter(connection, ledger, org, ("action_reopened", row, changes))


def settle_by_hand(ledger: Ledger, org: str, key: str, is_done: bool, review: Review) -> ActionRow:
    """Say what became of an action whose answer was lost. Raises Mistake unless it is unknown."""
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        row = must_read(connection, ledger, org, key)
        if row.state != "unknown":
            raise Mistake(
                f"action '{key[:12]}' is {row.state}: its fate is known", "nothing is to be settled"
            )
        changes = {
            "state": "done" if is_done else "failed",
            "settled_at": ledger.now(connection),
            "settled_by": review.who,
            "said": review.note or f"{review.who} said so",
        }
        names = {"run_id": row.run_id, "action_id": row.action_id}
        return _enter(connection, ledger, org, ("action_settled", names, changes))


def expire_due(ledger: Ledger) -> int:
    """Close requests that nobody answered, and approvals that nobody used, in time; how many."""
    with ledger.reading() as connection:
        due = ledger.execute(connection, _DUE, {"limit": EXPIRED_AT_ONCE_MAX}).all()
    return sum(_expire(ledger, org, key) for org, key in due)


def _expire(ledger: Ledger, org: str, key: str) -> bool:
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        row, at = read_row(connection, ledger, org, ACTIONS, key), ledger.now(connection)
        # Looked at again under the lock: it may have been answered or used meanwhile.
        if row is None or row["expires_at"] is None or row["expires_at"] >= at:
            return False
        if row["state"] not in ("waiting", "allowed"):
            return False
        _enter(connection, ledger, org, ("action_expired", row, _expired(row, at)))
    return True


def _expired(row: Row, at: str) -> Row:
    said = "nobody answered in time" if row["state"] == "waiting" else "it was not used in time"
    return {"state": "expired", "settled_at": at, "said": said}


def unstarted(ledger: Ledger, org: str, limit: int = 20) -> list[ActionRow]:
    """Return approved permits that no run is at."""
    values = {"starts": STARTS_MAX, "limit": limit}
    with ledger.reading() as connection:
        return list(rows_where(connection, ledger, org, (_APPROVED, values)))


def runs_ended(ledger: Ledger, org: str, key: str) -> int:
    """How many runs that were to use an approved permit have ended since it was approved."""
    values = {"org": org, "action_id": key}
    with ledger.reading() as connection:
        return int(ledger.execute(connection, _ENDED, values).scalar())


def halt(ledger: Ledger, org: str, review: Review) -> Switch:
    """Let no effect of an org begin from now on; what has begun is not called back.

    Halted already, it stays as it is unless there is a new reason.
    """
    return _turn(ledger, org, True, review)


def resume(ledger: Ledger, org: str, review: Review) -> Switch:
    """Let effects begin again; where nothing was halted nothing is written."""
    return _turn(ledger, org, False, review)


def switch_of(ledger: Ledger, org: str) -> Switch | None:
    """Whether effects are halted; None: nobody ever turned the switch."""
    with ledger.reading() as connection:
        row = read_row(connection, ledger, org, SWITCHES, EFFECTS)
    return None if row is None else _switch(row)


def _switch(row: Row) -> Switch:
    return Switch(row["is_on"], row["who"], row["reason"], row["changed_at"])


def _turn(ledger: Ledger, org: str, is_on: bool, review: Review) -> Switch:
    with ledger.transaction() as connection:
        lock_head(connection, ledger, org)
        at = ledger.now(connection)
        row = read_row(connection, ledger, org, SWITCHES, EFFECTS)
        is_so = row is not None and row["is_on"] == is_on
        if row is not None and is_so and not (is_on and review.note):
            return _switch(row)
        if row is None and not is_on:
            return Switch(False, "", "", at)
        changes: Row = {"is_on": is_on, "who": review.who, "reason": review.note or ""}
        changes["changed_at"] = at
        kind = "switch_stopped" if is_on else "switch_resumed"
        change = (SWITCHES, Change(EFFECTS, changes))
        enter(connection, ledger, org, Event(NO_RUN, 0, kind, {}, at), change)
    return Switch(is_on, changes["who"], changes["reason"], at)


def _waiting(connection: Connection, ledger: Ledger, org: str, key: str) -> tuple[Row, str]:
    row = _known(read_row(connection, ledger, org, ACTIONS, key), org, key)
    at = ledger.now(connection)
    if row["state"] != "waiting":
        by = f" by {row['reviewed_by']}" if row["reviewed_by"] else ""
        raise NotWaiting(
            f"action '{key[:12]}' does not wait for an answer: it is {row['state']}{by}",
            "see 'roundsman approvals list --all'",
        )
    if row["expires_at"] < at:
        raise NotWaiting(
            f"the request for action '{key[:12]}' expired at {row['expires_at']}",
            "the next run asks again if it is still wanted",
        )
    return row, at


def _deniable(connection: Connection, ledger: Ledger, org: str, key: str) -> tuple[Row, str]:
    row = _known(read_row(connection, ledger, org, ACTIONS, key), org, key)
    if row["reviewed_at"] is None or row["state"] in ("denied", "expired"):
        return _waiting(connection, ledger, org, key)
    if row["state"] != "allowed":
        raise NotWaiting(
            f"the yes to action '{key[:12]}' cannot be taken back any more: run"
            f" '{row['acting_run']}' claimed it, and it is {row['state']}",
            f"see 'roundsman actions show {key[:12]}'",
        )
    return row, ledger.now(connection)


def _turned_down(row: Row | None, org: str, key: str) -> Row:
    row = _known(row, org, key)
    if row["nonce"] is None or row["state"] not in ("denied", "expired"):
        is_policys = row["state"] == "denied"
        raise NotWaiting(
            f"action '{key[:12]}' was not turned down by a person: it is {row['state']}"
            f"{' by policy' if is_policys else ''}",
            f"see 'roundsman actions show {key[:12]}'",
        )
    if not row["requested_by"]:
        raise NotWaiting(
            f"action '{key[:12]}' was wanted by a run that is erased",
            "the next run asks anew if it is still wanted",
        )
    return row


def _known(row: Row | None, org: str, key: str) -> Row:
    if row is None:
        raise Mistake(f"action '{key}' is not in the ledger of org '{org}'")
    return row


def _refuse_person(row: Row, review: Review, is_no: bool = False) -> None:
    name, known = review.who.strip().lower(), [who.lower() for who in row["approvers"]]
    if not name:
        raise Denied("nobody in particular cannot answer", "set ROUNDSMAN_USER_EMAIL")
    if known and name not in known:
        raise Denied(
            f"'{review.who}' may not answer for action '{row['action_id'][:12]}'",
            f"policy names {', '.join(row['approvers'])}",
        )
    if not is_no and row["four_eyes"] and name == row["requested_by"].lower():
        raise Denied(
            f"'{review.who}' asked for action '{row['action_id'][:12]}' and may not approve it",
            "four eyes are wanted: let somebody else answer",
        )


def _enter(
    connection: Connection, ledger: Ledger, org: str, told: tuple[str, Row, Row]
) -> ActionRow:
    kind, row, changes = told
    event = Event(row["run_id"], 0, kind, {})
    change = Change(row["action_id"], changes)
    enter(connection, ledger, org, event, (ACTIONS, change))
    return must_read(connection, ledger, org, row["action_id"])
