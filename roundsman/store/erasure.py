"""How what a run carried is erased for good, while the chain still shows that it took place."""

from __future__ import annotations

from roundsman.errors import Mistake
from roundsman.rules.redaction import redact
from roundsman.store import audit
from roundsman.store.chain import canonical
from roundsman.store.engine import Ledger
from roundsman.store.events import chain_event
from roundsman.store.projection import CLOSED
from roundsman.store.records import Event

# The proof of an earlier erasure is no part of what the run carried.
_PAYLOADS = (
    "UPDATE events SET payload = NULL WHERE org_id = :org AND run_id = :run_id"
    " AND kind <> 'run_erased' AND payload IS NOT NULL"
)
_ROW = (
    "UPDATE agent_audit_log SET objective = '', params = '{}', artifacts = '{}', plan = '[]',"
    " error = NULL, error_message = NULL, user_email = NULL, asked_by = NULL,"
    " idempotency_key = NULL"
    " WHERE org_id = :org AND run_id = :run_id"
)
_STEPS = "UPDATE steps SET error = NULL WHERE org_id = :org AND run_id = :run_id"


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
        count = ledger.execute(connection, _PAYLOADS, values).rowcount
        ledger.execute(connection, _ROW, values)
        ledger.execute(connection, _STEPS, values)
        event = Event(run_id, row["attempt"], "run_erased", {"who": who, "reason": reason})
        head = chain_event(connection, ledger, org, event, canonical(redact(event.payload)))
    ledger.anchor(org, head)
    return count
