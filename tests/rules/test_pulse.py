"""Is the transformation alive: last run, its age, its sources."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.rules.pulse import NodeResult, PulseReading, SourceFreshness, judge_pulse

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def node(name: str, status: str, kind: str = "model") -> NodeResult:
    return NodeResult(name=name, kind=kind, status=status, message="no such column")  # pyright: ignore


GOOD = (node("mails", "success"), node("unique_mails_id", "pass", "test"))
FRESH = SourceFreshness(name="crm.customers", status="pass", age_seconds=60)


def reading(hours: float | None = 2, nodes: tuple[NodeResult, ...] = GOOD, **more: object):
    ran_at = None if hours is None else NOW - timedelta(hours=hours)
    given = {"sources": (FRESH,), "duration_seconds": 4.321} | more
    return PulseReading(ran_at=ran_at, nodes=nodes, **given)  # pyright: ignore


def stale(status: str) -> SourceFreshness:
    return SourceFreshness(
        name="crm.customers",
        status=status,  # pyright: ignore
        age_seconds=3 * 86_400,
        error_after_seconds=86_400,
    )


@pytest.mark.covers("A-042")
def test_the_block_of_the_contract() -> None:
    verdict = judge_pulse(reading(), NOW, 26)
    told = verdict.model_dump()
    assert (told["status"], told["success"]) == ("ok", True)
    assert (told["models_run"], told["tests_run"], told["duration_sec"]) == (1, 1, 4.32)
    assert verdict.age_hours == 2


@pytest.mark.parametrize("status", ["error", "fail", "runtime error", "partial success"])
def test_a_node_that_failed_degrades_and_is_quoted(status: str) -> None:
    verdict = judge_pulse(reading(nodes=(*GOOD, node("orders", status))), NOW, 26)
    assert (verdict.status, verdict.success) == ("degraded", False)
    assert verdict.reasons[0].quote == f"dbt model 'orders' ended as {status}: no such column"


@pytest.mark.parametrize("status", ["success", "pass", "skipped", "no-op", "warn"])
def test_a_node_that_did_not_fail_does_not_degrade(status: str) -> None:
    assert judge_pulse(reading(nodes=(node("orders", status),)), NOW, 26).status == "ok"


def test_a_skipped_model_was_not_run() -> None:
    verdict = judge_pulse(reading(nodes=(*GOOD, node("late", "skipped"))), NOW, 26)
    assert verdict.models_run == 1


@pytest.mark.parametrize(("hours", "status"), [(26, "ok"), (26.5, "degraded")])
def test_a_run_that_is_too_old_degrades(hours: float, status: str) -> None:
    assert judge_pulse(reading(hours), NOW, 26).status == status


@pytest.mark.parametrize(
    ("source", "status", "signal"),
    [("error", "degraded", "dbt_source_stale"), ("runtime error", "degraded", "dbt_source_stale")],
)
def test_a_stale_source_degrades_though_the_run_was_whole(
    source: str, status: str, signal: str
) -> None:
    verdict = judge_pulse(reading(sources=(stale(source),)), NOW, 26)
    assert (verdict.status, verdict.success) == (status, True)
    assert verdict.reasons[0].signal == signal
    assert verdict.reasons[0].quote == (
        "dbt source 'crm.customers' is stale: newest row 72.0 hours old, 24.0 allowed"
    )


def test_a_warning_is_no_failure() -> None:
    verdict = judge_pulse(reading(sources=(stale("warn"),)), NOW, 26)
    assert verdict.status == "ok"
    assert [source.name for source in verdict.late_sources] == ["crm.customers"]


def test_without_results_of_a_run_nothing_is_ok() -> None:
    verdict = judge_pulse(reading(None, ()), NOW, 26)
    assert (verdict.status, verdict.success, verdict.age_hours) == ("unknown", None, None)
    assert judge_pulse(reading(None, (), sources=(stale("error"),)), NOW, 26).status == "degraded"


def test_a_project_that_could_not_be_read_is_unknown() -> None:
    verdict = judge_pulse(None, NOW, 26)
    assert (verdict.status, verdict.read) == ("unknown", False)
