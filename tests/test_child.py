"""A run in a process of its own: what its door hears, and what stays when somebody dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from roundsman.catalog import Order, prepare, start
from roundsman.errors import Unready
from roundsman.settings import Settings
from roundsman.store import Ledger, open_ledger, runs
from roundsman.store.records import AskedBy, AuditRow, HistoryFilter
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer

pytestmark = pytest.mark.engine
ORG = "default"
SECONDS = 30
LOOKING = "tests.agents.looking:looking"


@pytest.fixture
def settings(
    tmp_path: Path, prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Settings(home=tmp_path / "home", prefect_api_url=prefect_server.url)


def ledger(settings: Settings) -> Ledger:
    return open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)


def rows(settings: Settings) -> list[AuditRow]:
    return runs.history(ledger(settings), ORG, HistoryFilter())[0]


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {SECONDS} s")


def order(**params: Any) -> Order:
    by = AskedBy(kind="cli", name="ann")
    return Order("looking", params, by, user_email="ann@example.org", entrypoint=LOOKING)


@pytest.mark.covers("A-003")
def test_a_run_is_queued_then_closed_and_the_door_hears_both(settings: Settings) -> None:
    child = start(order(operations=1), settings)
    first, second = child.messages()
    assert first == {"run_id": first["run_id"], "queued": True}
    assert (second["closed"], second["verdict"]) == ("success", "healthy")
    assert child.end() == 0
    (row,) = rows(settings)
    assert row.run_id == first["run_id"]
    assert row.asked_by == AskedBy(kind="cli", name="ann")
    assert row.user_email == "ann@example.org"
    assert row.queued_at is not None
    assert row.started_at is not None
    assert row.queued_at < row.started_at
    assert "Beginning flow run" in child.errors()
    assert not runs.unsettled(ledger(settings))


def test_a_prepared_child_carries_out_the_order_it_is_given(settings: Settings) -> None:
    child = start(order(), settings, prepare(settings))
    assert child.wait()["closed"] == "success"


def test_a_mistake_is_a_refused_row_and_no_flow_run(
    settings: Settings, prefect_server: PrefectServer
) -> None:
    before = httpx.post(f"{prefect_server.url}/flow_runs/count", json={}).json()
    said = start(order(dais=3), settings).wait()["refused"]
    assert "unknown parameter 'dais'" in said["message"]
    (row,) = rows(settings)
    assert (row.status, row.run_id) == ("refused", said["run_id"])
    assert row.code_version.startswith("2.0.0")
    assert httpx.post(f"{prefect_server.url}/flow_runs/count", json={}).json() == before


@pytest.mark.covers("A-025")
def test_an_unknown_agent_is_a_refused_row_too(settings: Settings) -> None:
    said = start(Order("no_such_agent"), settings).wait()["refused"]
    assert said["message"].startswith("Invalid agent_type: 'no_such_agent'. Available: ")
    assert rows(settings)[0].agent_type == "no_such_agent"


def test_a_failed_run_tells_its_error(settings: Settings) -> None:
    told = start(order(fail_times=1, fail_with="refused"), settings).wait()
    assert told["closed"] == "failed"
    assert told["error"]["step"] == "second"
    assert told["error"]["type"] == "ProviderError"


def test_no_prefect_at_the_address_is_a_failed_row_and_one_sentence(settings: Settings) -> None:
    away = settings.model_copy(update={"prefect_api_url": "http://127.0.0.1:9/api"})
    told = start(order(), away).wait()
    assert told["closed"] == "failed"
    assert "Prefect did not answer" in told["error"]["message"]
    assert rows(settings)[0].status == "failed"


def test_the_same_key_starts_one_run(settings: Settings) -> None:
    keyed = order()._replace(key="monday")
    first = start(keyed, settings).wait()
    second = start(keyed, settings).wait()
    assert second["elsewhere"] is True
    assert second["run_id"] == first["run_id"]
    assert second["status"] == "success"
    assert len(rows(settings)) == 1


def test_the_same_key_for_another_request_is_refused_and_names_what_differs(
    settings: Settings,
) -> None:
    first = start(order(seconds=0)._replace(key="monday"), settings).wait()
    refused = start(order(seconds=0.1)._replace(key="monday"), settings).wait()["refused"]
    assert refused["type"] == "ValidationError"
    assert f"'monday' was used before, for run '{first['run_id']}'" in refused["message"]
    assert "differs in parameter 'seconds'" in refused["message"]
    newest, oldest = rows(settings)
    assert (newest.status, newest.idempotency_key) == ("refused", None)
    assert (oldest.status, oldest.run_id) == ("success", first["run_id"])


def test_ctrl_c_at_the_door_cancels_the_run(
    settings: Settings, prefect_server: PrefectServer
) -> None:
    child = start(order(seconds=20), settings)
    run_id = child.queued()["run_id"]
    eventually(lambda: rows(settings)[0].status == "running")
    child.interrupt()
    assert child.wait()["closed"] == "cancelled"
    child.end()
    state = httpx.get(f"{prefect_server.url}/flow_runs/{run_id}").json()["state_type"]
    assert state == "CANCELLED"


def test_a_cancel_in_prefects_own_ui_is_heard(
    settings: Settings, prefect_server: PrefectServer
) -> None:
    child = start(order(seconds=20), settings)
    run_id = child.queued()["run_id"]
    eventually(lambda: rows(settings)[0].status == "running")
    wanted = {"state": {"type": "CANCELLING"}}
    httpx.post(f"{prefect_server.url}/flow_runs/{run_id}/set_state", json=wanted)
    assert child.wait()["closed"] == "cancelled"


def test_a_run_outlives_its_door(settings: Settings, tmp_path: Path) -> None:
    effect = tmp_path / "effect"
    code = (
        "import sys; from roundsman.catalog import Order, start;"
        "from roundsman.settings import get_settings;"
        f"child = start(Order('looking', {{'seconds': 1.5, 'file': {str(effect)!r}}},"
        f" entrypoint={LOOKING!r}), get_settings());"
        "print(child.queued()['run_id'], flush=True); child.wait()"
    )
    door = subprocess.Popen(
        [sys.executable, "-c", code],
        env=settings.child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert door.stdout is not None
    run_id = door.stdout.readline().strip()
    door.kill()
    door.wait()
    row = eventually(lambda: rows(settings)[0].status == "success" and rows(settings)[0])
    assert row.run_id == run_id
    assert effect.read_text() == "first\nthird\n"


def test_a_child_that_is_killed_is_a_crashed_run_and_the_door_is_told(
    settings: Settings, prefect_server: PrefectServer
) -> None:
    child = start(order(seconds=20), settings)
    run_id = child.queued()["run_id"]
    eventually(lambda: len(runs.steps(ledger(settings), ORG, run_id)) == 2)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Unready, match="ended with -9"):
        child.wait()
    row = rows(settings)[0]
    assert row.status == "crashed"
    assert "second" in str(row.error)
    start(order(), settings).end()
    found = httpx.get(f"{prefect_server.url}/flow_runs/{run_id}").json()
    assert found["state_type"] == "CRASHED"


def test_a_broken_ledger_is_one_sentence(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "ledger.db").write_text("this is no database " * 100)
    with pytest.raises(Exception, match="ledger") as caught:
        start(order(), settings).wait()
    assert type(caught.value).__name__ in ("Mistake", "Unready")


def test_without_a_server_the_child_brings_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    alone = Settings(home=tmp_path / "home")
    child = start(order(), alone)
    assert child.wait()["closed"] == "success"
    child.end()
    assert (alone.prefect_home / "prefect.db").exists()


def test_a_temporary_server_does_not_outlive_a_child_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    child = start(order(seconds=60), Settings(home=tmp_path / "home"))
    child.queued()
    servers = [pid for pid in children_of(child.pid) if "uvicorn" in command_of(pid)]
    assert servers
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: not any("uvicorn" in command_of(pid) for pid in servers))


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""
