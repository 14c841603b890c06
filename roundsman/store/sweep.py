"""How runs whose process died are found and closed, by whoever opens the ledger next."""

from __future__ import annotations

from typing import NamedTuple

from roundsman.store import audit
from roundsman.store.engine import Ledger
from roundsman.store.holders import is_dead, this_host
from roundsman.store.records import Closing, Holder, Swept
from roundsman.store.runs import close

SWEPT_AT_ONCE_MAX = 1000

_OPEN = (
    "SELECT org_id, run_id, attempt, host, pid, process_started, expires_at < {clock}"
    " FROM run_leases WHERE NOT closed AND host IS NOT NULL"
    " AND (expires_at < {clock} OR host = :host) ORDER BY org_id, run_id LIMIT :limit"
)
_STILL = (
    "SELECT host, pid, process_started, expires_at < {clock} FROM run_leases"
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


def sweep(ledger: Ledger) -> list[Swept]:
    """Close runs whose lease expired or whose process on this host is gone; each one once.

    A queued run that waits for a worker has no holder and is left alone.
    """
    values = {"host": this_host(), "limit": SWEPT_AT_ONCE_MAX}
    with ledger.reading() as connection:
        rows = ledger.execute(connection, _OPEN, values).all()
    found = [_Open(row[0], row[1], row[2], Holder(*row[3:6]), bool(row[6])) for row in rows]
    swept = [_close(ledger, run) for run in found if _reason(run)]
    return [one for one in swept if one is not None]


def _reason(run: _Open) -> str | None:
    machine = run.holder.host.partition("/")[0]
    if is_dead(run.holder):
        return f"process {run.holder.pid} on '{machine}' is gone"
    if not run.expired or (run.attempt == 0 and run.holder.host == this_host()):
        return None
    return f"process {run.holder.pid} on '{machine}' stopped renewing its lease"


def _close(ledger: Ledger, run: _Open) -> Swept | None:
    key = {"org": run.org, "run_id": run.run_id, "attempt": run.attempt}
    with ledger.transaction() as connection:
        # Looked at again under the lock: it may have been renewed, opened anew or swept.
        still = ledger.execute(connection, _STILL, key).first()
        if still is None:
            return None
        reason = _reason(run._replace(holder=Holder(*still[0:3]), expired=bool(still[3])))
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
