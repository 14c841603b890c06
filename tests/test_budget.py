"""What a run may ask of the outside, and what happens when it asks for more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roundsman.agent import AgentParams, Outcome, agent, step
from roundsman.budget import DEFAULT_TIMEOUT, spend
from roundsman.envelope import ledger_of
from roundsman.errors import BudgetSpent
from roundsman.settings import get_settings
from roundsman.store import runs
from roundsman.store.events import read_events
from roundsman.store.records import AuditRow, HistoryFilter
from tests.agents import looking as tiny

pytestmark = pytest.mark.usefixtures("run_home")


def last() -> AuditRow:
    found, _ = runs.history(ledger_of(get_settings()), "default", HistoryFilter())
    return found[0]


def told(kind: str) -> int:
    found = read_events(ledger_of(get_settings()), "default", run_id=last().run_id)
    return len([event for event in found if event.kind == kind])


def run(made: Any, params: dict[str, Any]) -> Outcome:
    return asyncio.run(made.fn(params))


def test_outside_of_a_run_nothing_is_counted() -> None:
    assert spend("a question") == DEFAULT_TIMEOUT == 60.0


@pytest.mark.covers("A-070", "A-072", "F8")
def test_warn_counts_says_so_once_and_refuses_nothing() -> None:
    run(tiny.looking, {"operations": 7, "budget_ops": 3})
    status = last().budget["status"]
    assert last().status == "success"
    assert last().ops_count == 7
    assert status == {
        "exceeded": True,
        "time_limit": None,
        "time_used": status["time_used"],
        "ops_limit": 3,
        "ops_used": 7,
    }
    assert told("budget_exceeded") == 1


def test_within_the_budget_nothing_is_said() -> None:
    run(tiny.looking, {"operations": 3, "budget_ops": 3, "budget_ms": 60_000})
    assert last().budget["status"]["exceeded"] is False
    assert told("budget_exceeded") == 0


@pytest.mark.covers("A-071")
def test_time_is_looked_at_after_the_work_too() -> None:
    run(tiny.looking, {"seconds": 0.2, "budget_ms": 100})
    assert last().status == "success"
    assert last().budget["status"]["exceeded"] is True
    assert told("budget_exceeded") == 1


def test_enforce_refuses_the_next_operation_and_counts_none_that_was_not_made() -> None:
    with pytest.raises(BudgetSpent, match="all 3 operations are used"):
        run(tiny.looking, {"operations": 7, "budget_ops": 3, "budget_mode": "enforce"})
    assert last().status == "failed"
    assert last().ops_count == 3
    assert last().budget["status"]["exceeded"] is True
    assert (last().error or {})["type"] == "BudgetExceeded"


def test_enforce_with_gaps_still_reports() -> None:
    run(tiny.noting, {"operations": 7, "budget_ops": 3, "budget_mode": "enforce"})
    assert last().status == "success"
    assert last().verdict == "unknown"
    assert last().artifacts["gaps"][0]["error_type"] == "BudgetSpent"


def test_the_deadline_cuts_a_slow_step_and_the_partial_report_is_kept_within_it() -> None:
    with pytest.raises(BudgetSpent):
        run(tiny.noting, {"seconds": 20, "budget_ms": 2000, "budget_mode": "enforce"})
    row = last()
    assert row.status == "timed_out"
    assert row.verdict == "unknown"
    assert row.artifacts["report"] == "report.md"
    assert row.artifacts["gaps"][0]["step"] == "second"
    assert row.budget["status"]["time_used"] <= 2000


def test_what_is_left_shortens_a_calls_time_out() -> None:
    allowed: list[float] = []

    @step
    def ask() -> None:
        allowed.append(spend("a question"))

    @agent(plan=("ask",))
    async def asking(params: AgentParams) -> Outcome:
        await ask()
        return Outcome()

    run(asking, {"budget_ms": 2000, "budget_mode": "enforce"})
    run(asking, {"budget_ms": 2000})
    assert 0 < allowed[0] <= 1.6
    assert allowed[1] == DEFAULT_TIMEOUT


def test_a_retry_that_would_come_too_late_is_not_waited_for() -> None:
    run(tiny.noting, {"fail_times": 9, "budget_ms": 900, "budget_mode": "enforce"})
    assert last().budget["status"]["time_used"] <= 900
    assert last().status == "success"
    assert last().artifacts["gaps"][0]["error_type"] == "Unready"


def test_steps_at_once_never_spend_more_than_there_is() -> None:
    refused: list[int] = []

    @step
    def ask(number: int) -> None:
        try:
            spend(f"question {number}")
        except BudgetSpent:
            refused.append(number)

    @agent(plan=("ask",))
    async def asking(params: AgentParams) -> Outcome:
        await asyncio.gather(*(ask(number) for number in range(12)))
        return Outcome()

    run(asking, {"budget_ops": 5, "budget_mode": "enforce"})
    assert last().ops_count == 5
    assert len(refused) == 7
