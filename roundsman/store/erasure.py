"""How what a run carried is erased for good, while the chain still shows that it took place."""

from __future__ import annotations

import json

from roundsman.errors import Mistake
from roundsman.rules.redaction import redact
from roundsman.store import audit
from roundsman.store.chain import canonical
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import chain_event, lock_head
from roundsman.store.keyed import Change, enter, read_row
from roundsman.store.keyed_check import ERASED_KINDS, KEYED_KINDS
from roundsman.store.projection import CLOSED
from roundsman.store.records import Event

_QUOTED = ", ".join(repr(kind) for kind in ERASED_KINDS)
# The proof of an earlier erasure is no part of what the run carried.
_PAYLOADS = (
    "UPDATE events SET payload = NULL WHERE org_id = :org AND run_id = :run_id"
    f" AND kind NOT IN ('run_erased', {_QUOTED}) AND payload IS NOT NULL"
)
_KEYED = (
    "SELECT kind, payload FROM events WHERE org_id = :org AND run_id = :run_id"
    f" AND kind IN ({', '.join(repr(kind) for kind in KEYED_KINDS)}) AND payload IS NOT NULL"
)
_ROW = (
    "UPDATE agent_audit_log SET objective = '', params = '{}', artifacts = '{}', plan = '[]',"
    " error = NULL, error_message = NULL, user_email = NULL, asked_by = NULL,"
    " idempotency_key = NULL"
    " WHERE org_id = :org AND run_id = :run_id"
)
_STEPS = "UPDATE steps SET error = NULL WHERE org_id = :org AND run_id = :run_id"

_CLOSED_STATES = ", ".join(repr(status) for status in sorted(CLOSED))
# A run without any payload was erased already, or had nothing to lose.
_EXPIRED = (
    "SELECT run_id FROM agent_audit_log AS run WHERE org_id = :org"
    f" AND status IN ({_CLOSED_STATES}) AND completed_at < {{later}}"
    " AND EXISTS (SELECT 1 FROM events WHERE events.org_id = run.org_id"
    " AND events.run_id = run.run_id AND events.payload IS NOT NULL"
    f" AND events.kind NOT IN ('run_erased', {_QUOTED}))"
    " ORDER BY completed_at"
)

ERASED = "the run that wanted it was erased"


def erase_run(ledger: Ledger, org: str, run_id: str, who: str, reason: str) -> int:
    """Erase the payloads of a closed run and the free text of its rows; return how many payloads.

    Kind, time and hash of every event stay, and a `run_erased` event says who did it and why.
    Files are the artifact store's to delete. Raises Mistake for a run that is open or unknown.
    """
    values = {"org": org, "run_id": run_id}
    with ledger.transaction() as connection:
        row = audit.read(connection, ledger, org, run_id)
        if row is None or row["status"] not in CLOSED:
            raise Mistake(f"run '{run_id}' is {'unknown' if row is None else 'still open'}")
        lock_head(connection, ledger, org)
        rows = _keyed_rows(connection, ledger, org, run_id)
        count = ledger.execute(connection, _PAYLOADS, values).rowcount
        for kind, key in rows:
            _blank(connection, ledger, org, (key, Event(run_id, row["attempt"], kind, {})))
        ledger.execute(connection, _ROW, values)
        ledger.execute(connection, _STEPS, values)
        event = Event(run_id, row["attempt"], "run_erased", {"who": who, "reason": reason})
        head = chain_event(connection, ledger, org, event, canonical(redact(event.payload)))
    ledger.anchor(org, head)
    return count


def expired_runs(ledger: Ledger, org: str, days: int) -> list[str]:
    """The closed runs that ended more than so many days ago and still carry something, oldest
    first."""
    with ledger.reading() as connection:
        values = {"org": org, "seconds": -days * 86_400}
        return [str(row[0]) for row in ledger.execute(connection, _EXPIRED, values)]


def _keyed_rows(
    connection: Connection, ledger: Ledger, org: str, run_id: str
) -> set[tuple[str, str]]:
    """The permits and findings of which the run's events tell: the kind of their erasure, key."""
    told = ledger.execute(connection, _KEYED, {"org": org, "run_id": run_id}).all()
    return {
        (erased, str(json.loads(payload)["key"]))
        for kind, payload in told
        for erased in KEYED_KINDS[kind].kinds
        if erased in ERASED_KINDS
    }


def _blank(connection: Connection, ledger: Ledger, org: str, told: tuple[str, Event]) -> None:
    """Take the words out of a row and tell the whole of what is left: its history is gone."""
    key, event = told
    of = KEYED_KINDS[event.kind]
    row = read_row(connection, ledger, org, of, key)
    if row is not None:
        blank = row | dict(of.blanks)
        if event.kind == "action_erased" and row["state"] in ("waiting", "allowed"):
            # Nobody can answer for, or use, what has lost its words; who wants it asks anew.
            blank |= {"state": "expired", "settled_at": ledger.now(connection), "said": ERASED}
        enter(connection, ledger, org, event, (of, Change(key, blank)))
