"""How a run goes through the ledger: refused, queued, opened, cancelled, closed."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

from roundsman.errors import Cancelled, Mistake
from roundsman.store import actions, audit, metrics
from roundsman.store.chain import canonical
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.events import lock_head
from roundsman.store.history import check_same_request as check_same_request
from roundsman.store.history import find_by_key as find_by_key
from roundsman.store.history import get_run as get_run
from roundsman.store.history import history as history
from roundsman.store.history import queued_without_holder as queued_without_holder
from roundsman.store.history import steps as steps
from roundsman.store.history import stored_key
from roundsman.store.history import unsettled as unsettled
from roundsman.store.holders import holder_of as holder_of
from roundsman.store.holders import this_holder as this_holder
from roundsman.store.leases import QUEUE_LEASE_SECONDS, RUN_LEASE_SECONDS, fence
from roundsman.store.leases import active_ms as active_ms
from roundsman.store.leases import is_cancel_requested as is_cancel_requested
from roundsman.store.leases import renew as renew
from roundsman.store.leases import spend_operation as spend_operation
from roundsman.store.projection import CLOSED
from roundsman.store.records import Ask, ClosedStatus, Closing, Event, Head, Holder, Json, Opening
from roundsman.store.steps import begin_step as begin_step
from roundsman.store.steps import end_step as end_step
from roundsman.store.steps import note as note
from roundsman.store.steps import publish as publish
from roundsman.store.steps import skip_step as skip_step

ARTIFACTS_CHARACTERS_MAX = 1_000_000
ERROR_CHARACTERS_MAX = 50_000

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_LEASE = (
    "INSERT INTO run_leases (org_id, run_id, attempt, host, pid, process_started, expires_at,"
    " ops_limit, budget_mode) VALUES (:org, :run_id, 0, :host, :pid, :started,"
    " {later}, :budget_ops, :budget_mode) ON CONFLICT DO NOTHING"
)
_LOCK = (
    "SELECT attempt, closed, cancel_requested, active_ms, {text(opened_at)}, {text(seen_at)},"
    " ops_used FROM run_leases WHERE org_id = :org AND run_id = :run_id{lock}"
)
_OPEN = (
    "UPDATE run_leases SET attempt = :attempt, host = :host, pid = :pid,"
    " process_started = :started, opened_at = {clock}, seen_at = {clock}, expires_at = {later},"
    " active_ms = :active_ms, ops_limit = :budget_ops, budget_mode = :budget_mode"
    " WHERE org_id = :org AND run_id = :run_id"
)
_SPENT_KEY = (
    "SELECT run_id FROM agent_audit_log WHERE org_id = :org AND idempotency_key = :key"
    " AND run_id <> :run_id"
)
# Somebody else's wish to stop a run is no sign of its life.
_NEWEST = (
    "SELECT max(at) FROM events WHERE org_id = :org AND run_id = :run_id AND attempt = :attempt"
    " AND kind <> 'cancel_requested'"
)
_CANCEL = "UPDATE run_leases SET cancel_requested = :yes WHERE org_id = :org AND run_id = :run_id"
_CLOSE = "UPDATE run_leases SET closed = :yes WHERE org_id = :org AND run_id = :run_id"
_NEVER_MIND = (
    "DELETE FROM run_leases WHERE org_id = :org AND run_id = :run_id AND attempt = 0 AND NOT closed"
)
_SETTLE = "DELETE FROM run_leases WHERE org_id = :org AND run_id = :run_id AND closed"


class AlreadyQueued(Mistake):
    """The run, or another one with its idempotency key, is in the ledger; `run_id` says which."""

    def __init__(self, run_id: str, said: str) -> None:
        super().__init__(said, f"see 'roundsman show {run_id}', or start a new run")
        self.run_id = run_id


def record_refused(
    ledger: Ledger, org: str, ask: Ask, error: Json, run_id: str | None = None
) -> str:
    """Write down a run that was refused before it began, and return its id.

    `error` has `type` and `message`. A run that Prefect started by itself keeps its own id.
    """
    run_id = _checked(run_id or str(uuid.uuid4()))
    payload = ask.model_dump(mode="json") | {"error": error}
    with ledger.transaction() as connection:
        lease = _lock_lease(connection, ledger, org, run_id)
        row = audit.read(connection, ledger, org, run_id)
        if row is not None and row["status"] != "queued":
            raise Mistake(f"run '{run_id}' is {row['status']} and cannot be refused")
        head = audit.enter(connection, ledger, org, Event(run_id, 0, "run_refused", payload))
        if lease is not None:
            _set(connection, ledger, org, (_CLOSE, run_id))
    ledger.anchor(org, head)
    return run_id


def queue_run(ledger: Ledger, org: str, run_id: str, ask: Ask, holder: Holder | None) -> None:
    """Write down that a run is going to happen.

    `holder` is the process that will open it; None leaves it to a worker. Where a worker was
    quicker, only what the door alone knows is added. Raises AlreadyQueued for a run queued twice,
    and for a key that another run has spent.
    """
    event = Event(_checked(run_id), 0, "run_queued", ask.model_dump(mode="json"))
    with ledger.transaction() as connection:
        _insert_lease(connection, ledger, org, (run_id, ask, holder))
        # Looked at only under the lock: a worker may be opening, even ending, the same run.
        lock_head(connection, ledger, org)
        row = audit.read(connection, ledger, org, run_id)
        if row is not None and row["queued_at"] is not None:
            raise AlreadyQueued(run_id, f"run '{run_id}' is in the ledger already")
        _refuse_spent_key(connection, ledger, org, (run_id, ask.key))
        if row is not None and row["status"] in CLOSED:
            ledger.execute(connection, _NEVER_MIND, {"org": org, "run_id": run_id})
        else:
            audit.enter(connection, ledger, org, event)


def open_attempt(ledger: Ledger, org: str, run_id: str, opening: Opening, holder: Holder) -> int:
    """Open the next attempt of a run for this process and return its number.

    Whoever held the run before is fenced out. Raises Cancelled where the run was cancelled before
    it began, Mistake where it is closed for good.
    """
    _checked(run_id)
    payload = opening.model_dump(mode="json")
    with ledger.transaction() as connection:
        lease = _lock_lease(connection, ledger, org, run_id)
        row = audit.read(connection, ledger, org, run_id)
        _refuse_closed(run_id, row)
        if lease is None:
            _insert_lease(connection, ledger, org, (run_id, opening, holder))
            lease = _lock_lease(connection, ledger, org, run_id)
        attempt = (lease[0] if lease else 0) + 1
        values = _values(org, run_id, opening, holder) | {"attempt": attempt}
        before = {"org": org, "run_id": run_id, "attempt": attempt - 1}
        newest = ledger.execute(connection, _NEWEST, before).scalar()
        values["active_ms"] = _active_ms(lease, newest)
        ledger.execute(connection, _OPEN, values)
        now = ledger.now(connection)
        actions.lose(connection, ledger, org, run_id, "its attempt ended before the answer came")
        left = {"run_id": run_id, "at": now}
        audit.leave_steps(connection, ledger, org, left, "crashed")
        event = Event(run_id, attempt, "run_started", payload, now)
        audit.enter(connection, ledger, org, event)
    return attempt


def request_cancel(ledger: Ledger, org: str, run_id: str, who: str) -> None:
    """Ask a run to stop; one that nobody has opened yet is closed as cancelled at once.

    Raises Mistake for a run that is unknown or closed.
    """
    head: Head | None = None
    with ledger.transaction() as connection:
        lease = _lock_lease(connection, ledger, org, run_id)
        row = audit.read(connection, ledger, org, run_id)
        if row is None:
            raise Mistake(f"run '{run_id}' is not in the ledger", "see 'roundsman history'")
        if lease is None or lease[1]:
            raise Mistake(f"run '{run_id}' is closed already ({row['status']})")
        _set(connection, ledger, org, (_CANCEL, run_id))
        event = Event(run_id, lease[0], "cancel_requested", {"who": who})
        audit.enter(connection, ledger, org, event)
        if lease[0] == 0:
            error = {"type": "Cancelled", "message": f"cancelled by {who} before it began"}
            head = close(connection, ledger, org, (row, Closing(status="cancelled", error=error)))
    if head:
        ledger.anchor(org, head)


def close_run(ledger: Ledger, org: str, run_id: str, attempt: int, closing: Closing) -> None:
    """Write down how a run ended; nothing can be written for it afterwards. Raises Fenced."""
    with ledger.transaction() as connection:
        fence(connection, ledger, org, run_id, attempt)
        row = audit.read(connection, ledger, org, run_id)
        if row is None:
            raise Mistake(f"run '{run_id}' is not in the ledger")
        head = close(connection, ledger, org, (row, closing))
    ledger.anchor(org, head)


def close_queued(ledger: Ledger, org: str, run_id: str, status: ClosedStatus, error: Json) -> bool:
    """Close a run that no worker will take any more; False where one has, or it is closed."""
    with ledger.transaction() as connection:
        lease = _lock_lease(connection, ledger, org, run_id)
        row = audit.read(connection, ledger, org, run_id)
        if lease is None or lease[0] != 0 or lease[1] or row is None:
            return False
        head = close(connection, ledger, org, (row, Closing(status=status, error=error)))
    ledger.anchor(org, head)
    return True


def mark_settled(ledger: Ledger, org: str, run_id: str) -> None:
    """Note that Prefect's state of a closed run says the same as the ledger."""
    with ledger.transaction() as connection:
        ledger.execute(connection, _SETTLE, {"org": org, "run_id": run_id})


