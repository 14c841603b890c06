"""What a round leaves behind when Elasticsearch dies in the middle of it, or becomes slow."""

from __future__ import annotations

import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.platforms import Platform, on_day, without
from tests.servers import elasticsearch as real
from tests.servers.between import between
from tests.servers.shared import RUNS

pytestmark = [
    pytest.mark.engine,
    pytest.mark.needs("elasticsearch"),
    pytest.mark.usefixtures("run_home", "prefect_api"),
]


# The fourth question of a round: the days are known, the hours are being asked for.
NARROWING = 4


def behind(url: str) -> dict[str, Any]:
    return {
        "search": {"local": {"kind": "elasticsearch", "url": url, "sandbox": True}},
        "warehouse": {"local": {"kind": "duckdb", "path": "warehouse.duckdb"}},
    }


def differing(platform: Platform) -> None:
    mails = platform.mails()
    gone = on_day(mails, platform.now - timedelta(days=1))[:40]
    platform.fill(mails, without(mails, gone))


def test_a_server_killed_in_the_middle_is_a_named_gap_in_a_partial_report(run_home: Path) -> None:
    run_dir = RUNS / f"outage-{run_home.parent.name}-{run_home.name}"
    RUNS.mkdir(mode=0o755, exist_ok=True)
    server = real.start(real.free_port(), run_dir)
    try:
        with between(server.url) as wire:
            platform = Platform(run_home, behind(wire.url))
            differing(platform)
            already = wire.searches

            def kill(count: int) -> None:
                if count == already + NARROWING:
                    real.stop(server, signal.SIGKILL)

            wire.on_search = kill
            left = platform.look()
    finally:
        with suppress(ProcessLookupError):
            real.stop(server, signal.SIGKILL)
    assert (left.row.status, left.row.verdict) == ("success", "degraded")
    gaps = left.artifacts["gaps"]
    assert {gap["error_type"] for gap in gaps} == {"Unready"}
    assert all(platform.prefix in gap["said"] or wire.url in gap["said"] for gap in gaps)
    assert [step.name for step in left.steps if step.status == "success"][-1] == "summarize"
    assert left.file("markdown").is_file()


def test_a_slow_server_leaves_a_partial_report_within_an_enforced_budget(
    elasticsearch: real.Server, run_home: Path
) -> None:
    budget_ms = 12_000
    with between(elasticsearch.url) as wire:
        platform = Platform(run_home, behind(wire.url))
        differing(platform)
        wire.delay_seconds = 5.0
        left = platform.look(budget_ms=budget_ms, budget_mode="enforce")
    assert left.row.status == "timed_out"
    assert left.row.verdict == "unknown"
    assert left.artifacts["gaps"]
    assert left.file("markdown").is_file()
    assert (left.row.duration_seconds or 0) * 1000 <= budget_ms
