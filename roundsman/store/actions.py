"""Permits as a run sees them: proposed, claimed right before the effect, settled right after."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from roundsman.errors import Cancelled, Denied
from roundsman.rules.permit import State, first_state, may_claim, refusal_of, restated
from roundsman.rules.redaction import redact
from roundsman.store import audit
from roundsman.store.action_table import ACTIONS, SWITCHES
from roundsman.store.chain import canonical, link, sha256
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import chain_event, lock_head
from roundsman.store.keyed import Change, Row, enter, read_row
from roundsman.store.leases import fence
from roundsman.store.records import (
    ActionRow,
    Claim,
    Event,
    Json,
    Judged,
    Kept,
    Proposal,
    Settlement,
)
from roundsman.store.tables import instant_text

ID_LETTERS = 32
EFFECTS = "effects"
# Who settled a permit, where no person did: its run, its run's end, or a later look outside.
BY_RUN, BY_SWEEP, BY_LOOK = "run", "sweep", "look"
SAID_CHARACTERS_MAX = 2_000

_LEASE = "SELECT cancel_requested FROM run_leases WHERE org_id = :org AND run_id = :run_id"
_BUSY = (
    "SELECT action_id, state, acting_run FROM actions WHERE org_id = :org AND target = :target"
    " AND action_id <> :action_id AND (state = 'attempting'"
    " OR (state = 'unknown' AND lost_answer = 'once')) LIMIT 1"
)
_CLAIMED = (
    "SELECT count(*) FROM actions WHERE org_id = :org AND target = :target AND action = :action"
    " AND action_id <> :action_id AND claimed_at > {later}"
    # What a person found never to have taken place has used up nothing.
    f" AND NOT (state = 'failed' AND settled_by NOT IN ('{BY_RUN}', '{BY_SWEEP}', '{BY_LOOK}'))"
)
_LOST = f"{ACTIONS.select} AND acting_run = :run_id AND state = 'attempting'"
_UNUSED = f"{ACTIONS.select} AND run_id = :run_id AND state = 'allowed' AND reviewed_at IS NULL"


def action_id(org: str, action: str, target: str, payload_sha256: str, occasion: Json) -> str:
    """The one name of one effect: 32 hex digits over org, action, target, payload and occasion."""
    told = canonical([org, action, target, payload_sha256, occasion])
    return hashlib.sha256(told.encode()).hexdigest()[:ID_LETTERS]


def payload_hash(payload: Json) -> str:
    """What binds a permit to its payload: the sha256 of its canonical JSON."""
    return sha256(canonical(payload))


def consider(ledger: Ledger, org: str, run_id: str, attempt: int, facts: Json) -> None:
    """Note in a dry run what policy would have said; no permit is made."""
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        event = Event(run_id, attempt, "action_considered", {}, at)
        chain_event(connection, ledger, org, event, canonical(redact(facts)))


def propose(ledger: Ledger, org: str, run_id: str, attempt: int, wish: Proposal) -> ActionRow:
    """Store a permit as policy judged it, or return what became of the same wish before.

    Raises Fenced.
    """
    key = action_id(org, wish.action, wish.target, wish.payload_sha256, wish.occasion)
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        row = read_row(connection, ledger, org, ACTIONS, key)
        if row is None or _is_judged_otherwise(row, wish):
            event = Event(run_id, attempt, "action_proposed", {}, at)
            change = Change(key, _proposed(wish, run_id, at), wish.facts)
            row = (row or {}) | enter(connection, ledger, org, event, (ACTIONS, change))
    return ActionRow.model_validate(row)


def _proposed(wish: Proposal, run_id: str, at: str) -> Row:
    """All that a permit begins with, also one that is asked for anew: as this run wants it."""
    taken = wish.model_dump(mode="json", exclude={"verdict", "expires_minutes", "facts"})
    blank = dict.fromkeys(set(ACTIONS.columns) - {ACTIONS.key, *taken})
    state = first_state(wish.verdict)
    return {
        **blank,
        **taken,
        **_standing(wish, state, at),
        "run_id": run_id,
        "proposed_at": at,
        "nonce_used": False,
    }


def _is_judged_otherwise(row: Row, wish: Proposal) -> bool:
    # Not by the name: an erasure takes that away, and the person's word stays.
    was_reviewed = row["reviewed_at"] is not None
    return restated(row["state"], was_reviewed, wish.verdict) != row["state"]


def _standing(wish: Proposal, state: State, at: str) -> Row:
    if state != "waiting":
        return {"state": state, "nonce": None, "expires_at": None}
    until = datetime.fromisoformat(at) + timedelta(minutes=wish.expires_minutes)
    return {
        "state": state,
        "nonce": secrets.token_hex(16),
        "expires_at": instant_text(until),
    }


def claim(ledger: Ledger, org: str, run_id: str, attempt: int, wanted: Claim) -> ActionRow:
    """Take the one right to an effect, right before it.

    Raises Denied with the reason where this run may not act or the permit cannot be used,
    Cancelled where the run is being cancelled, Fenced.
    """
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        _refuse_run(connection, ledger, org, run_id)
        row = read_row(connection, ledger, org, ACTIONS, wanted.action_id)
        if row is None:
            raise Denied(f"action '{wanted.action_id}' was never proposed in org '{org}'")
        _refuse_permit(ledger, org, row, (wanted, at))
        _refuse_crowd(connection, ledger, org, row)
        changes = {
            "state": "attempting",
            "acting_run": run_id,
            "attempt": attempt,
            "claimed_at": at,
            "nonce_used": row["nonce"] is not None,
            **dict.fromkeys(("settled_at", "settled_by", "said", "result", "undo")),
        }
        event = Event(run_id, attempt, "action_claimed", {}, at)
        change = Change(row["action_id"], changes)
        row |= enter(connection, ledger, org, event, (ACTIONS, change))
    return ActionRow.model_validate(row)


def _refuse_run(connection: Connection, ledger: Ledger, org: str, run_id: str) -> None:
    run = audit.read(connection, ledger, org, run_id)
    if run is None or run["dry_run"]:
        raise Denied(f"run '{run_id}' is a dry run and may change nothing", "run it with --live")
    if run["params"].get("allow_actions") is not True:
        raise Denied(f"run '{run_id}' may not act", "set allow_actions, or run it with --live")
    lease = ledger.execute(connection, _LEASE, {"org": org, "run_id": run_id}).first()
    if lease is None or lease[0]:
        raise Cancelled(f"run '{run_id}' is being cancelled and begins nothing more")
    refuse_stopped(connection, ledger, org)


def refuse_stopped(connection: Connection, ledger: Ledger, org: str) -> None:
    """Raise Denied where somebody halted every effect of the org."""
    switch = read_row(connection, ledger, org, SWITCHES, EFFECTS)
    if switch is not None and switch["is_on"]:
        why = switch["reason"] or "no reason given"
        raise Denied(
            f"all actions of org '{org}' were stopped by {switch['who']}: {why}",
            "roundsman actions resume",
        )


def _refuse_permit(ledger: Ledger, org: str, row: Row, asked: tuple[Claim, str]) -> None:
    wanted, at = asked
    name = f"action '{row['action_id']}' ({row['action']} on '{row['target']}')"
    if not may_claim(row["state"], row["lost_answer"]):
        raise Denied(f"{name} is not to be done: {refusal_of(row['state'], row)}")
    if wanted.payload_sha256 != row["payload_sha256"]:
        raise Denied(f"{name} was allowed with another payload", "propose the new one")
    if row["nonce"] is None and row["reviewed_at"] is None:
        return
    if row["signature"] != signature(ledger, org, row):
        raise Denied(f"{name} bears no valid approval", "run 'roundsman verify-audit'")
    if row["state"] == "allowed" and row["expires_at"] < at:
        raise Denied(f"the approval of {name} expired at {row['expires_at']}", "ask again")


def _refuse_crowd(connection: Connection, ledger: Ledger, org: str, row: Row) -> None:
    values = {"org": org} | {name: row[name] for name in ("action_id", "target", "action")}
    other = ledger.execute(connection, _BUSY, values).first()
    if other is not None:
        raise Denied(
            f"'{row['target']}' is in use by action '{other[0]}' ({other[1]})",
            f"wait, or see 'roundsman actions show {other[0][:8]}'",
        )
    most, seconds = row["limits"].get("per_window"), row["limits"].get("window_seconds", 0)
    if most is None:
        return
    begun = ledger.execute(connection, _CLAIMED, values | {"seconds": -seconds}).scalar()
    if begun >= most:
        raise Denied(
            f"'{row['target']}' had {begun} actions '{row['action']}' in {seconds / 3600:g} h,"
            f" {most} are allowed",
            "wait until the window has passed",
        )


def signature(ledger: Ledger, org: str, row: Row) -> str:
    """The seal of an approval: who said yes to which payload, once."""
    names = ("action_id", "payload_sha256", "nonce", "reviewed_by", "reviewed_at", "expires_at")
    fields = (org, *(str(row[name]) for name in names))
    return link(ledger.key, b"approval", tuple(field.encode() for field in fields))


def settle(ledger: Ledger, org: str, run_id: str, attempt: int, told: Settlement) -> None:
    """Write down what became of an effect, right after it; told twice it is written once.

    Raises Fenced, and Denied where this attempt is not the one that is at it.
    """
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        row = read_row(connection, ledger, org, ACTIONS, told.action_id) or {}
        if row and _is_told(row, told, (run_id, attempt)):
            return
        holder = (row.get("state"), row.get("acting_run"), row.get("attempt"))
        if holder != ("attempting", run_id, attempt):
            raise Denied(f"action '{told.action_id}' is not in the hands of run '{run_id}'")
        change = Change(told.action_id, _settled(told, at))
        event = Event(run_id, attempt, "action_settled", {}, at)
        enter(connection, ledger, org, event, (ACTIONS, change))


def _is_told(row: Row, told: Settlement, by: tuple[str, int]) -> bool:
    """Whether this attempt has written down the same before, and did not hear that it was."""
    if told.state == "allowed" or (row["acting_run"], row["attempt"]) != by:
        return False
    names = ("state", "said", "result", "settled_by")
    wanted = _settled(told, "")
    return all(row[name] == redact(wanted[name]) for name in names)


def keep_undo(ledger: Ledger, org: str, run_id: str, attempt: int, kept: Kept) -> None:
    """Store what would undo a claimed effect, before it takes place. Raises Fenced."""
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        event = Event(run_id, attempt, "action_prepared", {}, at)
        enter(
            connection, ledger, org, event, (ACTIONS, Change(kept.action_id, {"undo": kept.undo}))
        )


def find_lost(ledger: Ledger, org: str, run_id: str, attempt: int, told: Settlement) -> None:
    """Write down what the outside says of an action whose answer was lost. Raises Fenced."""
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        row = must_read(connection, ledger, org, told.action_id)
        if row.state != "unknown" or row.lost_answer == "once":
            raise Denied(f"action '{told.action_id}' is {row.state}: there is nothing to find")
        event = Event(run_id, attempt, "action_settled", {}, at)
        change = Change(told.action_id, _settled(told, at) | {"settled_by": BY_LOOK})
        enter(connection, ledger, org, event, (ACTIONS, change))


def judge(ledger: Ledger, org: str, run_id: str, attempt: int, told: Judged) -> None:
    """Write down whether an effect did what it was for; a later look knows that. Raises Fenced."""
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        row = must_read(connection, ledger, org, told.action_id)
        result = (row.result or {}) | {"helped": told.helped, "seen_after": told.said}
        event = Event(run_id, attempt, "action_judged", {}, at)
        enter(connection, ledger, org, event, (ACTIONS, Change(row.action_id, {"result": result})))


def withdraw(ledger: Ledger, org: str, run_id: str, attempt: int, told: Settlement) -> bool:
    """Let a permit go whose reason is past; False where it is no longer to be had anyway."""
    with ledger.transaction() as connection:
        at = fence(connection, ledger, org, run_id, attempt)
        lock_head(connection, ledger, org)
        row = must_read(connection, ledger, org, told.action_id)
        if row.state not in ("waiting", "allowed"):
            return False
        changes = {"state": "expired", "settled_at": at, "said": told.said}
        event = Event(run_id, attempt, "action_expired", {}, at)
        enter(connection, ledger, org, event, (ACTIONS, Change(told.action_id, changes)))
    return True


def _settled(told: Settlement, at: str) -> Row:
    said = told.said[:SAID_CHARACTERS_MAX]
    if told.state == "allowed":
        # Nothing left this machine: the right to the effect was not used.
        return {"state": "allowed", "said": said, "claimed_at": None}
    # Nor was it where the reason was past.
    unused = {"claimed_at": None} if told.state == "expired" else {}
    return unused | {
        "state": told.state,
        "settled_at": at,
        "settled_by": BY_RUN,
        "said": said,
        "result": told.result,
    }


def lose(connection: Connection, ledger: Ledger, org: str, run_id: str, why: str) -> list[Row]:
    """Call unknown what an ended attempt had begun; in the caller's transaction, under the lease.

    Returns the rows as they were.
    """
    found = ledger.execute(connection, _LOST, {"org": org, "run_id": run_id}).all()
    lost = [ACTIONS.as_row(row) for row in found]
    if lost:
        lock_head(connection, ledger, org)
    for row in lost:
        at = ledger.now(connection)
        changes = {"state": "unknown", "settled_at": at, "settled_by": BY_SWEEP, "said": why}
        event = Event(run_id, row["attempt"], "action_settled", {}, at)
        enter(connection, ledger, org, event, (ACTIONS, Change(row["action_id"], changes)))
    return lost


def let_lapse(connection: Connection, ledger: Ledger, org: str, run_id: str) -> None:
    """Let go of what policy alone allowed an ending run and it did not use; as `lose` does."""
    rows = [
        ACTIONS.as_row(row)
        for row in ledger.execute(connection, _UNUSED, {"org": org, "run_id": run_id}).all()
    ]
    if rows:
        lock_head(connection, ledger, org)
    for row in rows:
        told = f": {row['said']}" if row["said"] else ""
        why = f"its run ended before it was used{told}"
        changes = {"state": "expired", "settled_at": ledger.now(connection), "said": why}
        event = Event(run_id, row["attempt"] or 0, "action_expired", {})
        enter(connection, ledger, org, event, (ACTIONS, Change(row["action_id"], changes)))


def took_place(row: ActionRow) -> bool:
    """Whether a begun effect counts: not where a person found that it never was."""
    return row.state != "failed" or row.settled_by in (BY_RUN, BY_SWEEP, BY_LOOK)


def must_read(connection: Connection, ledger: Ledger, org: str, key: str) -> ActionRow:
    """Return a permit that is known to be there."""
    row = read_row(connection, ledger, org, ACTIONS, key)
    if row is None:
        raise Denied(f"action '{key}' is not in the ledger of org '{org}'")
    return ActionRow.model_validate(row)


def rows_where(
    connection: Connection, ledger: Ledger, org: str, where: tuple[str, dict[str, Any]]
) -> Iterator[ActionRow]:
    """Return permits that meet a condition, written with `:name` binds."""
    condition, values = where
    statement = f"{ACTIONS.select} {condition}"
    for found in ledger.execute(connection, statement, {"org": org, **values}).all():
        yield ActionRow.model_validate(ACTIONS.as_row(found))
