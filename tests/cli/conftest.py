"""A home of one's own, the command in-process, and a ledger with runs of every kind in it."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from roundsman.settings import Settings, get_settings


class Said(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


@pytest.fixture
def roundsman(home):
    """Call the command: `roundsman("history", "--json")`."""
    from roundsman.cli.app import app

    def call(*words: str) -> Said:
        ended = CliRunner().invoke(app, list(words), prog_name="roundsman")
        return Said(ended.exit_code, ended.stdout, ended.stderr)

    return call


class Past:
    """Writes runs into the ledger as a run's process would."""

    def __init__(self, settings: Settings) -> None:
        from roundsman.store import open_ledger
        from tests.ledgers import lay_file

        self.org = settings.org_id
        lay_file(settings.home)
        self.ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)

    def run(self, status: str = "success", agent: str = "warehouse_health", **more: Any) -> str:
        """One run that ended so; `more` goes into its Ask or its Closing."""
        from roundsman.store import runs
        from roundsman.store.records import Closing, Note, Opening, StepBegin, StepEnd

        run_id = str(uuid.uuid4())
        opening = self._ask(agent, more)
        runs.queue_run(self.ledger, self.org, run_id, opening, runs.this_holder())
        if status == "queued":
            return run_id
        opening = Opening(**opening.model_dump())
        attempt = runs.open_attempt(self.ledger, self.org, run_id, opening, runs.this_holder())
        where = (self.ledger, self.org, run_id, attempt)
        runs.begin_step(*where, StepBegin(index=0, name="query_es_daily"))
        if status == "running":
            return run_id
        runs.end_step(*where, StepEnd(index=0, status="success", seconds=0.25))
        gap = {"step": "query_bq_daily", "said": "table 'x' missing", "remedy": "name it"}
        runs.note(*where, Note(kind="gap", payload=gap))
        closing = {name: more[name] for name in ("verdict", "artifacts", "error") if name in more}
        runs.close_run(*where, Closing(status=status, duration_seconds=1.5, **closing))
        return run_id

    def age(self, run_id: str, days: int) -> None:
        """Move the end of a run so many days into the past."""
        from datetime import UTC, datetime, timedelta

        from roundsman.store.tables import instant_text

        at = instant_text(datetime.now(UTC) - timedelta(days=days))
        with self.ledger.transaction() as connection:
            statement = "UPDATE agent_audit_log SET completed_at = :at WHERE run_id = :run_id"
            self.ledger.execute(connection, statement, {"at": at, "run_id": run_id})

    def refused(self, message: str) -> str:
        """One run that was refused."""
        from roundsman.store import runs

        error = {"type": "ValidationError", "message": message}
        return runs.record_refused(self.ledger, self.org, self._ask("warehouse_health", {}), error)

    def _ask(self, agent: str, more: dict[str, Any]) -> Any:
        from roundsman.store.records import Ask, AskedBy

        return Ask(
            agent_type=agent,
            plan=["query_es_daily", "query_bq_daily"],
            objective=more.get("objective", "look"),
            params=more.get("params", {}),
            asked_by=AskedBy(kind="cli", name="ann"),
            user_email=more.get("user_email"),
        )


@pytest.fixture
def past(home):
    return Past(get_settings())
