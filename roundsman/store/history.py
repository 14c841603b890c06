"""Which runs there were, with their steps and files: what doors read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from roundsman.errors import Mistake
from roundsman.rules.redaction import redact
from roundsman.store.chain import canonical
from roundsman.store.engine import Ledger
from roundsman.store.records import (
    ArtifactRow,
    Ask,
    AuditRow,
    HistoryFilter,
    Json,
    StepRow,
    Unsettled,
)
from roundsman.store.tables import agent_audit_log as log
from roundsman.store.tables import artifacts as artifact_table
from roundsman.store.tables import run_leases
from roundsman.store.tables import steps as step_table

PREFIX_CHARACTERS_MIN = 6
AMBIGUOUS_SHOWN_MAX = 5

# What a request is, beside its parameters; who asks, and with which code, may change.
_REQUEST = ("agent_type", "round", "retry_of", "action_id")


def history(
    ledger: Ledger, org: str, wanted: HistoryFilter | None = None
) -> tuple[list[AuditRow], int]:
    """Return the newest runs that match, and how many match in all."""
    wanted = wanted or HistoryFilter()
    where = [log.c.org_id == org, *_conditions(wanted)]
    page = select(log).where(*where).order_by(log.c.id.desc())
    page = page.limit(wanted.limit).offset(wanted.offset)
    with ledger.core_reading() as connection:
        rows = connection.execute(page).mappings().all()
        total = connection.execute(select(func.count()).select_from(log).where(*where)).scalar_one()
    return [AuditRow.model_validate(dict(row)) for row in rows], total


def last_runs(ledger: Ledger, org: str, rounds: Sequence[tuple[str, str]]) -> dict[str, AuditRow]:
    """Return the newest run of each round, which is given as its agent and its full name."""
    found: dict[str, AuditRow] = {}
    with ledger.core_reading() as connection:
        for agent, name in rounds:
            mine = (log.c.org_id == org, log.c.agent_type == agent, log.c.round == name)
            query = select(log).where(*mine).order_by(log.c.id.desc()).limit(1)
            row = connection.execute(query).mappings().first()
            if row is not None:
                found[name] = AuditRow.model_validate(dict(row))
    return found


def get_run(ledger: Ledger, org: str, run_id: str) -> AuditRow:
    """Return one run by its id, or by the first six or more characters of it.

    Raises Mistake where there is none, or more than one.
    """
    exact = log.c.run_id == run_id
    begins = log.c.run_id.startswith(run_id, autoescape=True)
    match = exact | begins if len(run_id) >= PREFIX_CHARACTERS_MIN else exact
    query = select(log).where(log.c.org_id == org, match).order_by(exact.desc(), log.c.id.desc())
    with ledger.core_reading() as connection:
        rows = connection.execute(query.limit(AMBIGUOUS_SHOWN_MAX)).mappings().all()
    if not rows:
        raise Mistake(f"run '{run_id}' is not in the ledger", "see 'roundsman history'")
    if len(rows) > 1 and rows[0]["run_id"] != run_id:
        known = ", ".join(str(row["run_id"]) for row in rows)
        raise Mistake(f"run '{run_id}' could be any of {known}", "give more characters")
    return AuditRow.model_validate(dict(rows[0]))


def find_by_key(ledger: Ledger, org: str, key: str) -> AuditRow | None:
    """Return the run that was queued with this idempotency key, or None."""
    query = select(log).where(log.c.org_id == org, log.c.idempotency_key == stored_key(key))
    with ledger.core_reading() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else AuditRow.model_validate(dict(row))


def check_same_request(first: AuditRow, ask: Ask) -> None:
    """Raise Mistake where a key is given again for something else than the run that spent it.

    A parameter that only one of them has came or went with the code, and is no difference.
    """
    told: Json = json.loads(canonical(redact(ask.params)))
    known = sorted(first.params.keys() & told.keys())
    wanted = [f"'{name}'" for name in _REQUEST if getattr(first, name) != getattr(ask, name)]
    wanted += [f"parameter '{name}'" for name in known if first.params[name] != told[name]]
    if wanted:
        raise Mistake(
            f"key '{stored_key(ask.key or '')}' was used before, for run '{first.run_id}', which"
            f" differs in {', '.join(wanted)}",
            f"give another key; or see 'roundsman show {first.run_id}' and ask for the same",
        )


def stored_key(key: str) -> str:
    """Return an idempotency key as the ledger holds it: redacted and storable."""
    return str(json.loads(canonical(redact(key))))


def steps(ledger: Ledger, org: str, run_id: str) -> list[StepRow]:
    """Return the steps of all attempts of a run, in order."""
    table = step_table
    query = select(table).where(table.c.org_id == org, table.c.run_id == run_id)
    with ledger.core_reading() as connection:
        rows = connection.execute(query.order_by(table.c.attempt, table.c.step_index)).mappings()
        return [StepRow.model_validate(_without_org(dict(row))) for row in rows]


def artifact_rows(ledger: Ledger, org: str, run_id: str) -> list[ArtifactRow]:
    """Return the files that a run wrote or wanted to write."""
    table = artifact_table
    query = select(table).where(table.c.org_id == org, table.c.run_id == run_id)
    with ledger.core_reading() as connection:
        rows = connection.execute(query.order_by(table.c.path)).mappings()
        return [ArtifactRow.model_validate(_without_org(dict(row))) for row in rows]


def unsettled(ledger: Ledger, limit: int = 100) -> list[Unsettled]:
    """Return closed runs whose state in Prefect was not confirmed yet, oldest first."""
    query = (
        select(log.c.org_id, log.c.run_id, log.c.status, log.c.error_message)
        .join_from(log, run_leases, _same_run())
        .where(run_leases.c.closed)
        .order_by(log.c.completed_at)
        .limit(limit)
    )
    with ledger.core_reading() as connection:
        return [Unsettled(*row) for row in connection.execute(query)]


def queued_without_holder(ledger: Ledger, limit: int = 100) -> list[tuple[str, str]]:
    """Return org and id of runs that wait for a worker, oldest first."""
    query = (
        select(log.c.org_id, log.c.run_id)
        .join_from(log, run_leases, _same_run())
        .where(run_leases.c.attempt == 0, ~run_leases.c.closed, run_leases.c.host.is_(None))
        .order_by(log.c.id)
        .limit(limit)
    )
    with ledger.core_reading() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]


def _same_run() -> ColumnElement[bool]:
    return (log.c.org_id == run_leases.c.org_id) & (log.c.run_id == run_leases.c.run_id)


def _conditions(wanted: HistoryFilter) -> list[ColumnElement[bool]]:
    # A run that never started is listed under the day it was asked for.
    began = func.coalesce(log.c.started_at, log.c.created_at)
    conditions: list[ColumnElement[bool]] = []
    if wanted.agent_type is not None:
        conditions.append(log.c.agent_type == wanted.agent_type)
    if isinstance(wanted.status, str):
        conditions.append(log.c.status == wanted.status)
    elif wanted.status is not None:
        conditions.append(log.c.status.in_(wanted.status))
    if wanted.user_email is not None:
        conditions.append(log.c.user_email == wanted.user_email)
    if wanted.start_date is not None:
        conditions.append(began >= _midnight(wanted.start_date))
    if wanted.end_date is not None:
        conditions.append(began < _midnight(wanted.end_date + timedelta(days=1)))
    return conditions


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _without_org(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("org_id")
    if "step_index" in row:
        row["index"] = row.pop("step_index")
    return row
