"""Every end of a run is counted, in the words that dashboards ask for."""

from __future__ import annotations

import pytest

from roundsman.store import Ledger, runs
from roundsman.store.metrics import read_metrics, run_samples
from tests.store.words import ORG, ask, begin, finish


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
