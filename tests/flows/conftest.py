"""The platforms that flows are run on: the embedded twins, and real systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.marts import Mart
from tests.flows.platforms import TWINS, Platform
from tests.servers.receiver import Receiver


@pytest.fixture
def real_systems(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A real Elasticsearch, and BigQuery's wire format over HTTP."""
    search = request.getfixturevalue("elasticsearch")
    warehouse = request.getfixturevalue("bigquery_warehouse")
    return {
        "search": {"local": {"kind": "elasticsearch", "url": search.url, "sandbox": True}},
        "warehouse": {
            "local": {
                "kind": "bigquery",
                "project": warehouse.project,
                "location": warehouse.location,
                "api_endpoint": warehouse.api_endpoint,
                "sandbox": True,
            }
        },
    }


@pytest.fixture(
    params=["twins", pytest.param("real", marks=pytest.mark.needs("elasticsearch", "bigquery"))]
)
def platform(request: pytest.FixtureRequest, run_home: Path) -> Platform:
    """The same platform on the twins, and on a real Elasticsearch and BigQuery's wire format."""
    return Platform(
        run_home, request.getfixturevalue("real_systems") if request.param == "real" else TWINS
    )


@pytest.fixture
def twins(run_home: Path) -> Platform:
    """A platform on the embedded twins."""
    return Platform(run_home)


@pytest.fixture
def mart(run_home: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Mart:
    """A mart whose newest rows are six hours older than what has arrived."""
    monkeypatch.setenv("HOOK_URL", f"{receiver.url}/hook")
    made = Mart(run_home, receiver.url)
    made.arrive(newest_minutes_ago=363)
    made.build()
    made.arrive(newest_minutes_ago=3)
    return made
