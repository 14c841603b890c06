"""Every end of a run is counted, in the words that dashboards ask for."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.store import Ledger, runs
from roundsman.store.gauges import read_gauges
from roundsman.store.metrics import LAST_RUN, LAST_SUCCESS, ROUNDS_MAX, read_metrics, run_samples
from roundsman.store.records import HistoryFilter
from roundsman.store.verify import verify
from tests.store.permits import claim, live, propose
from tests.store.words import ORG, ask, begin, change, finish, queue, rows


def counted(ledger: Ledger, name: str) -> dict[str, float]:
    return {
        ",".join(series.labels.values()): series.value
        for series in read_metrics(ledger, ORG)
        if series.name == name
    }


@pytest.mark.covers("A-085", "A-086")
def test_ends_are_counted_by_agent_and_status_and_durations_in_buckets(ledger: Ledger) -> None:
    for status, seconds in [("success", 0.5), ("success", 7.0), ("crashed", 700.0)]:
        finish(ledger, begin(ledger), status, duration_seconds=seconds)
    runs.record_refused(ledger, ORG, ask(), {"type": "x", "message": "y"})
    assert counted(ledger, "agent_runs_total") == {
        "warehouse_health,success": 2,
        "warehouse_health,failed": 1,
    }
    buckets = counted(ledger, "agent_run_duration_seconds_bucket")
    assert buckets["warehouse_health,1"] == 1
    assert buckets["warehouse_health,5"] == 1
    assert buckets["warehouse_health,10"] == 2
    assert buckets["warehouse_health,600"] == 2
    assert buckets["warehouse_health,+Inf"] == 3
    assert counted(ledger, "agent_run_duration_seconds_count") == {"warehouse_health": 3}
    assert counted(ledger, "agent_run_duration_seconds_sum") == {"warehouse_health": 707.5}
    assert read_metrics(ledger, "nobody") == []


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0, "1"), (1.0, "1"), (1.01, "5"), (600.0, "600"), (601.0, "+Inf")]
)
def test_an_edge_belongs_to_its_bucket(seconds: float, first: str) -> None:
    samples = run_samples("a", "success", seconds)
    buckets = [s.labels for s in samples if s.name.endswith("_bucket")]
    assert f'"le":"{first}"' in buckets[0]
    assert '"le":"+Inf"' in buckets[-1]


def test_a_run_that_never_began_has_no_duration() -> None:
    assert [s.name for s in run_samples("a", "cancelled", None)] == ["agent_runs_total"]
    assert run_samples("a", "refused", None) == []


def gauges(ledger: Ledger, org: str | None = None) -> dict[str, float]:
    """What holds now, by name and labels."""
    return {
        " ".join([series.org, series.name, *series.labels.values()]): series.value
        for series in read_gauges(ledger, org)
    }


def looked(**changed: Any) -> dict[str, Any]:
    """The blocks that a look at a warehouse leaves, with numbers of its parity changed."""
    parity = {"status": "degraded", "es_count": 15000, "bq_count": 15100}
    parity |= {"difference_percent": 0.66, "threshold_percent": 0.5}
    freshness = {"age_minutes": 90.5, "slo_minutes": 30}
    return {"parity": parity | changed, "freshness": freshness, "remediation": {"reason": "none"}}


@pytest.mark.covers("G-A1")
def test_what_a_rounds_last_run_saw_is_told_until_the_next_one_saw_something_else(
    ledger: Ledger,
) -> None:
    finish(ledger, begin(ledger, round="prod"), artifacts=looked())
    finish(ledger, begin(ledger, round="test"), artifacts=looked(status="ok"))
    finish(ledger, begin(ledger, agent_type="other"))
    found = gauges(ledger)
    of = "default warehouse_{} warehouse_health prod"
    assert found[of.format("parity_difference_percent")] == 0.66
    assert found[of.format("parity_threshold_percent")] == 0.5
    assert found[of.format("parity_degraded")] == 1
    assert found[of.format("rows") + " search"] == 15000
    assert found[of.format("rows") + " warehouse"] == 15100
    assert found[of.format("freshness_age_seconds")] == 90.5 * 60
    assert found[of.format("freshness_slo_seconds")] == 30 * 60
    assert found["default warehouse_parity_degraded warehouse_health test"] == 0
    unknown = looked(status="unknown", es_count=None, difference_percent=None)
    finish(ledger, begin(ledger, round="prod"), artifacts=unknown)
    left = {name for name in gauges(ledger) if name.endswith((" prod", " search", " warehouse"))}
    assert of.format("parity_degraded") not in left
    assert of.format("parity_difference_percent") not in left
    assert of.format("rows") + " search" not in left
    assert of.format("rows") + " warehouse" in left
    assert of.format("freshness_age_seconds") in left


def test_a_cancelled_run_saw_nothing_and_a_failed_one_knows_nothing(ledger: Ledger) -> None:
    finish(ledger, begin(ledger, round="prod"), artifacts=looked())
    finish(ledger, begin(ledger, round="prod"), "cancelled", artifacts={})
    assert any("warehouse_rows" in name for name in gauges(ledger))
    finish(ledger, begin(ledger, round="prod"), "failed", artifacts={})
    assert not any("warehouse_rows" in name for name in gauges(ledger))


def test_the_last_success_of_each_round_has_its_time(ledger: Ledger) -> None:
    run_id = begin(ledger, round="prod")
    finish(ledger, run_id)
    finish(ledger, begin(ledger, round="prod"), "failed")
    finish(ledger, begin(ledger))
    row = runs.get_run(ledger, ORG, run_id)
    assert row.completed_at is not None
    found = counted(ledger, "agent_last_success_timestamp_seconds")
    assert found["warehouse_health,prod"] == row.completed_at.timestamp()
    assert set(found) == {"warehouse_health,prod", "warehouse_health,"}
    assert verify(ledger, ORG).ok


def test_what_is_open_is_counted_by_org(ledger: Ledger) -> None:
    assert gauges(ledger) == {}
    queue(ledger)
    begin(ledger)
    begin(ledger, org="acme")
    finish(ledger, begin(ledger))
    found = gauges(ledger)
    assert found["default agent_runs_open warehouse_health queued"] == 1
    assert found["default agent_runs_open warehouse_health running"] == 1
    assert found["acme agent_runs_open warehouse_health running"] == 1
    assert found["acme agent_approvals_waiting"] == 0
    assert found["acme agent_findings_open high open"] == 0
    assert {name.split()[0] for name in gauges(ledger, "acme")} == {"acme"}


def test_permits_that_wait_or_are_unknown_are_counted(ledger: Ledger) -> None:
    run_id = live(ledger)
    for number in (1, 2):
        propose(ledger, run_id, verdict="ask", occasion={"n": number})
    claim(ledger, run_id, propose(ledger, run_id))
    finish(ledger, run_id, "failed")
    found = gauges(ledger)
    assert found["default agent_approvals_waiting"] == 2
    assert found["default agent_actions_unknown"] == 1


def test_a_number_that_somebody_changed_is_told(ledger: Ledger) -> None:
    counted_by_author = [
        {"name": "custom_operations_total", "labels": {"operation_type": "x"}, "value": 3.0}
    ]
    finish(ledger, begin(ledger, round="prod"), counted=counted_by_author)
    assert verify(ledger, ORG).ok
    change(ledger, "UPDATE metrics SET value = 4 WHERE name = 'custom_operations_total'")
    assert "metrics, custom_operations_total" in str(verify(ledger, ORG).first_bad)
    change(ledger, "UPDATE metrics SET value = 3 WHERE name = 'custom_operations_total'")
    change(ledger, "UPDATE metrics SET value = 4 WHERE name = 'agent_last_run'")
    assert "metrics, agent_last_run" in str(verify(ledger, ORG).first_bad)


def test_a_ledger_that_is_older_than_its_marks_is_whole(ledger: Ledger) -> None:
    finish(ledger, begin(ledger, round="prod"))
    change(ledger, f"DELETE FROM metrics WHERE name IN ('{LAST_RUN}', '{LAST_SUCCESS}')")
    assert verify(ledger, ORG).ok


def test_rounds_beyond_the_limit_get_no_marks(ledger: Ledger) -> None:
    finish(ledger, begin(ledger, round="early"))
    row = "INSERT INTO metrics (org_id, name, labels, value) VALUES ('default', '{}', '{{}} {}', 1)"
    change(ledger, *(row.format(LAST_SUCCESS, number) for number in range(ROUNDS_MAX - 1)))
    finish(ledger, begin(ledger, round="late"))
    finish(ledger, begin(ledger, round="early"))
    found = dict(rows(ledger, f"SELECT labels, value FROM metrics WHERE name = '{LAST_SUCCESS}'"))
    assert not [labels for labels in found if "late" in labels]
    assert len(found) == ROUNDS_MAX
    newest = runs.history(ledger, ORG, HistoryFilter())[0][0].completed_at
    early = next(value for labels, value in found.items() if "early" in labels)
    assert newest is not None
    assert early == newest.timestamp()
