"""How old the newest rows are, and what is said when that cannot be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.rules.freshness import judge_freshness
from roundsman.rules.windows import Newest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def old(minutes: float) -> Newest:
    return Newest(NOW - timedelta(minutes=minutes), "query")


EMPTY = Newest(None, "metadata")


@pytest.mark.covers("A-041")
@pytest.mark.parametrize(
    ("search", "warehouse", "status", "within"),
    [
        (old(5), old(7), "ok", True),
        (old(30), old(30), "ok", True),
        (old(30.1), old(5), "stale", False),
        (old(5), old(4_000), "stale", False),
        (old(5), EMPTY, "unknown", None),
        (EMPTY, EMPTY, "unknown", None),
        (old(5), None, "unknown", None),
        (None, old(31), "stale", False),
        (EMPTY, old(31), "stale", False),
    ],
)
def test_stale_beats_unknown_beats_ok_and_the_edge_is_within(
    search: Newest | None, warehouse: Newest | None, status: str, within: bool | None
) -> None:
    verdict = judge_freshness(search, warehouse, NOW, 30)
    assert (verdict.status, verdict.within_slo, verdict.slo_minutes) == (status, within, 30)


@pytest.mark.covers("A-041")
def test_time_and_age_are_those_of_the_older_side() -> None:
    verdict = judge_freshness(old(5), old(90), NOW, 30)
    assert verdict.latest_event_ts == NOW - timedelta(minutes=90)
    assert verdict.age_minutes == 90
    assert [reason.quote for reason in verdict.reasons] == [
        "the newest row of the warehouse is 90.0 minutes old (2026-11-21 10:30 UTC), 30 are allowed"
    ]


def test_a_clock_that_is_a_little_ahead_is_no_negative_age() -> None:
    assert judge_freshness(old(-1), old(0), NOW, 30).age_minutes == 0


def test_a_side_without_rows_and_a_side_that_was_not_asked_are_told_apart() -> None:
    verdict = judge_freshness(EMPTY, None, NOW, 30)
    assert [reason.quote for reason in verdict.reasons] == [
        "the search has no row",
        "the warehouse could not be asked for its newest row",
    ]
    assert [side.read for side in verdict.sides] == [True, False]
