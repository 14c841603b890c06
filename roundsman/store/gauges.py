"""Which numbers hold at this moment: what is open, what waits, what each round's last run saw."""

from __future__ import annotations

import json
from typing import Any

from roundsman.rules.health import SEVERITIES
from roundsman.store.driver import Connection
from roundsman.store.engine import Ledger
from roundsman.store.metrics import LAST_RUN, ROUNDS_MAX, Series

SECONDS_PER_MINUTE = 60
WAITS = {"waiting": "agent_approvals_waiting", "unknown": "agent_actions_unknown"}
UNRESOLVED = ("open", "acknowledged")

_ORGS = "SELECT org_id FROM chain_heads{where} ORDER BY org_id"
# A lease is gone soon after its run, so that there are few.
_OPEN = (
    "SELECT l.org_id, a.agent_type, a.status, count(*) FROM run_leases AS l CROSS JOIN"
    " agent_audit_log AS a WHERE a.org_id = l.org_id AND a.run_id = l.run_id AND NOT l.closed"
    " AND a.status IN ('queued', 'running'){and} GROUP BY l.org_id, a.agent_type, a.status"
)
# CROSS JOIN holds SQLite to this order: orgs first, then a seek in the index by state.
_WAITS = (
    "SELECT h.org_id, a.state, count(*) FROM chain_heads AS h CROSS JOIN actions AS a"
    " WHERE a.org_id = h.org_id AND a.state IN ('waiting', 'unknown'){and}"
    " GROUP BY h.org_id, a.state"
)
_FINDINGS = (
    "SELECT h.org_id, f.state, f.severity, count(*) FROM chain_heads AS h CROSS JOIN findings AS f"
    " WHERE f.org_id = h.org_id AND f.state IN ('open', 'acknowledged'){and}"
    " GROUP BY h.org_id, f.state, f.severity"
)
_LAST = (
    "SELECT m.org_id, m.labels, {fields} FROM metrics AS m CROSS JOIN agent_audit_log AS a"
    " WHERE m.name = :name AND a.org_id = m.org_id AND a.id = CAST(m.value AS BIGINT){and}"
    " ORDER BY a.id DESC LIMIT :most"
)
# What `warehouse_health` leaves in its artifacts: the number's name, more labels, its unit.
_SEEN: dict[tuple[str, str], tuple[str, dict[str, str], float]] = {
    ("parity", "difference_percent"): ("warehouse_parity_difference_percent", {}, 1),
    ("parity", "threshold_percent"): ("warehouse_parity_threshold_percent", {}, 1),
    ("parity", "es_count"): ("warehouse_rows", {"side": "search"}, 1),
    ("parity", "bq_count"): ("warehouse_rows", {"side": "warehouse"}, 1),
    ("freshness", "age_minutes"): ("warehouse_freshness_age_seconds", {}, SECONDS_PER_MINUTE),
    ("freshness", "slo_minutes"): ("warehouse_freshness_slo_seconds", {}, SECONDS_PER_MINUTE),
}
# `failed` is a side without any row; what is unknown is no number.
_DEGRADED = {"ok": 0.0, "degraded": 1.0, "failed": 1.0}


def read_gauges(ledger: Ledger, org: str | None = None) -> list[Series]:
    """Return what holds now in one org, or in all; a few seeks, whatever the number of runs."""
    with ledger.reading() as connection:
        look = _Look(connection, ledger, org)
        return [*look.open_runs(), *look.waits(), *look.findings(), *look.last_runs()]


class _Look:
    """One picture of the ledger, of one org or of all."""

    def __init__(self, connection: Connection, ledger: Ledger, org: str | None) -> None:
        self.connection = connection
        self.ledger = ledger
        self.org = org
        self.orgs = [row[0] for row in self._rows(_ORGS, "")]

    def open_runs(self) -> list[Series]:
        return [
            Series(org, "agent_runs_open", {"agent_type": agent, "status": status}, float(count))
            for org, agent, status, count in self._rows(_OPEN, "l.")
        ]

    def waits(self) -> list[Series]:
        found = {(org, state): count for org, state, count in self._rows(_WAITS, "h.")}
        return [
            Series(org, name, {}, float(found.get((org, state), 0)))
            for org in self.orgs
            for state, name in WAITS.items()
        ]

    def findings(self) -> list[Series]:
        found = {tuple(row[:3]): row[3] for row in self._rows(_FINDINGS, "h.")}
        return [
            Series(
                org,
                "agent_findings_open",
                {"severity": severity, "state": state},
                float(found.get((org, state, severity), 0)),
            )
            for org in self.orgs
            for state in UNRESOLVED
            for severity in SEVERITIES
        ]

    def last_runs(self) -> list[Series]:
        sqlite = self.ledger.dialect.name == "sqlite"
        paths = [*_SEEN, ("parity", "status")]
        fields = ", ".join(_field(*path, sqlite) for path in paths)
        rows = self._rows(_LAST.replace("{fields}", fields), "m.", name=LAST_RUN, most=ROUNDS_MAX)
        return [
            one for org, labels, *seen in rows for one in _seen((org, json.loads(labels)), seen)
        ]

    def _rows(self, statement: str, table: str, **values: Any) -> list[Any]:
        condition = "" if self.org is None else f"{table}org_id = :org"
        for mark, word in (("{where}", " WHERE "), ("{and}", " AND ")):
            statement = statement.replace(mark, word + condition if condition else "")
        if self.org is not None:
            values["org"] = self.org
        return list(self.ledger.execute(self.connection, statement, values))


def _field(block: str, name: str, sqlite: bool) -> str:
    """One number out of a document that may be large; only the database parses it."""
    if sqlite:
        return f"json_extract(a.artifacts, '$.{block}.{name}')"
    return f"a.artifacts #>> '{{{block},{name}}}'"


def _seen(of: tuple[str, dict[str, str]], seen: list[Any]) -> list[Series]:
    """What is null was not seen, and is not told."""
    org, labels = of
    *numbers, status = seen
    told = [
        Series(org, name, labels | more, float(value) * unit)
        for (name, more, unit), value in zip(_SEEN.values(), numbers, strict=True)
        if value is not None
    ]
    if status in _DEGRADED:
        told.append(Series(org, "warehouse_parity_degraded", labels, _DEGRADED[status]))
    return told
