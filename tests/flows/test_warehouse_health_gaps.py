"""A round in which something is missing: data, a system, budget, or sense in the parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.flows.platforms import TWINS, Platform, on_day, without

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home", "prefect_api")]

# Nothing listens on the discard port.
NOWHERE = "http://127.0.0.1:9"
DOWN: dict[str, Any] = {
    "search": {"local": {"kind": "elasticsearch", "url": NOWHERE}},
    "warehouse": {
        "local": {"kind": "bigquery", "project": "nobody", "api_endpoint": NOWHERE},
    },
}


def test_no_row_on_either_side_is_no_data(platform: Platform) -> None:
    platform.fill([], [])
    left = platform.look()
    assert (left.row.status, left.row.verdict) == ("success", "unknown")
    assert "no data" in left.issues["parity"]["message"]
    assert left.summary["checks_passed"] == 0
    assert "no data" in left.file("picture").read_text()


def test_an_empty_side_is_never_ok(twins: Platform) -> None:
    twins.fill(twins.mails(), [])
    left = twins.look()
    assert left.artifacts["parity"]["status"] == "failed"
    assert left.row.verdict == "failed"
    assert "the warehouse is empty" in left.markdown


@pytest.mark.parametrize("down", ["search", "warehouse"])
def test_one_side_down_is_unknown_and_the_gap_is_named(twins: Platform, down: str) -> None:
    mails = twins.mails()
    twins.fill(mails, mails)
    twins.declare(TWINS | {down: DOWN[down]})
    left = twins.look()
    assert (left.row.status, left.row.verdict) == ("success", "unknown")
    parity = left.artifacts["parity"]
    assert parity["status"] == "unknown"
    assert parity["es_count" if down == "search" else "bq_count"] is None
    (gap,) = left.artifacts["gaps"]
    step = {"search": "query_es_daily", "warehouse": "query_bq_daily"}[down]
    assert (gap["step"], gap["error_type"]) == (step, "Unready")
    assert gap["remedy"]
    assert left.issues["gap"]["severity"] == "high"
    assert [event.kind for event in left.events].count("gap") == 1
    assert [event.kind for event in left.events].count("step_retried") == 3
    assert f"the {down} was not read" in left.file("picture").read_text()


@pytest.mark.covers("A-024")
def test_with_nothing_reachable_the_run_fails_with_the_systems_own_error(twins: Platform) -> None:
    twins.declare(TWINS | DOWN)
    left = twins.look()
    assert (left.row.status, left.row.verdict) == ("failed", None)
    error = left.row.error or {}
    assert (error["type"], error["step"]) == ("ProviderError", "query_es_daily")
    assert "127.0.0.1:9" in error["message"]
    assert "Traceback" in error["traceback"]
    assert left.events[-1].kind == "run_failed"


@pytest.mark.parametrize("operations", [3, 5, 8])
def test_an_enforced_budget_leaves_a_partial_report(twins: Platform, operations: int) -> None:
    mails = twins.mails()
    twins.fill(mails, without(mails, on_day(mails, twins.now - timedelta(days=1))[:40]))
    left = twins.look(budget_ops=operations, budget_mode="enforce")
    assert left.row.status == "success"
    assert left.row.budget["status"]["ops_used"] <= operations
    assert left.row.budget["status"]["exceeded"] is True
    assert {gap["error_type"] for gap in left.artifacts["gaps"]} == {"BudgetSpent"}
    assert "all" in left.markdown
    assert "operations are used" in left.markdown
    done = [step.name for step in left.steps if step.status == "success"]
    assert done[-1] == "summarize"


def test_a_window_too_large_to_list_is_refused_before_it_is_read(twins: Platform) -> None:
    mails = twins.mails()
    twins.fill(mails, mails)
    left = twins.look(strength="keys", rows_max=50)
    assert (left.row.status, left.row.verdict) == ("success", "unknown")
    (gap,) = left.artifacts["gaps"]
    assert gap["error_type"] == "Refused"
    assert "only 50 are listed" in gap["said"]
    assert "raise rows_max" in gap["remedy"]
    assert left.artifacts["parity"]["reasons"][0]["signal"] == "look_incomplete"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strength": "fingerprint"}, "needs search_fingerprint_field"),
        ({"days": 0}, "at least 1"),
        ({"time_zone": "Mars/Olympus"}, "is no time zone"),
        ({"dais": 3}, "unknown parameter 'dais'"),
        ({"warehouse": "prod"}, "there is no warehouse named 'prod'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_read(
    twins: Platform, given: dict[str, Any], said: str
) -> None:
    left = twins.look(**given)
    assert left.row.status == "refused"
    assert said in (left.row.error_message or "")
    assert left.steps == []