def close(
    connection: Connection, ledger: Ledger, org: str, ended: tuple[audit.Row, Closing]
) -> Head:
    """Close a run inside the caller's transaction, which holds its lease; anchor after it."""
    row, closing = ended
    why = f"its run {closing.status} before the answer came"
    actions.lose(connection, ledger, org, row["run_id"], why)
    actions.let_lapse(connection, ledger, org, row["run_id"])
    lease = _lock_lease(connection, ledger, org, row["run_id"])
    _set(connection, ledger, org, (_CLOSE, row["run_id"]))
    now = ledger.now(connection)
    payload = closing.model_dump(mode="json", exclude={"ops", "counted"}) | {
        "agent_type": row["agent_type"],
        "artifacts": _bounded(closing.artifacts),
        "error": _shortened(closing.error),
        "ops_count": closing.ops if closing.ops is not None else (lease[6] if lease else 0),
    }
    if closing.duration_seconds is None and row["started_at"] is not None:
        payload["duration_seconds"] = _seconds(row["started_at"], now)
    if counted := metrics.bounded(connection, ledger, org, closing.counted):
        payload["counted"] = counted
    kind = "run_finished" if closing.status == "success" else "run_failed"
    event = Event(row["run_id"], row["attempt"], kind, payload, now)
    return audit.enter(connection, ledger, org, event)


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise Mistake(f"run id {run_id!r} is not one", "use a UUID")
    return run_id


