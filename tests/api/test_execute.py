"""`POST /agents/execute`, with real runs in processes of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from roundsman import started
from roundsman.api.access import Caller
from roundsman.api.orders import Execution, order_of
from roundsman.errors import Denied, Mistake
from roundsman.store import approvals, runs
from roundsman.store.records import HistoryFilter
from tests.api.served import Api, until
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer
from tests.store.words import begin, finish, whole_run

QUICK = {"agent_type": "looking", "round": "quick"}
# The body of A-105, as it stands there.
WHOLE_CONFIG = {
    "es": {"index": "emails-prod-*", "days": 7},
    "bq": {"dataset": "analytics", "table": "emails", "project": "my-project"},
    "dbt": {"target": "prod", "models": ["tag:daily", "tag:critical"], "full_refresh": False},
}


@pytest.fixture
def running(
    serve: Callable[..., Api], prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> Api:
    """An API whose runs find the tiny agents and a Prefect server."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return serve(prefect_api_url=prefect_server.url)


def order(api: Api, key: Any = None, **body: Any) -> Any:
    return order_of(Execution(**body), Caller(api.settings, key), api.ledger)


@pytest.mark.covers("A-018", "A-019", "A-020", "A-105")
def test_the_whole_configuration_becomes_parameters_of_the_agent(api: Api) -> None:
    made = order(api, agent_type="warehouse_health", config=WHOLE_CONFIG, budget_ops=9)
    assert made.params == {
        "index": "emails-prod-*",
        "days": 7,
        "table": "my-project.analytics.emails",
        "transform": "prod",
        "dbt_selectors": ["tag:daily", "tag:critical"],
        "full_refresh": False,
        "dry_run": True,
        "allow_actions": False,
        "budget_ops": 9,
    }
    assert (made.agent_or_round, made.asked_by.kind) == ("warehouse_health", "api")


@pytest.mark.covers("A-005", "A-014", "A-015", "A-016", "A-017", "A-027")
def test_little_is_enough_and_means_a_dry_run(api: Api) -> None:
    made = order(api, agent_type="warehouse_health")
    assert made.params == {"dry_run": True, "allow_actions": False}
    told = order(api, agent_type="warehouse_health", objective="look", allow_actions=True)
    assert told.params == {"dry_run": True, "allow_actions": True, "objective": "look"}
    with pytest.raises(Denied, match="needs a key with the permission 'write'"):
        order(api, agent_type="warehouse_health", dry_run=False, allow_actions=True)


def test_a_configuration_that_the_agent_has_no_place_for_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roundsman import catalog

    bare = catalog.cards()[0]._replace(params_schema={"properties": {}})
    monkeypatch.setattr(catalog, "cards", lambda: [bare])
    with pytest.raises(Mistake, match=r"has no 'index', which config\.es means"):
        order(api, agent_type="warehouse_health", config=WHOLE_CONFIG)


@pytest.mark.covers("A-026", "A-099")
def test_a_failed_run_is_retried_with_what_it_had(api: Api) -> None:
    failed = begin(api.ledger, round="looking/quick", agent_type="looking", params={"days": 3})
    finish(api.ledger, failed, "failed", error={"type": "x", "message": "y"}, verdict=None)
    made = order(api, agent_type="looking", retry_run_id=failed)
    assert (made.agent_or_round, made.params, made.retry_of) == (
        *("looking/quick", {"days": 3}),
        failed,
    )
    with pytest.raises(Mistake, match="is one of 'looking', not 'warehouse_health'"):
        order(api, agent_type="warehouse_health", retry_run_id=failed)
    with pytest.raises(Mistake, match="is success: there is nothing to retry"):
        order(api, agent_type="warehouse_health", retry_run_id=whole_run(api.ledger))
    live = begin(api.ledger, agent_type="looking", dry_run=False)
    with pytest.raises(Denied, match="needs a key"):
        order(api, agent_type="looking", retry_run_id=live)


