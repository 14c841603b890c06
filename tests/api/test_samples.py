"""The samples of the specification (A.2 to A.4, A.11) over HTTP, byte for byte where verbatim."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from roundsman import catalog
from roundsman.store import runs
from roundsman.store.artifacts import ArtifactStore
from tests.api.served import Api
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer
from tests.store.words import ORG, begin, finish, whole_run

# What no sample can know: ids, times, lengths.
FREE = {
    "UUID": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "TIME": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z",
    "NUMBER": r"\d+",
    "SECONDS": r"\d+\.\d+",
}
# The body of A-105, with the fields of.
WHOLE = {
    "agent_type": "warehouse_health",
    "objective": "Check data freshness and parity",
    "dry_run": True,
    "allow_actions": False,
    "config": {
        "es": {"index": "emails-prod-*", "days": 7},
        "bq": {"dataset": "analytics", "table": "emails", "project": "my-project"},
        "dbt": {"target": "prod", "models": ["tag:daily", "tag:critical"], "full_refresh": False},
    },
    "params": {},
    "budget_ms": 60000,
    "budget_ops": 100,
}


def like(sample: str) -> re.Pattern[str]:
    """The sample's bytes, with <UUID> and its like for what differs each time."""
    return re.compile(re.sub(r"<(\w+)>", lambda word: FREE[word[1]], re.escape(sample)))


def wire(document: Any) -> str:
    """How a document goes over the wire."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def stream_of(api: Api, run_id: str) -> str:
    return api.get(f"/agents/events?run_id={run_id}", api.key("read")).text


@pytest.mark.engine
@pytest.mark.covers("A-014", "A-015", "A-016", "A-017", "A-018", "A-019", "A-020", "A-021", "A-105")
def test_the_whole_request_is_taken_as_it_stands(
    serve: Callable[..., Api], prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url)
    answer = api.post("/agents/execute", json=WHOLE)
    # No field of it is refused; that this machine knows no systems is what the run itself finds.
    run_id = answer.json()["run_id"]
    row = runs.get_run(api.ledger, ORG, run_id)
    assert row.params | WHOLE_PARAMS == row.params
    assert (row.agent_type, row.user_email) == ("warehouse_health", "me@here.org")


WHOLE_PARAMS = {
    "index": "emails-prod-*",
    "days": 7,
    "table": "my-project.analytics.emails",
    "transform": "prod",
    "dbt_selectors": ["tag:daily", "tag:critical"],
    "dry_run": True,
    "allow_actions": False,
    "objective": "Check data freshness and parity",
    "budget_ms": 60000,
    "budget_ops": 100,
}


@pytest.mark.covers("A-022", "A-023")
def test_a_run_that_went_well_is_told_in_the_order_of_the_sample(api: Api) -> None:
    told = api.get(f"/agents/runs/{whole_run(api.ledger)}").text
    assert like(
        '{"run_id":"<UUID>","status":"success","started_at":"<TIME>","completed_at":"<TIME>",'
        '"duration_seconds":<SECONDS>,"artifacts":{"n":1},'
    ).match(told)
    for name in ("ops_count", "duration_ms", "budget_status"):
        assert f'"{name}":' in told


@pytest.mark.covers("A-024", "A-102")
def test_a_run_that_failed_is_told_as_in_the_sample(api: Api) -> None:
    error = {
        "type": "ProviderError",
        "message": "search 'emails-*' did not answer",
        "step": "query_es_daily",
        "traceback": "Traceback (most recent call last): ...",
    }
    run_id = begin(api.ledger)
    finish(api.ledger, run_id, "failed", error=error, verdict=None, artifacts={})
    told = api.get(f"/agents/runs/{run_id}", api.key("admin")).text
    assert told.startswith(f'{{"run_id":"{run_id}","status":"failed",')
    assert f'"error":{wire(error)}' in told


@pytest.mark.covers("A-007", "A-025")
def test_a_wrong_agent_is_answered_with_those_there_are(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = catalog.cards()[0]
    known = [card, card._replace(name="my_custom_agent")]
    monkeypatch.setattr(catalog, "cards", lambda: known)
    answer = api.post("/agents/execute", json={"agent_type": "unknown_agent"})
    sample = (
        '"error":"Invalid agent_type: \'unknown_agent\'. '
        'Available: warehouse_health, my_custom_agent"'
    )
    assert (answer.status_code, sample in answer.text) == (422, True)


@pytest.mark.covers("A-028", "A-029", "A-030", "A-111")
def test_the_events_of_a_good_run_are_those_of_the_sample(api: Api) -> None:
    run_id = whole_run(api.ledger, 0)
    told = stream_of(api, run_id)
    assert like(
        "event: run_started\n"
        f'data: {{"run_id":"{run_id}","agent_type":"warehouse_health","objective":"look",'
        '"plan":{"steps":["query","judge"],"dry_run":true},"timestamp":"<TIME>"}\n\n'
    ).search(told)
    assert like(
        "event: run_finished\n"
        f'data: {{"run_id":"{run_id}","status":"success","duration_seconds":<SECONDS>,'
        '"artifacts":{"n":1},"timestamp":"<TIME>"}\n\n'
    ).search(told)


@pytest.mark.covers("A-031")
def test_the_last_event_of_a_failed_run_is_that_of_the_sample(api: Api) -> None:
    run_id = begin(api.ledger)
    finish(api.ledger, run_id, "failed", error={"type": "ProviderError", "message": "no answer"})
    assert like(
        "event: run_failed\n"
        f'data: {{"run_id":"{run_id}","error":"no answer","timestamp":"<TIME>"}}\n\n'
    ).search(stream_of(api, run_id))


@pytest.mark.covers("A-033", "A-034", "A-113")
def test_the_history_is_that_of_the_sample(api: Api) -> None:
    whole_run(api.ledger, user_email="user@example.com")
    query = "agent_type=warehouse_health&status=success&limit=10"
    query += "&start_date=2025-10-01&end_date=9998-12-31"
    told = api.get(f"/agents/history?{query}").text
    assert like(
        '{"runs":[{"id":<NUMBER>,"agent_type":"warehouse_health","objective":"look",'
        '"status":"success","user_email":"user@example.com","started_at":"<TIME>",'
        '"completed_at":"<TIME>","duration_seconds":<SECONDS>,'
    ).match(told)
    assert told.endswith('],"total":1}')


@pytest.mark.covers("A-079", "A-083", "A-084")
def test_files_are_listed_and_given_under_the_names_of_the_samples(api: Api) -> None:
    store = ArtifactStore(api.settings.artifacts, ORG)
    names = ["email_activity_2025-W42.md", "report_2025-10-17_103045.md"]
    for name in names:
        store.write(name, f"# {name}\n", "warehouse_health")
    listed = api.get("/agents/artifacts/warehouse_health").json()
    assert [file["path"] for file in listed["files"]] == names
    for name in names:
        given = api.get(f"/agents/artifacts/warehouse_health/{name}")
        assert given.content == f"# {name}\n".encode()