def _refuse_spent_key(
    connection: Connection, ledger: Ledger, org: str, run: tuple[str, str | None]
) -> None:
    run_id, key = run
    if key is None:
        return
    values = {"org": org, "run_id": run_id, "key": stored_key(key)}
    other = ledger.execute(connection, _SPENT_KEY, values).scalar()
    if other is not None:
        raise AlreadyQueued(str(other), f"key '{key}' was used before, for run '{other}'")


def _refuse_closed(run_id: str, row: audit.Row | None) -> None:
    if row is None or row["status"] not in CLOSED:
        return
    if row["status"] == "cancelled" and not row["started_at"]:
        raise Cancelled(f"run '{run_id}' was cancelled before it began")
    raise Mistake(f"run '{run_id}' is closed for good ({row['status']})", "start a new run")


def _lock_lease(connection: Connection, ledger: Ledger, org: str, run_id: str) -> Any:
    return ledger.execute(connection, _LOCK, {"org": org, "run_id": run_id}).first()


def _insert_lease(
    connection: Connection, ledger: Ledger, org: str, lease: tuple[str, Ask, Holder | None]
) -> None:
    run_id, ask, holder = lease
    values = _values(org, run_id, ask, holder) | {"seconds": QUEUE_LEASE_SECONDS}
    ledger.execute(connection, _LEASE, values)


def _values(org: str, run_id: str, ask: Ask, holder: Holder | None) -> dict[str, Any]:
    return {
        "org": org,
        "run_id": run_id,
        "host": holder and holder.host,
        "pid": holder and holder.pid,
        "started": holder and holder.started,
        "budget_ops": ask.budget_ops,
        "budget_mode": ask.budget_mode,
        "seconds": RUN_LEASE_SECONDS,
    }


def _set(connection: Connection, ledger: Ledger, org: str, change: tuple[str, str]) -> None:
    statement, run_id = change
    ledger.execute(connection, statement, {"org": org, "run_id": run_id, "yes": True})


def _active_ms(lease: Any, newest: str | None) -> int:
    if lease is None or not lease[4] or not lease[5]:
        return 0
    # Renewals move `seen_at` only now and then; an event is a sign of life, too.
    seen = max(lease[5], newest or "")
    return int(lease[3] + _seconds(lease[4], seen) * 1000)


def _seconds(start: str, end: str) -> float:
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(0.0, span.total_seconds())


def _bounded(artifacts: Json) -> Json:
    size = len(canonical(artifacts))
    if size <= ARTIFACTS_CHARACTERS_MAX:
        return artifacts
    return {"cut": f"{size} characters of results exceed {ARTIFACTS_CHARACTERS_MAX}"}


def _shortened(error: Json | None) -> Json | None:
    if error is None:
        return None
    return {
        name: value[-ERROR_CHARACTERS_MAX:] if isinstance(value, str) else value
        for name, value in error.items()
    }
