"""A small platform to make rounds of: two sides, rows to fill them with, and what a run left."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from blocks.dataset import DatasetBlock
from blocks.systems import load_system
from flows.warehouse_health import warehouse_health
from roundsman.envelope import ledger_of
from roundsman.rules.windows import FieldType
from roundsman.settings import get_settings
from roundsman.store import events, history
from roundsman.store.records import AuditRow, EventRow, HistoryFilter, StepRow
from tests.permits import granted

ORG = "default"
ROWS_A_DAY = 96
Mail = dict[str, Any]

FIELDS: dict[str, FieldType] = {
    "received_at": "timestamp",
    "message_id": "keyword",
    "fingerprint": "integer",
    "subject": "text",
}
TWINS: dict[str, Any] = {
    "search": {"local": {"kind": "sqlite", "path": "search.db"}},
    "warehouse": {"local": {"kind": "duckdb", "path": "warehouse.duckdb"}},
    "transform": {
        "local": {"kind": "dbt", "project_dir": "dbt", "profiles_dir": "dbt", "target": "dev"}
    },
}


class Left(NamedTuple):
    """What one run left behind: its row, steps, events, artifacts and files."""

    row: AuditRow
    steps: list[StepRow]
    events: list[EventRow]

    @property
    def artifacts(self) -> dict[str, Any]:
        return self.row.artifacts

    @property
    def summary(self) -> dict[str, Any]:
        return self.row.artifacts["summary"]

    @property
    def issues(self) -> dict[str, dict[str, Any]]:
        return {issue["type"]: issue for issue in self.summary["issues"]}

    def keys(self, kind: str) -> list[str]:
        return [item["key"] for item in self.row.artifacts["parity"]["keys"][kind]]

    def file(self, kind: str) -> Path:
        return Path(self.row.artifacts["files"][kind])

    @property
    def markdown(self) -> str:
        return self.file("markdown").read_text()


class Platform:
    """A home with systems.yaml and two datasets that nobody else uses."""

    def __init__(self, home: Path, systems: dict[str, Any] | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.systems = systems or TWINS
        unique = uuid.uuid4().hex[:8]
        self.prefix = f"health-{unique}"
        self.table = f"health_{unique}.emails"
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.declare(self.systems)

    def declare(self, systems: dict[str, Any]) -> None:
        """Write systems.yaml."""
        (self.home / "systems.yaml").write_text(yaml.safe_dump(systems))

    @property
    def search(self) -> DatasetBlock:
        return load_system("search", "local")  # pyright: ignore[reportReturnType]

    @property
    def warehouse(self) -> DatasetBlock:
        return load_system("warehouse", "local")  # pyright: ignore[reportReturnType]

    def mails(self, days: int = 4, newest_minutes_ago: int = 3) -> list[Mail]:
        """Evenly spread mails up to now, oldest first."""
        newest = self.now - timedelta(minutes=newest_minutes_ago)
        step = timedelta(days=1) / ROWS_A_DAY
        return [mail(i, newest - i * step) for i in reversed(range(days * ROWS_A_DAY))]

    def fill(self, search: Iterable[Mail], warehouse: Iterable[Mail]) -> None:
        """Replace both sides; the search's mails stand in two indices of one pattern."""
        ours = list(search)
        half = len(ours) // 2
        granted(self.search.replace, f"{self.prefix}-1", FIELDS, ours[:half])
        granted(self.search.replace, f"{self.prefix}-2", FIELDS, ours[half:])
        granted(self.warehouse.replace, self.table, FIELDS, list(warehouse))

    def params(self, **changes: Any) -> dict[str, Any]:
        return {
            "index": f"{self.prefix}-*",
            "table": self.table,
            "transform": None,
            "days": 2,
        } | changes

    def look(self, **changes: Any) -> Left:
        """Make one round on the engine and read what it left; raises nothing."""
        params = self.params(**changes)

        async def go() -> None:
            await warehouse_health(params, return_state=True)

        asyncio.run(go())
        return last_run()


def mail(number: int, at: datetime | None) -> Mail:
    return {
        "received_at": at,
        "message_id": f"mail-{number:05d}@sample.example",
        "fingerprint": (number * 2_654_435_761) % 2**32,
        "subject": f"Minutes of meeting {number}",
    }


def without(mails: list[Mail], keys: Iterable[str]) -> list[Mail]:
    gone = set(keys)
    return [row for row in mails if row["message_id"] not in gone]


def on_day(mails: list[Mail], day: datetime) -> list[str]:
    return [row["message_id"] for row in mails if row["received_at"].date() == day.date()]


def last_run() -> Left:
    """The newest run of this home's ledger."""
    ledger = ledger_of(get_settings())
    rows, _ = history.history(ledger, ORG, HistoryFilter(limit=1))
    run_id = rows[0].run_id
    return Left(
        rows[0],
        history.steps(ledger, ORG, run_id),
        events.read_events(ledger, ORG, run_id=run_id),
    )


def same_findings(artifacts: dict[str, Any]) -> dict[str, Any]:
    """What two platforms with the same rows must agree on: all but files, names and ages."""
    kept = json.loads(json.dumps(artifacts))
    for gone in ("files", "systems"):
        kept.pop(gone, None)
    kept["freshness"] = {k: kept["freshness"][k] for k in ("status", "within_slo")}
    kept["parity"]["estimate"] = None
    for moment in ("before", "after"):
        (kept["remediation"][moment] or {}).pop("age_minutes", None)
    for side in kept["sides"]:
        side.pop("duplicate_keys")
    return kept
