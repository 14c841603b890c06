"""What a person reads, and that strangers' text in it stays text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.rules.freshness import judge_freshness
from roundsman.rules.health import Findings, SideFindings, summarize_health
from roundsman.rules.keys import KeyDifference, KeyDifferences
from roundsman.rules.narrowing import Difference
from roundsman.rules.need import Seen
from roundsman.rules.parity import Counts, Tolerance, judge_parity
from roundsman.rules.pulse import judge_pulse
from roundsman.rules.recovery import Gap
from roundsman.rules.remediation import Limits, judge_remediation
from roundsman.rules.report import BUCKETS_PRINTED_MAX, Report, render_markdown
from roundsman.rules.windows import Bucket, Estimate, Newest, Window

DAY = datetime(2026, 11, 16, tzinfo=UTC)
NOW = DAY + timedelta(days=3)


def report(key: str = "mail-1", said: str = "no answer", **changes: Any) -> Report:
    window = Window(start=DAY, end=NOW, zone="UTC", settle_minutes=60, ends_by="search")
    search = [Bucket(DAY + timedelta(days=i), 1_200) for i in range(3)]
    warehouse = [
        Bucket(bucket.start, bucket.count - 100 * (i == 1)) for i, bucket in enumerate(search)
    ]
    keys = KeyDifferences(
        listed=(KeyDifference(kind="missing", key=key, at=DAY + timedelta(hours=30)),),
        found=KeyDifferences().found | {"missing": 100},
    )
    parity = judge_parity(Counts(search, warehouse), window, Tolerance(), keys)
    newest = Newest(NOW, "query")
    freshness = judge_freshness(newest, newest, NOW, 30)
    gap = Gap(step="dbt_pulse", error_type="Unready", said=said)
    unread = judge_pulse(None, NOW, 26)
    seen = Seen(parity=parity, freshness=freshness, pulse=unread)
    found = Findings(parity=parity, freshness=freshness, dbt=unread, keys=keys, gaps=(gap,))
    given = {
        "run_id": "1f2e3d4c",
        "objective": "why is search behind?",
        "made_at": NOW,
        "systems": {"search": "prod, emails-*", "warehouse": "prod, analytics.emails"},
        "window": window,
        "strength": "count",
        "level": "minute",
        "buckets": (Difference(DAY + timedelta(hours=30), 101, 1),),
        "found": found,
        "remediation": judge_remediation(seen, "dry_run", (), Limits(), NOW),
        "summary": summarize_health(found),
    }
    return Report.model_validate(given | changes)


def test_the_verdict_comes_first_then_why_then_days_then_rows() -> None:
    text = render_markdown(report())
    assert text.startswith(
        "# warehouse_health: degraded\n\n**1 of 3 checks passed.** why is search"
    )
    order = ["## Issues", "## Checks", "## Days", "## Differing minutes", "## Rows that differ"]
    assert [text.index(heading) for heading in order] == sorted(text.index(h) for h in order)
    assert "| 2026-11-17 | 1,200 | 1,100 | 100 | 8.33 % | **bad** |" in text
    assert "| **total** | 3,600 | 3,500 | 100 | 2.78 % |  |" in text
    assert "### Missing in the warehouse (100, 1 named)\n\n- `mail-1` 2026-11-17 06:00:00Z" in text
    assert "settled 60 minutes before the newest of search" in text


@pytest.mark.parametrize(
    "evil",
    [
        "![x](http://evil.example/x.png)",
        "<img src=x>",
        "`</code><script>`",
        "a | b",
        "two\nlines\n# heading",
    ],
)
def test_text_of_strangers_is_no_markup(evil: str) -> None:
    text = render_markdown(report(key=evil, said=evil))
    outside = "".join(part for i, part in enumerate(text.split("`")) if i % 2 == 0)
    assert "<img" not in outside
    assert "<script" not in outside
    assert "![x](" not in outside
    assert "\n# heading" not in text
    assert text.count("`") % 2 == 0


def test_a_long_list_of_minutes_is_cut_and_says_so() -> None:
    many = tuple(
        Difference(DAY + timedelta(minutes=i), 1, 0) for i in range(BUCKETS_PRINTED_MAX + 7)
    )
    assert "7 more are in the JSON." in render_markdown(report(buckets=many))


def test_it_is_told_where_duplicates_were_not_looked_for_as_a_whole() -> None:
    found = report().found
    sides = (
        SideFindings(side="search", without_time=0),
        SideFindings(side="warehouse", without_time=0, duplicate_keys=0),
    )
    text = render_markdown(report(found=found.model_copy(update={"sides": sides})))
    assert (
        "- Duplicate keys: not looked for in the search as a whole, only among rows that were "
        "listed\n"
    ) in text
    both = found.model_copy(update={"sides": sides[1:]})
    assert "Duplicate keys" not in render_markdown(report(found=both))


def test_what_sums_of_fingerprints_cannot_see_is_told() -> None:
    text = render_markdown(report(strength="fingerprint"))
    assert "unless they cancel out, so that both count and sum of a bucket agree" in text


def test_the_estimate_before_a_listing_is_told() -> None:
    text = render_markdown(report(estimate=Estimate(3_600, 172_800)))
    assert "estimated at 3,600 rows, 172,800 bytes before" in text


@pytest.mark.covers("A-040", "A-041", "A-042", "A-043", "A-044")
def test_the_artifacts_have_the_fields_of_the_contract_and_are_plain_json() -> None:
    told = json.loads(json.dumps(report().artifacts()))
    assert {
        "status",
        "es_count",
        "bq_count",
        "difference_percent",
        "threshold_percent",
        "daily_breakdown",
    } <= set(told["parity"])
    assert {"status", "latest_event_ts", "age_minutes", "slo_minutes", "within_slo"} <= set(
        told["freshness"]
    )
    assert {"success", "models_run", "duration_sec"} <= set(told["dbt"])
    assert told["remediation"]["triggered"] is False
    assert {"status", "checks_passed", "total_checks", "issues"} <= set(told["summary"])
    assert {"type", "severity", "message", "reasons"} == set(told["summary"]["issues"][0])
    assert told["parity"]["keys"]["missing"] == [
        {"key": "mail-1", "at": "2026-11-17T06:00:00Z", "detail": ""}
    ]
    assert told["parity"]["buckets"] == [
        {"start": "2026-11-17T06:00:00Z", "es_count": 101, "bq_count": 1, "balanced": False}
    ]
