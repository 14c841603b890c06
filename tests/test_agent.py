"""What a run leaves behind in the ledger, whichever way it ends; without Prefect, for speed."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from roundsman.agent import AgentParams, Gap, Outcome, agent, current, step
from roundsman.attempt import Launch, launch
from roundsman.envelope import ledger_of
from roundsman.errors import Cancelled, Misread, Mistake, Refused
from roundsman.settings import get_settings
from roundsman.store import runs
from roundsman.store.events import read_events
from roundsman.store.records import Ask, AskedBy, AuditRow, HistoryFilter
from tests.agents import looking as tiny

pytestmark = pytest.mark.usefixtures("run_home")
ORG = "default"


def rows() -> list[AuditRow]:
    found, _ = runs.history(ledger_of(get_settings()), ORG, HistoryFilter())
    return found


def last() -> AuditRow:
    return rows()[0]


def kinds(run_id: str) -> list[str]:
    found = read_events(ledger_of(get_settings()), ORG, run_id=run_id)
    return [event.kind for event in found]


def run(made: Any, params: Any = None) -> Outcome:
    return asyncio.run(made.fn(params))


@pytest.mark.covers("A-001", "A-003", "A-011", "A-100", "A-103")
def test_a_run_is_told_from_its_plan_to_its_artifacts() -> None:
    outcome = run(tiny.looking, tiny.Params(operations=2))
    row = last()
    assert outcome.verdict == row.verdict == "healthy"
    assert row.status == "success"
    assert row.plan == ["first", "second", "third"]
    assert row.artifacts == {"answer": 1}
    assert row.objective == "Look at nothing in three steps."
    assert row.ops_count == 2
    assert row.duration_seconds is not None
    assert row.completed_at is not None
    assert row.code_version.startswith("2.0.0 (roundsman ")
    assert row.params["operations"] == 2
    assert kinds(row.run_id) == [
        "run_started",
        *["step_started", "step_finished"] * 3,
        "run_finished",
    ]


def test_each_step_has_a_row_with_its_time() -> None:
    run(tiny.looking, {"seconds": 0.05})
    steps = runs.steps(ledger_of(get_settings()), ORG, last().run_id)
    assert [(s.index, s.name, s.status) for s in steps] == [
        (0, "first", "success"),
        (1, "second", "success"),
        (2, "third", "success"),
    ]
    assert steps[1].seconds is not None
    assert steps[1].seconds >= 0.05


def test_a_step_begins_in_the_ledger_before_its_body_and_ends_before_the_next() -> None:
    seen: list[list[str]] = []

    @step
    def look() -> None:
        seen.append(kinds(current().id))

    @agent(plan=("a", "b"))
    async def watching(params: AgentParams) -> Outcome:
        await look.named("a")()
        await look.named("b")()
        return Outcome()

    run(watching)
    begun = ["run_started", "step_started"]
    assert seen == [begun, [*begun, "step_finished", "step_started"]]


@pytest.mark.covers("A-024")
def test_a_failed_run_says_what_where_and_how() -> None:
    with pytest.raises(Refused):
        run(tiny.looking, {"fail_times": 9, "fail_with": "refused"})
    error = last().error
    assert error is not None
    assert last().status == "failed"
    assert error["type"] == "ProviderError"
    assert error["step"] == "second"
    assert error["message"] == "search 'emails-*' did not answer; wait a moment"
    assert "in ask" in error["traceback"]
    assert kinds(last().run_id)[-2:] == ["step_failed", "run_failed"]


def test_a_bug_in_a_step_fails_the_run_with_the_step_and_without_secrets() -> None:
    with pytest.raises(KeyError):
        run(tiny.looking, {"fail_times": 1, "fail_with": "bug"})
    error = last().error
    assert error is not None
    assert (error["type"], error["step"]) == ("KeyError", "second")
    assert "hunter2secret" not in str(error)


@pytest.mark.covers("C-033", "C-038", "A-006")
def test_an_unready_step_is_tried_again_and_its_tries_are_told() -> None:
    began = time.monotonic()
    run(tiny.looking, {"fail_times": 1})
    assert time.monotonic() - began >= 0.8
    row = last()
    steps = runs.steps(ledger_of(get_settings()), ORG, row.run_id)
    assert steps[1].tries == 2
    assert "step_retried" in kinds(row.run_id)


def test_every_try_is_an_operation() -> None:
    run(tiny.looking, {"fail_times": 1, "operations": 3})
    assert last().ops_count == 6


@pytest.mark.covers("C-035", "C-038")
@pytest.mark.parametrize(("kind", "error"), [("refused", "Refused"), ("misread", "Misread")])
def test_a_flow_goes_on_with_a_gap(kind: str, error: str) -> None:
    outcome = run(tiny.noting, {"fail_times": 9, "fail_with": kind})
    row = last()
    assert (row.status, row.verdict) == ("success", "unknown")
    assert [(gap.step, gap.error_type) for gap in outcome.gaps] == [("second", error)]
    assert row.artifacts["gaps"][0]["remedy"] == "wait a moment"
    assert "gap" in kinds(row.run_id)


def test_a_gap_raised_after_all_names_its_step() -> None:
    @step
    def misread() -> int:
        raise Misread("shards failed")

    @agent(plan=("count",))
    async def giving_up(params: AgentParams) -> Outcome:
        found = await misread.named("count").or_gap()
        if isinstance(found, Gap):
            raise found.to_error()
        return Outcome()

    with pytest.raises(Misread):
        run(giving_up)
    assert (last().error or {})["step"] == "count"


def test_trouble_of_our_own_ledger_is_no_gap_but_the_end_of_the_run() -> None:
    @step
    def look() -> None:
        with current().ledger.transaction() as connection:
            connection.execute("SELECT 1 FROM nowhere")

    @agent(plan=("count",))
    async def trusting(params: AgentParams) -> Outcome:
        gap = await look.named("count").or_gap()
        return Outcome(verdict="unknown", gaps=[gap] if gap else [])

    with pytest.raises(Misread, match="ledger '.*' refused a statement"):
        run(trusting)
    row = last()
    assert (row.status, (row.error or {})["step"]) == ("failed", "count")
    assert "gap" not in kinds(row.run_id)


def test_an_artifact_is_told_before_and_after_it_is_written() -> None:
    run(tiny.noting)
    row = last()
    told = kinds(row.run_id)
    assert told.index("artifact_intended") < told.index("artifact_written")
    found = get_settings().artifacts.rglob("report.md")
    assert [path.read_text() for path in found] == ["gaps: 0\n"]


def test_a_wrong_parameter_is_a_refused_row_and_a_sentence() -> None:
    with pytest.raises(Mistake, match="'dais'"):
        run(tiny.looking, {"dais": 3})
    row = last()
    assert row.status == "refused"
    assert row.params == {"dais": 3}
    assert (row.error or {})["type"] == "ValidationError"
    assert "known are: " in (row.error_message or "")


def test_a_parameter_that_the_record_would_have_to_hide_is_refused() -> None:
    with pytest.raises(Mistake, match="'objective' looks like a secret"):
        run(tiny.looking, {"objective": "see postgresql://ann:hunter2@db/x"})
    assert last().status == "refused"
    assert "hunter2" not in last().model_dump_json()


def test_an_unknown_system_refuses_the_run_before_it_begins() -> None:
    with pytest.raises(Mistake, match="no system called"):
        run(tiny.systematic, {"window": {"zone": "Mars"}})
    assert last().status == "refused"
    run(tiny.systematic)
    assert last().systems == {"search/local": "abc"}


def break_policy() -> None:
    get_settings().home.mkdir(exist_ok=True)
    get_settings().policy.write_text("version: 1\nrules: [")


def test_a_broken_policy_refuses_the_run_before_its_first_step() -> None:
    break_policy()
    with pytest.raises(Mistake, match="policy.yaml' line 2"):
        run(tiny.looking)
    assert last().status == "refused"
    assert kinds(last().run_id) == ["run_refused"]


def test_an_operation_that_only_looks_goes_on_without_a_policy() -> None:
    @agent(operation=True)
    async def glancing(params: AgentParams) -> Outcome:
        """Look, and be of use where the policy is what is wrong."""
        return Outcome(verdict="healthy")

    break_policy()
    run(glancing)
    assert last().status == "success"
    with pytest.raises(Mistake, match="policy.yaml' line 2"):
        run(glancing, {"dry_run": False, "allow_actions": True})
    assert last().status == "refused"


def test_a_step_that_is_not_on_the_card_fails_the_run() -> None:
    with pytest.raises(Mistake, match="'elsewhere' is not in the plan of 'straying'"):
        run(tiny.straying)
    assert last().status == "failed"


@pytest.mark.covers("A-016")
def test_a_run_is_dry_unless_told_otherwise() -> None:
    run(tiny.looking)
    assert last().dry_run is True
    run(tiny.looking, {"dry_run": False})
    assert last().dry_run is False


def test_a_run_that_is_opened_again_is_the_next_attempt() -> None:
    ask = Ask(agent_type="looking", asked_by=AskedBy(kind="cli", name="ann"))

    async def twice() -> None:
        from roundsman.agent import spec_of
        from roundsman.attempt import attempt
        from roundsman.events import Whereabouts
        from roundsman.store.holders import this_holder
        from roundsman.store.records import Opening

        where = Whereabouts("11111111-0000-4000-8000-000000000000", False, ask.asked_by)
        ledger = ledger_of(get_settings())
        opening = Opening(**ask.model_dump())
        assert runs.open_attempt(ledger, ORG, where.run_id, opening, this_holder()) == 1
        launch.set(Launch(where.run_id, ask))
        ended = await attempt(spec_of(tiny.looking), {}, where)
        assert ended.status == "success"

    asyncio.run(twice())
    assert last().attempt == 2
    assert last().asked_by == ask.asked_by


def test_a_cancel_from_another_door_is_heard_within_seconds() -> None:
    async def cancelled() -> float:
        working = asyncio.create_task(tiny.looking.fn({"seconds": 3}))
        ledger = ledger_of(get_settings())
        deadline = time.monotonic() + 5
        while "step_started" not in str([kinds(r.run_id) for r in rows()]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        asked = time.monotonic()
        runs.request_cancel(ledger, ORG, last().run_id, "ann")
        with pytest.raises(Cancelled):
            await working
        return time.monotonic() - asked

    assert asyncio.run(cancelled()) < 2.5
    row = last()
    assert row.status == "cancelled"
    steps = runs.steps(ledger_of(get_settings()), ORG, row.run_id)
    assert steps[-1].status == "cancelled"


def test_a_cancelled_task_closes_its_run_as_cancelled() -> None:
    async def cancelled() -> None:
        working = asyncio.create_task(tiny.looking.fn({"seconds": 3}))
        while not rows() or last().status != "running":
            await asyncio.sleep(0.02)
        working.cancel()
        with pytest.raises(Cancelled):
            await working

    asyncio.run(cancelled())
    assert last().status == "cancelled"


def test_an_attempt_that_was_declared_dead_can_write_nothing_more(tmp_path: Path) -> None:
    effect = tmp_path / "effect"

    async def overtaken() -> None:
        from roundsman.store.holders import this_holder
        from roundsman.store.records import Opening

        working = asyncio.create_task(tiny.looking.fn({"seconds": 1, "file": str(effect)}))
        while not rows() or last().status != "running":
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        row = last()
        ask = Opening(agent_type="looking", asked_by=AskedBy(kind="cli"))
        runs.open_attempt(ledger_of(get_settings()), ORG, row.run_id, ask, this_holder())
        from prefect.exceptions import Abort

        with pytest.raises(Abort):
            await working

    asyncio.run(overtaken())
    assert effect.read_text() == "first\n"
    assert last().status == "running"
    assert last().attempt == 2


def test_only_steps_retry() -> None:
    with pytest.raises(Mistake, match="'retries'"):
        agent(plan=("a",), retries=2)


def test_an_agent_takes_one_nested_argument() -> None:
    async def wrong(params: AgentParams, days: int) -> Outcome:
        return Outcome()

    with pytest.raises(Mistake, match="'wrong'"):
        agent()(wrong)


def test_a_step_outside_of_a_run_is_its_body_with_retries() -> None:
    assert asyncio.run(tiny.act(None, "word")) == "word"


def test_steps_run_at_once_in_threads() -> None:
    together = threading.Barrier(4, timeout=30)

    @step
    def wait() -> None:
        together.wait()

    @agent(plan=("wait",))
    async def waiting(params: AgentParams) -> Outcome:
        await asyncio.gather(*(wait() for _ in range(4)))
        return Outcome()

    run(waiting)
    steps = runs.steps(ledger_of(get_settings()), ORG, last().run_id)
    assert [s.index for s in steps] == [0, 1, 2, 3]


def test_an_agent_called_as_a_function_inside_another_one_does_not_fence_it() -> None:
    @agent(plan=("wait",))
    async def around(params: AgentParams) -> Outcome:
        inner = await tiny.looking.fn({})
        return Outcome(verdict=inner.verdict)

    assert run(around).verdict == "healthy"
    inner, outside = rows()
    assert inner.parent_run_id == outside.run_id


@pytest.mark.parametrize("given", [None, Outcome(artifacts={"x": object()})])
def test_what_is_no_outcome_is_a_failed_run(given: Any) -> None:
    @agent(plan=("wait",))
    async def odd(params: AgentParams) -> Outcome:
        return given

    with pytest.raises(Mistake, match="agent 'odd' gave back"):
        run(odd)
    assert last().status == "failed"
