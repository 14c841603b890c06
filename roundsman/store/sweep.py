"""How runs whose process died are found and closed, by whoever opens the ledger next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from roundsman.store import audit
from roundsman.store.engine import Ledger
from roundsman.store.holders import is_dead, this_holder, this_host
from roundsman.store.leases import RUN_LEASE_SECONDS
from roundsman.store.records import Closing, Holder, Swept
from roundsman.store.runs import close

SWEPT_AT_ONCE_MAX = 1000
# A process that is seen to live may have slept, or the clock was set: it gets one more lease.
HUNG_GRACE_SECONDS = RUN_LEASE_SECONDS

_OPEN = (
    "SELECT org_id, run_id, attempt, host, pid, process_started, expires_at < {clock},"
    " expires_at < {later}"
    " FROM run_leases WHERE NOT closed AND host IS NOT NULL"
    " AND (expires_at < {clock} OR host = :host) ORDER BY org_id, run_id LIMIT :limit"
)
_STILL = (
    "SELECT host, pid, process_started, expires_at < {clock}, expires_at < {later}"
    " FROM run_leases"
    " WHERE org_id = :org AND run_id = :run_id AND attempt = :attempt AND NOT closed{lock}"
)
_LAST_STEP = (
    "SELECT name FROM steps WHERE org_id = :org AND run_id = :run_id AND attempt = :attempt"
    " AND began_at IS NOT NULL ORDER BY (status = 'running') DESC, step_index DESC LIMIT 1"
)


class _Open(NamedTuple):
    org: str
    run_id: str
    attempt: int
    holder: Holder
    expired: bool
    is_hung: bool


def sweep(ledger: Ledger) -> list[Swept]:
    """Close runs whose lease expired or whose process on this host is gone; each one once.

    A process that lives on this host is called hung one lease later, and never by itself.
    A queued run that waits for a worker has no holder and is left alone.
    """
    values = {"host": this_host(), "limit": SWEPT_AT_ONCE_MAX, "seconds": -HUNG_GRACE_SECONDS}
    with ledger.reading() as connection:
        rows = ledger.execute(connection, _OPEN, values).all()
    found = [_run_of(row) for row in rows]
    swept = [_close(ledger, run) for run in found if _reason(run)]
    return [one for one in swept if one is not None]


def _run_of(row: Sequence[Any]) -> _Open:
    org, run_id, attempt, host, pid, started, expired, is_hung = row
    return _Open(org, run_id, attempt, Holder(host, pid, started), bool(expired), bool(is_hung))


def _reason(run: _Open) -> str | None:
    machine = run.holder.host.partition("/")[0]
    if is_dead(run.holder):
        return f"process {run.holder.pid} on '{machine}' is gone"
    if run.holder.host == this_host() and (
        run.attempt == 0 or not run.is_hung or run.holder == this_holder()
    ):
        return None
    if not run.expired:
        return None
    return f"process {run.holder.pid} on '{machine}' stopped renewing its lease"


def _close(ledger: Ledger, run: _Open) -> Swept | None:
    key = {"org": run.org, "run_id": run.run_id, "attempt": run.attempt}
    with ledger.transaction() as connection:
        # Looked at again under the lock: it may have been renewed, opened anew or swept.
        grace = {"seconds": -HUNG_GRACE_SECONDS}
        still = ledger.execute(connection, _STILL, key | grace).first()
        if still is None:
            return None
        now = run._replace(
            holder=Holder(*still[0:3]), expired=bool(still[3]), is_hung=bool(still[4])
        )
        reason = _reason(now)
        row = audit.read(connection, ledger, run.org, run.run_id)
        if reason is None or row is None:
            return None
        step = ledger.execute(connection, _LAST_STEP, key).scalar()
        where = f" in step '{step}'" if step else " before its first step"
        error = {"type": "Crashed", "message": f"{reason}; it died{where}", "step": step}
        closing = Closing(status="crashed", error=error)
        head = close(connection, ledger, run.org, (row, closing))
    ledger.anchor(run.org, head)
    return Swept(run.org, run.run_id, run.attempt, str(row["agent_type"]), step, reason)