@pytest.mark.engine
@pytest.mark.covers("A-013", "A-022", "A-023", "A-106", "A-107")
def test_a_run_is_started_waited_for_and_answered(running: Api) -> None:
    writing = running.key("read", "write")
    body = QUICK | {"objective": "see", "budget_ms": 60_000, "budget_ops": 100}
    answer = running.post("/agents/execute", writing, json=body)
    told = answer.json()
    assert answer.status_code == 200, told
    assert str(uuid.UUID(told["run_id"])) == told["run_id"]
    assert answer.headers["Location"] == f"/agents/runs/{told['run_id']}"
    assert (told["status"], told["verdict"], told["artifacts"]) == (
        *("success", "healthy"),
        {"answer": 1},
    )
    began, ended = (datetime.fromisoformat(told[n]) for n in ("started_at", "completed_at"))
    assert told["started_at"].endswith("Z")
    assert began <= ended
    assert isinstance(told["duration_seconds"], float)
    assert told["duration_ms"] == round(told["duration_seconds"] * 1000)
    assert told["ops_count"] == 2
    assert told["budget_status"]["ops_limit"] == 100
    row = runs.get_run(running.ledger, "default", told["run_id"])
    assert (row.round, row.objective, row.user_email) == (
        *("looking/quick", "see"),
        "ann@example.org",
    )
    assert row.asked_by is not None
    assert (row.asked_by.kind, row.asked_by.name) == ("api", "ann@example.org")


@pytest.mark.engine
def test_what_takes_longer_is_answered_with_its_address(running: Api) -> None:
    body = QUICK | {"params": {"seconds": 1.0}, "wait_seconds": 0}
    answer = running.post("/agents/execute", json=body)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    address = answer.headers["Location"]
    assert until(lambda: running.get(address).json()["status"] == "success")


@pytest.mark.engine
def test_a_process_that_waited_takes_a_run_and_the_next_one_waits(
    serve: Callable[..., Api], prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url, api_spare_children=1)
    found = [api.post("/agents/execute", json=QUICK).json() for _ in range(3)]
    assert [told["status"] for told in found] == ["success"] * 3
    assert len({told["run_id"] for told in found}) == 3
    rows = [runs.get_run(api.ledger, "default", told["run_id"]) for told in found]
    assert {row.attempt for row in rows} == {1}


