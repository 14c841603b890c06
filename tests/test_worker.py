"""Runs that Prefect starts by itself, in a worker's process: the same record as from a door."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from roundsman.catalog import Order, start
from roundsman.settings import Settings
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.records import AskedBy, AuditRow, HistoryFilter
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer, run_server

pytestmark = pytest.mark.engine
ORG = "default"
SECONDS = 60
POOL = "runs-of-tests"


class Site(NamedTuple):
    """A worker that executes the deployed round `looking/nightly`."""

    settings: Settings
    server: PrefectServer
    deployment: str

    def ledger(self) -> Ledger:
        return open_ledger(self.settings.ledger_url, self.settings.chain_key, self.settings.anchor)

    def row(self, run_id: str) -> AuditRow | None:
        found, _ = runs.history(self.ledger(), ORG, HistoryFilter())
        return next((row for row in found if row.run_id == run_id), None)

    def trigger(self, parameters: dict[str, Any], **more: Any) -> str:
        path = f"{self.server.url}/deployments/{self.deployment}/create_flow_run"
        made = httpx.post(path, json={"parameters": parameters, **more})
        return str(made.raise_for_status().json()["id"])

    def state(self, run_id: str) -> str:
        return str(httpx.get(f"{self.server.url}/flow_runs/{run_id}").json()["state_type"])


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {SECONDS} s")


def _deploy(server: PrefectServer) -> str:
    def post(path: str, body: dict[str, Any]) -> Any:
        return httpx.post(f"{server.url}{path}", json=body).raise_for_status().json()

    post("/work_pools/", {"name": POOL, "type": "process", "base_job_template": {}})
    flow = post("/flows/", {"name": "looking"})
    deployed = {
        "name": "nightly",
        "flow_id": flow["id"],
        "entrypoint": "tests.agents.looking:looking",
        "work_pool_name": POOL,
        "parameters": {"params": {"operations": 2, "window": {"days": 3}}},
        "pull_steps": [],
        "enforce_parameter_schema": False,
    }
    return str(post("/deployments/", deployed)["id"])


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Not the run's one: a deployment and its pool have one name, and belong to one worker."""
    with run_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="module")
def site(own_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    rounds = home / "prefect.yaml"
    rounds.write_text(
        "deployments:\n- name: nightly\n  entrypoint: tests.agents.looking:looking\n"
        "  parameters: {params: {operations: 2, window: {days: 3}}}\n"
    )
    settings = Settings(home=home, prefect_api_url=own_server.url, execute="prefect", rounds=rounds)
    variables = settings.child_environment() | {
        "PYTHONPATH": str(ROOT),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    deployment = _deploy(own_server)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command, env=variables, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    yield Site(settings, own_server, deployment)
    worker.send_signal(signal.SIGINT)
    try:
        worker.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@pytest.mark.covers("A-003")
def test_an_order_left_to_a_worker_keeps_who_asked_for_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    order = Order("looking/nightly", {"operations": 1}, AskedBy(kind="cli", name="ann"))
    first, second = start(order, site.settings).messages()
    assert second == {"elsewhere": True, "run_id": first["run_id"], "status": "queued"}
    row = eventually(lambda: (row := site.row(first["run_id"])) and row.status == "success" and row)
    assert row.asked_by == AskedBy(kind="cli", name="ann")
    assert row.round == "looking/nightly"
    assert row.params["window"]["days"] == 3
    assert row.ops_count == 1
    assert row.queued_at is not None
    eventually(lambda: site.state(row.run_id) == "COMPLETED")


def test_a_start_in_prefect_with_nothing_given_gets_the_rounds_parameters(site: Site) -> None:
    run_id = site.trigger({"params": {"window": {"zone": "Europe/Paris"}}})
    row = eventually(lambda: (row := site.row(run_id)) and row.status == "success" and row)
    assert row.params["operations"] == 2
    assert row.params["window"] == {"days": 3, "zone": "Europe/Paris"}
    assert row.asked_by is not None
    assert row.asked_by.kind == "ui"
    assert row.round == "looking/nightly"


def test_a_wrong_start_in_prefect_is_refused_under_its_id(site: Site) -> None:
    run_id = site.trigger({"params": {"dais": 1}})
    row = eventually(lambda: site.row(run_id))
    assert row.status == "refused"
    eventually(lambda: site.state(run_id) == "FAILED")


def test_a_cancel_in_prefect_reaches_the_workers_run(site: Site) -> None:
    run_id = site.trigger({"params": {"seconds": 30}})
    eventually(lambda: (row := site.row(run_id)) and row.status == "running")
    wanted = {"state": {"type": "CANCELLING"}}
    httpx.post(f"{site.server.url}/flow_runs/{run_id}/set_state", json=wanted)
    row = eventually(lambda: (row := site.row(run_id)) and row.status == "cancelled" and row)
    assert row.run_id == run_id
    eventually(lambda: site.state(run_id) == "CANCELLED")


def test_our_cancel_reaches_the_workers_run(site: Site) -> None:
    run_id = site.trigger({"params": {"seconds": 30}})
    eventually(lambda: (row := site.row(run_id)) and row.status == "running")
    runs.request_cancel(site.ledger(), ORG, run_id, "ann")
    eventually(lambda: (row := site.row(run_id)) and row.status == "cancelled")
    eventually(lambda: site.state(run_id) == "CANCELLED")


def test_a_round_that_was_never_deployed_is_a_failed_row(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rounds = tmp_path / "prefect.yaml"
    rounds.write_text(
        "deployments:\n- {name: weekly, entrypoint: 'tests.agents.looking:looking'}\n"
    )
    settings = site.settings.model_copy(update={"rounds": rounds})
    told = start(Order("looking/weekly"), settings).wait()
    assert told["closed"] == "failed"
    assert "prefect deploy" in told["error"]["message"]


def test_a_worker_executes_rounds_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    order = Order("looking", entrypoint="tests.agents.looking:looking")
    assert "name one of prefect.yaml" in start(order, site.settings).wait()["refused"]["message"]


def test_an_agent_can_be_served(site: Site, tmp_path: Path) -> None:
    code = "from tests.agents.looking import looking as made; made.serve('served')"
    variables = site.settings.child_environment() | {
        "PYTHONPATH": str(ROOT),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            env=variables,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        path = f"{site.server.url}/deployments/name/looking/served"
        found = eventually(lambda: (got := httpx.get(path)).status_code == 200 and got.json())
        served = site._replace(deployment=found["id"])
        run_id = served.trigger({})
        row = eventually(lambda: (row := site.row(run_id)) and row.status == "success" and row)
        assert row.round == "looking/served"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
