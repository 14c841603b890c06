"""Who may write for a run, and who may use a file: leases that end by themselves."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from roundsman.errors import Fenced, Unready
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.holders import is_dead, this_holder
from roundsman.store.records import Holder, Spent

RUN_LEASE_SECONDS = 45
# A queued run's child may have to wait for a temporary Prefect server before it opens.
QUEUE_LEASE_SECONDS = 600
# A file is held over a whole dbt build; a holder on this machine keeps it as long as it lives.
FILE_LEASE_SECONDS = 900
FILE_WAIT_STEP_SECONDS = 0.1

_FENCE = (
    "SELECT attempt, closed, {now} FROM run_leases WHERE org_id = :org AND run_id = :run_id{lock}"
)
_RENEW = (
    "UPDATE run_leases SET expires_at = {later}, seen_at = {clock} WHERE org_id = :org"
    " AND run_id = :run_id AND attempt = :attempt AND NOT closed RETURNING cancel_requested"
)
_ASKED = "SELECT cancel_requested FROM run_leases WHERE org_id = :org AND run_id = :run_id"
_SPEND = (
    "UPDATE run_leases SET ops_used = ops_used + 1 WHERE org_id = :org AND run_id = :run_id"
    " AND attempt = :attempt AND NOT closed AND (ops_limit IS NULL OR budget_mode <> 'enforce'"
    " OR ops_used < ops_limit) RETURNING ops_used, ops_limit, cancel_requested"
)
_COUNT = (
    "SELECT ops_used, ops_limit, cancel_requested, attempt, closed FROM run_leases"
    " WHERE org_id = :org AND run_id = :run_id"
)
_ACTIVE = "SELECT active_ms FROM run_leases WHERE org_id = :org AND run_id = :run_id"
_FILE = (
    "SELECT host, pid, process_started, {text(held_since)}, expires_at < {clock}, token"
    " FROM file_leases WHERE org_id = :org AND resource = :resource"
)
_TAKE = (
    "INSERT INTO file_leases (org_id, resource, token, host, pid, process_started, held_since,"
    " expires_at) VALUES (:org, :resource, :token, :host, :pid, :started, {clock}, {later})"
    " ON CONFLICT DO NOTHING"
)
_RELEASE = "DELETE FROM file_leases WHERE org_id = :org AND resource = :resource AND token = :token"


def fence(connection: Connection, ledger: Ledger, org: str, run_id: str, attempt: int) -> str:
    """Return the database's time if this attempt may write, and keep it so until the commit.

    Raises Fenced where the run is closed or another attempt has taken over.
    """
    row = ledger.execute(connection, _FENCE, {"org": org, "run_id": run_id}).first()
    if row is None or row[1] or row[0] != attempt:
        raise fenced(run_id, attempt, None if row is None or row[1] else row[0])
    return str(row[2])


def fenced(run_id: str, attempt: int, live: int | None) -> Fenced:
    """Return the error of an attempt that is not, or no longer, the live one."""
    why = "the run is closed" if live is None else f"attempt {live} has taken over"
    return Fenced(f"attempt {attempt} of run '{run_id}' may not write: {why}")


def renew(ledger: Ledger, org: str, run_id: str, attempt: int) -> bool:
    """Extend the lease to 45 seconds from now; True when somebody asked the run to stop.

    Raises Fenced.
    """
    values = _of(org, run_id, attempt) | {"seconds": RUN_LEASE_SECONDS}
    with ledger.transaction() as connection:
        row = ledger.execute(connection, _RENEW, values).first()
        if row is None:
            fence(connection, ledger, org, run_id, attempt)
    return bool(row and row[0])


def is_cancel_requested(ledger: Ledger, org: str, run_id: str) -> bool:
    """Whether somebody asked the run to stop; one cheap look."""
    with ledger.reading() as connection:
        return bool(ledger.execute(connection, _ASKED, {"org": org, "run_id": run_id}).scalar())


def active_ms(ledger: Ledger, org: str, run_id: str) -> int:
    """Return for how many milliseconds earlier attempts were open, by their last sign of life."""
    with ledger.reading() as connection:
        found = ledger.execute(connection, _ACTIVE, {"org": org, "run_id": run_id}).scalar()
    return int(found or 0)


def spend_operation(ledger: Ledger, org: str, run_id: str, attempt: int) -> Spent:
    """Count one operation of a run, unless an enforced budget is used up; raises Fenced."""
    with ledger.transaction() as connection:
        row = ledger.execute(connection, _SPEND, _of(org, run_id, attempt)).first()
        if row is not None:
            return Spent(True, row[0], row[1], bool(row[2]))
        row = ledger.execute(connection, _COUNT, {"org": org, "run_id": run_id}).first()
    if row is None or row[4] or row[3] != attempt:
        raise fenced(run_id, attempt, None if row is None or row[4] else row[3])
    return Spent(False, row[0], row[1], bool(row[2]))


@contextmanager
def hold_file(ledger: Ledger, org: str, resource: str, wait_seconds: float) -> Generator[None]:
    """Be the only one of this ledger's users who has a file open.

    A holder that died is evicted at once. Raises Unready where the wait was in vain.
    """
    token = secrets.token_hex(8)
    deadline = time.monotonic() + wait_seconds
    while (holder := _try_to_take(ledger, org, resource, token)) is not None:
        if time.monotonic() >= deadline:
            raise Unready(
                f"file '{resource}' is in use by process {holder[0].pid} on"
                f" '{holder[0].host.partition('/')[0]}' since {holder[1]}",
                f"waited {wait_seconds:g} s; try again when it is done",
            )
        time.sleep(min(FILE_WAIT_STEP_SECONDS, max(0.0, deadline - time.monotonic())))
    try:
        yield
    finally:
        values = {"org": org, "resource": resource, "token": token}
        with ledger.transaction() as connection:
            ledger.execute(connection, _RELEASE, values)


def _try_to_take(ledger: Ledger, org: str, resource: str, token: str) -> tuple[Holder, str] | None:
    """Return None if the file is ours now, else who holds it and since when."""
    values: dict[str, Any] = {"org": org, "resource": resource}
    with ledger.reading() as connection:
        row = ledger.execute(connection, _FILE, values).first()
    if row is not None:
        holder = Holder(row[0], row[1], row[2])
        over = row[4] and holder.host != this_holder().host
        if not over and not is_dead(holder):
            return holder, row[3]
        with ledger.transaction() as connection:
            ledger.execute(connection, _RELEASE, values | {"token": row[5]})
    mine = values | this_holder()._asdict() | {"token": token, "seconds": FILE_LEASE_SECONDS}
    with ledger.transaction() as connection:
        if ledger.execute(connection, _TAKE, mine).rowcount:
            return None
    return this_holder(), "this moment"


def _of(org: str, run_id: str, attempt: int) -> dict[str, Any]:
    return {"org": org, "run_id": run_id, "attempt": attempt}