def waiting_process(api: Api) -> int:
    """The process of this API that waits for an order, 0 while there is none."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_ours = f"PPid:\t{os.getpid()}\n" in (place / "status").read_text()
            is_here = (place / "cwd").resolve() == api.settings.home.resolve()
            if is_ours and is_here and b"--spare" in (place / "cmdline").read_bytes():
                return int(place.name)
    return 0


def unread(pid: int) -> int:
    """How many bytes of its order a process has not read."""
    with Path(f"/proc/{pid}/fd/0").open("rb") as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_process_that_dies_with_its_order_leaves_a_row_of_it(serve: Callable[..., Api]) -> None:
    api = serve(api_spare_children=1)
    pid = until(lambda: waiting_process(api))
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(api.post, "/agents/execute", json=QUICK)
        until(lambda: unread(pid))
        os.kill(pid, signal.SIGKILL)
        answer = asked.result(60)
    told = answer.json()
    assert (answer.status_code, "process ended with -9" in told["error"]) == (503, True)
    row = runs.get_run(api.ledger, "default", told["run_id"])
    assert (row.status, row.round) == ("refused", "looking/quick")


def test_a_process_that_never_says_a_word_is_given_up(
    serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "FIRST_WORD_SECONDS_MAX", 1.0)
    api = serve(api_spare_children=1)
    os.kill(until(lambda: waiting_process(api)), signal.SIGSTOP)
    answer = api.post("/agents/execute", json=QUICK)
    told = answer.json()
    assert (answer.status_code, "process ended with -9" in told["error"]) == (503, True)
    assert runs.get_run(api.ledger, "default", told["run_id"]).status == "refused"


def test_a_run_that_no_process_can_be_started_for_is_told_and_may_be_asked_for_again(
    serve: Callable[..., Api], tmp_path: Path
) -> None:
    # The ledger is open already; what is gone is the folder in which a run's process begins.
    api = serve(database_url=f"sqlite:///{tmp_path}/ledger.db")
    api.settings.home.rename(tmp_path / "elsewhere")
    api.settings.home.write_text("in the way")
    answer = api.post("/agents/execute", json=QUICK)
    told = answer.json()
    assert (answer.status_code, told["kind"]) == (503, "ProviderError"), told
    assert int(answer.headers["Retry-After"]) > 0
    assert told["error"].startswith("no process can be started")
    row = runs.get_run(api.ledger, "default", told["run_id"])
    assert (row.status, row.round) == ("refused", "looking/quick")
    assert row.error is not None
    assert row.error["message"].startswith("no process can be started")


@pytest.mark.engine
def test_a_failed_run_is_answered_in_the_words_of_the_specification(running: Api) -> None:
    body = QUICK | {"params": {"fail_times": 9, "fail_with": "refused"}}
    answer = running.post("/agents/execute", running.key("admin"), json=body)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "failed")
    assert list(told["error"]) == ["type", "message", "step", "traceback"]
    assert (told["error"]["type"], told["error"]["step"]) == ("ProviderError", "second")
    assert "Refused" in told["error"]["traceback"]


@pytest.mark.engine
def test_a_key_given_by_several_at_once_starts_one_run(running: Api) -> None:
    writing = running.key("write", "read")
    headers = {"Idempotency-Key": "nightly-17"}

    def start(_number: int) -> Any:
        return running.post("/agents/execute", writing, json=QUICK, headers=headers).json()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, range(4)))
    assert len({answer["run_id"] for answer in answers}) == 1
    other = QUICK | {"params": {"operations": 7}}
    refused = running.post("/agents/execute", writing, json=other, headers=headers)
    assert (refused.status_code, "was used before" in refused.json()["error"]) == (422, True)


@pytest.mark.engine
def test_what_the_agent_itself_refuses_names_its_row(running: Api) -> None:
    body = QUICK | {"params": {"colour": "red"}}
    refused = running.post("/agents/execute", json=body)
    told = refused.json()
    assert (refused.status_code, "unknown parameter 'colour'" in told["error"]) == (422, True)
    assert running.get(f"/agents/runs/{told['run_id']}").json()["ledger_status"] == "refused"


@pytest.mark.engine
def test_a_run_of_another_org_is_written_there_and_nowhere_else(running: Api) -> None:
    acme = running.key("read", "write", org="acme", name="bot")
    told = running.post("/agents/execute", acme, json=QUICK).json()
    assert told["status"] == "success"
    row = runs.get_run(running.ledger, "acme", told["run_id"])
    # The settings' e-mail is that of whoever serves, and he did not ask.
    assert (row.user_email, row.asked_by and row.asked_by.name) == (None, "bot")
    assert runs.history(running.ledger, "default", HistoryFilter())[1] == 0


@pytest.mark.engine
def test_a_run_is_cancelled_while_somebody_waits_for_it(running: Api) -> None:
    writing = running.key("read", "write")
    body = QUICK | {"params": {"seconds": 60.0}}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(running.post, "/agents/execute", writing, json=body)
        row = until(
            lambda: [
                row
                for row in running.get("/agents/history?status=running", writing).json()["runs"]
                if row["started_at"]
            ]
        )[0]
        assert running.post(f"/agents/runs/{row['run_id']}/cancel", writing).status_code == 202
        assert waiting.result().json()["status"] == "cancelled"


@pytest.mark.engine
def test_an_approval_starts_the_run_that_acts(running: Api) -> None:
    from roundsman.store import actions
    from tests.store.permits import live, proposal

    run_id = live(running.ledger, agent_type="looking", round="looking/quick", params={})
    wish = proposal(verdict="ask", agent="looking", round="looking/quick")
    key = actions.propose(running.ledger, "default", run_id, 1, wish).action_id
    finish(running.ledger, run_id)
    answer = running.post(f"/approvals/{key}/approve", running.key("approve", name="bob@x.org"))
    told = answer.json()
    assert (answer.status_code, told["state"]) == (202, "allowed")
    assert approvals.get_action(running.ledger, "default", key).reviewed_by == "bob@x.org"
    row = runs.get_run(running.ledger, "default", told["run_id"])
    assert (row.action_id, row.parent_run_id) == (key, run_id)
    assert row.asked_by is not None
    assert (row.asked_by.kind, row.asked_by.name) == ("api", "bob@x.org")
    over = until(lambda: runs.get_run(running.ledger, "default", told["run_id"]).completed_at)
    assert over is not None
