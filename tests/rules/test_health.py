"""What the checks come to, and which issue says what how loudly."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from roundsman.rules.freshness import FreshnessVerdict, SideFreshness
from roundsman.rules.health import Findings, SideFindings, Summary, summarize_health
from roundsman.rules.keys import KeyDifference, KeyDifferences
from roundsman.rules.parity import DayParity, ParityVerdict
from roundsman.rules.pulse import PulseVerdict, SourceFreshness
from roundsman.rules.reasons import Reason
from roundsman.rules.recovery import Gap
from roundsman.rules.schema import FieldDrift
from roundsman.rules.volume import UnusualDay

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def because(signal: str, value: Any = None) -> Reason:
    return Reason(signal=signal, value=value, quote=f"because of {signal}")


def parity(status: str = "ok", signal: str = "day_differs") -> ParityVerdict:
    bad = DayParity(date=date(2026, 11, 16), es_count=100, bq_count=60, difference=40, status="bad")
    return ParityVerdict(
        status=status,  # pyright: ignore
        es_count=100,
        bq_count=60,
        difference=40,
        difference_percent=40.0,
        threshold_percent=5.0,
        min_difference=10,
        daily_breakdown=(bad,) if status == "degraded" else (),
        reasons=() if status == "ok" else (because(signal),),
    )


def freshness(status: str = "ok", read: bool = True) -> FreshnessVerdict:
    sides = (
        SideFreshness(side="search", read=True, status="ok"),
        SideFreshness(side="warehouse", read=read, status=status),  # pyright: ignore
    )
    return FreshnessVerdict(
        status=status,  # pyright: ignore
        latest_event_ts=NOW,
        age_minutes=3.0,
        slo_minutes=30,
        within_slo=status == "ok",
        sides=sides,
        reasons=() if status == "ok" else (because("side_stale"),),
    )


def dbt(status: str = "ok", **more: Any) -> PulseVerdict:
    reasons = (because("dbt_model_failed"),) if status == "degraded" else ()
    return PulseVerdict(status=status, success=status == "ok", reasons=reasons, **more)  # pyright: ignore


def summarize(**changes: Any) -> Summary:
    given = {"parity": parity(), "freshness": freshness(), "dbt": dbt()} | changes
    return summarize_health(Findings.model_validate(given))


def told(summary: Summary) -> list[tuple[str, str]]:
    return [(issue.type, issue.severity) for issue in summary.issues]


@pytest.mark.covers("A-044")
@pytest.mark.parametrize(
    ("of_parity", "of_freshness", "of_dbt", "verdict", "passed"),
    [
        ("ok", "ok", "ok", "healthy", 3),
        ("degraded", "ok", "ok", "degraded", 2),
        ("ok", "stale", "ok", "degraded", 2),
        ("ok", "ok", "degraded", "degraded", 2),
        ("degraded", "stale", "ok", "degraded", 1),
        ("failed", "stale", "degraded", "failed", 0),
        ("failed", "unknown", "ok", "degraded", 1),
        ("ok", "ok", "unknown", "unknown", 2),
        ("unknown", "unknown", "ok", "unknown", 1),
        ("unknown", "stale", "ok", "degraded", 1),
    ],
)
def test_the_verdict_follows_from_the_three_checks(
    of_parity: str, of_freshness: str, of_dbt: str, verdict: str, passed: int
) -> None:
    found = summarize(parity=parity(of_parity), freshness=freshness(of_freshness), dbt=dbt(of_dbt))
    assert (found.status, found.checks_passed, found.total_checks) == (verdict, passed, 3)


@pytest.mark.parametrize("of_dbt", ["ok", "degraded"])
def test_a_side_that_was_not_read_makes_the_whole_unknown(of_dbt: str) -> None:
    gap = Gap(step="query_bq_daily", error_type="Unready", said="no answer", remedy="start it")
    found = summarize(
        parity=parity("unknown", "side_unread"),
        freshness=freshness("unknown", read=False),
        dbt=dbt(of_dbt),
        gaps=(gap,),
    )
    assert found.status == "unknown"
    assert found.issues[0].message == "not seen (query_bq_daily): no answer; start it"
    assert told(found)[0] == ("gap", "high")
    assert {kind for kind, _ in told(found)} <= {"gap", "dbt"}


@pytest.mark.parametrize(
    ("of_freshness", "verdict"), [("ok", "unknown"), ("stale", "degraded"), ("unknown", "unknown")]
)
def test_what_was_not_seen_is_never_healthy(of_freshness: str, verdict: str) -> None:
    gap = Gap(step="query_es_daily", error_type="Refused", said="no blemishes for you")
    found = summarize(freshness=freshness(of_freshness), gaps=(gap,))
    assert found.status == verdict


def test_without_a_dbt_project_there_are_two_checks() -> None:
    found = summarize(dbt=None)
    assert (found.status, found.checks_passed, found.total_checks) == ("healthy", 2, 2)


@pytest.mark.covers("A-044", "A-045", "A-104")
def test_parity_and_freshness_are_high_and_dbt_is_medium() -> None:
    found = summarize(parity=parity("degraded"), freshness=freshness("stale"), dbt=dbt("degraded"))
    assert told(found) == [("parity", "high"), ("freshness", "high"), ("dbt", "medium")]
    assert found.issues[0].message == "search and warehouse differ by 40.0 %; bad: 2026-11-16"
    assert all(issue.reasons for issue in found.issues)


def keys(kind: str, number: int, named: int | None = None) -> KeyDifferences:
    listed = tuple(
        KeyDifference(kind=kind, key=f"k{i}", at=NOW)  # pyright: ignore
        for i in range(number if named is None else named)
    )
    return KeyDifferences(listed=listed, found=KeyDifferences().found | {kind: number})  # pyright: ignore


def test_keys_explain_a_bad_parity_and_are_an_issue_of_their_own_beside_a_good_one() -> None:
    bad = summarize(parity=parity("degraded"), keys=keys("missing", 7))
    assert told(bad) == [("parity", "high")]
    assert bad.issues[0].reasons[-1].quote == ("7 missing in the warehouse: k0, k1, k2, k3, k4 ...")
    good = summarize(keys=keys("changed", 2))
    assert told(good) == [("differing_keys", "low")]
    assert good.issues[0].reasons[0].quote == "2 different on both sides: k0, k1"


@pytest.mark.parametrize(
    ("given", "issue"),
    [
        ({"sides": (SideFindings(side="search", without_time=3),)}, "rows_without_time"),
        ({"sides": (SideFindings(side="warehouse", duplicate_keys=1),)}, "duplicate_keys"),
        ({"sides": (SideFindings(side="search", in_future=True),)}, "rows_in_future"),
        ({"keys": KeyDifferences(rows_without_key=2)}, "rows_without_key"),
    ],
)
def test_blemishes_of_a_side_are_issues_that_change_no_verdict(
    given: dict[str, Any], issue: str
) -> None:
    found = summarize(**given)
    assert told(found) == [(issue, "medium")]
    assert found.status == "healthy"


def test_what_a_limit_cut_off_is_said() -> None:
    found = summarize(parity=parity("degraded"), keys=keys("missing", 500, named=100))
    assert ("cut", "low") in told(found)
    assert "100 differing keys are named" in found.issues[-1].message


def test_minutes_that_differ_though_none_of_their_keys_does_are_told() -> None:
    found = summarize(keys=KeyDifferences(buckets_unexplained=3))
    assert told(found) == [("unexplained", "medium")]
    assert "3 buckets differ, but none of the keys" in found.issues[0].message


def test_volume_and_schema_only_inform() -> None:
    unusual = UnusualDay(
        side="search", day=NOW.date(), count=1, usual=99, score=-9, reason=because("volume")
    )
    drift = FieldDrift(field="x", kind="type_differs", reason=because("schema"))
    found = summarize(unusual_days=(unusual, unusual), drifts=(drift,))
    assert told(found) == [("volume", "info"), ("schema", "info")]
    assert found.issues[0].message.endswith("(and 1 more)")
    assert found.status == "healthy"


def test_a_late_source_and_missing_results_are_told_once() -> None:
    late = SourceFreshness(name="crm.customers", status="warn")
    assert told(summarize(dbt=dbt(late_sources=(late,)))) == [("dbt", "low")]
    assert told(summarize(dbt=dbt("unknown"))) == [("dbt", "medium")]
    assert told(summarize(dbt=dbt("unknown", read=False))) == []
