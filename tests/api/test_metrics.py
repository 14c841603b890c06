"""A scrape over HTTP: what Prometheus reads, before any run, after runs, and without a ledger."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from roundsman.api.metrics import router, scraped_org
from roundsman.envelope import ledger_of
from roundsman.metrics import GAUGES
from roundsman.rules.exposition import CONTENT_TYPES
from roundsman.settings import get_settings
from tests.agents import looking as tiny
from tests.servers.promtool import scraping
from tests.store.words import begin, finish

pytestmark = pytest.mark.usefixtures("run_home")
START_SECONDS_MAX = 20


class Door:
    """The router in an app of its own, behind a real server."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.include_router(router)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/metrics"
        config = uvicorn.Config(self.app, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def get(self, accept: str = "*/*") -> httpx.Response:
        return httpx.get(self.url, headers={"Accept": accept}, trust_env=False, timeout=10)

    def numbers(self, accept: str = "*/*") -> dict[str, float]:
        """Name and labels of every sample, read by Prometheus' own client."""
        answer = self.get(accept)
        read = read_openmetrics if "openmetrics" in answer.headers["content-type"] else read_text
        return {
            " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): (
                sample.value
            )
            for family in read(answer.text)
            for sample in family.samples
        }


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    door.thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not door.server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield door
    door.server.should_exit = True
    door.thread.join(START_SECONDS_MAX)
    door.socket.close()


@pytest.mark.covers("A-090", "A-093")
def test_it_answers_before_any_run(door: Door) -> None:
    answer = door.get()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPES["text"]
    assert answer.text.splitlines() == [
        f"# HELP roundsman_ledger_up {GAUGES['roundsman_ledger_up']}",
        "# TYPE roundsman_ledger_up gauge",
        "roundsman_ledger_up 1",
    ]


@pytest.mark.covers("A-085", "A-086", "A-090", "A-093")
@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_after_a_run_both_formats_tell_its_numbers(door: Door, form: str) -> None:
    asyncio.run(tiny.looking.fn(tiny.Params()))
    accept = CONTENT_TYPES[form]  # type: ignore[index]
    assert door.get(accept).headers["content-type"] == accept
    found = door.numbers(accept)
    assert found["agent_runs_total looking default success"] == 1
    assert found["agent_runs_total looking default failed"] == 0
    assert found["agent_run_duration_seconds_count looking default"] == 1
    assert 0 < found["agent_run_duration_seconds_sum looking default"] < 1
    assert found["agent_run_duration_seconds_bucket looking +Inf default"] == 1
    assert found["agent_run_duration_seconds_bucket looking 1.0 default"] == 1
    assert found["agent_approvals_waiting default"] == 0


def test_every_org_is_told_unless_one_is_asked_for(door: Door) -> None:
    ledger = ledger_of(get_settings())
    finish(ledger, begin(ledger))
    begin(ledger, org="acme")
    assert any(" acme" in name for name in door.numbers())
    assert any(" default" in name for name in door.numbers())
    door.app.dependency_overrides[scraped_org] = lambda: "acme"
    orgs = {name.split()[-1] for name in door.numbers() if " acme" in name or " default" in name}
    assert not any(" default" in name for name in door.numbers())
    assert orgs


@pytest.mark.covers("G-A1", "A-092")
def test_every_gauge_is_told_once_there_is_something_to_tell(door: Door) -> None:
    ledger = ledger_of(get_settings())
    parity = {"status": "ok", "es_count": 1, "bq_count": 1, "difference_percent": 0.0}
    blocks = {
        "parity": parity | {"threshold_percent": 5.0},
        "freshness": {"age_minutes": 1.0, "slo_minutes": 30},
    }
    finish(ledger, begin(ledger, round="prod"), artifacts=blocks)
    begin(ledger)
    assert {name.split()[0] for name in door.numbers()} >= GAUGES.keys()
    assert "agent_last_run" not in {name.split()[0] for name in door.numbers()}


def test_a_ledger_that_cannot_be_opened_is_told_and_the_scrape_succeeds(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_text("this is no database, however long it is looked at " * 50)
    monkeypatch.setenv("ROUNDSMAN_DATABASE_URL", f"sqlite:///{tmp_path}/broken.db")
    get_settings.cache_clear()
    assert door.get().status_code == 200
    assert door.numbers() == {"roundsman_ledger_up": 0}


def test_a_ledger_that_breaks_later_is_told_too(door: Door, tmp_path: Path) -> None:
    assert door.numbers()["roundsman_ledger_up"] == 1
    ledger = ledger_of(get_settings())
    with ledger.transaction() as connection:
        connection.execute("DROP TABLE metrics")
    assert door.numbers() == {"roundsman_ledger_up": 0}


@pytest.mark.engine
@pytest.mark.needs("promtool")
@pytest.mark.covers("A-087", "A-090", "A-093", "D-080")
def test_a_real_prometheus_scrapes_and_its_rules_see_a_run(door: Door, tmp_path: Path) -> None:
    with scraping(tmp_path, door.url.split("/")[2]) as prometheus:
        prometheus.until("roundsman_ledger_up", 1)
        assert prometheus.value("agent_runs_total") is None
        asyncio.run(tiny.looking.fn(tiny.Params()))
        prometheus.until('agent_runs_total{status="success"}', 1)
        prometheus.until('agent_runs_total{status="failed"}', 0)
        asyncio.run(tiny.looking.fn(tiny.Params()))
        prometheus.until('agent:success_rate:5m{agent_type="looking"}', 1)
        prometheus.until('agent:duration_p95:5m{agent_type="looking"} < bool 1', 1)
        told = prometheus.targets()
    assert [(one["health"], one["lastError"]) for one in told] == [("up", "")]
