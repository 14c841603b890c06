"""A mart that dbt builds from what arrives, and live rounds over it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from blocks.systems import load_system
from flows.operations.undo import undo
from flows.warehouse_health import warehouse_health
from roundsman.envelope import ledger_of
from roundsman.settings import get_settings
from roundsman.store import approvals
from roundsman.store.approvals import Wanted
from roundsman.store.records import ActionRow
from tests.flows.platforms import ORG, TWINS, Left, Platform, last_run
from tests.permits import granted

LIVE = {"dry_run": False, "allow_actions": True}
PROJECT = """
name: marts
version: "1.0"
profile: marts
model-paths: [models]
models:
  marts: {+schema: marts, +materialized: table}
"""
PROFILES = """
marts:
  target: dev
  outputs:
    dev: {type: duckdb, path: ../warehouse.duckdb, threads: 1, schema: main}
"""
# dbt would call the schema main_marts.
SCHEMA_NAME = """
{% macro generate_schema_name(custom, node) %}{{ custom or target.schema }}{% endmacro %}
"""


class Mart(Platform):
    """A platform whose table is a mart that dbt builds from the rows that arrive."""

    def __init__(self, home: Path, hook: str) -> None:
        notify = {"ops": {"kind": "slack", "url": "${HOOK_URL}"}}
        super().__init__(home, TWINS | {"notify": notify})
        self.raw, self.table = self.table, "marts.emails"
        models = home / "dbt/models"
        models.mkdir(parents=True)
        (home / "dbt/macros").mkdir()
        (home / "dbt/dbt_project.yml").write_text(PROJECT)
        (home / "dbt/profiles.yml").write_text(PROFILES)
        (home / "dbt/macros/schema.sql").write_text(SCHEMA_NAME)
        (models / "emails.sql").write_text(f"select * from {self.raw}")

    def build(self) -> None:
        """Build the mart as somebody else would."""
        transform: Any = load_system("transform", "local")
        granted(transform.build, [])

    def arrive(self, newest_minutes_ago: int) -> None:
        """Let rows up to then be in the search and in the raw table, not in the mart."""
        mails = self.mails(newest_minutes_ago=newest_minutes_ago)
        self.table, mart = self.raw, self.table
        self.fill(mails, mails)
        self.table = mart

    def act(self, **changes: Any) -> Left:
        """Make one live round."""
        params = self.params(
            transform="local", findings={"channel": "ops", "owner": "ada"}, **(LIVE | changes)
        )
        asyncio.run(warehouse_health.fn(params))
        return last_run()


def ledger() -> Any:
    return ledger_of(get_settings())


def actions(verb: str) -> list[ActionRow]:
    found = approvals.list_actions(ledger(), ORG, Wanted())
    return [row for row in found if row.action == verb]


def write_policy(home: Path, *rules: dict[str, Any]) -> None:
    known = [{"id": "send", "verdict": "allow", "actions": ["send"]}]
    (home / "policy.yaml").write_text(yaml.safe_dump({"version": 1, "rules": [*known, *rules]}))


def take_back(run_id: str, **changed: Any) -> Left:
    """Undo a run as a person who types it; what that run left."""
    asyncio.run(undo.fn({"run_id": run_id, **(LIVE | changed)}))
    return last_run()
