"""What Prefect shows of a run, and that it says the same as the ledger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from roundsman.agent import spec_of
from roundsman.envelope import ledger_of
from roundsman.errors import Mistake, Refused
from roundsman.events import settle
from roundsman.settings import get_settings
from roundsman.store import runs
from roundsman.store.holders import this_holder
from roundsman.store.records import Ask, AskedBy, AuditRow, HistoryFilter, Holder
from tests.agents import looking as tiny
from tests.servers.prefect_server import PrefectServer

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home", "prefect_api")]
ORG = "default"
SECONDS = 20


def rows() -> list[AuditRow]:
    found, _ = runs.history(ledger_of(get_settings()), ORG, HistoryFilter())
    return found


async def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {SECONDS} s: {look}")


def state_in_prefect(server: PrefectServer, run_id: str) -> tuple[str, str]:
    found = httpx.get(f"{server.url}/flow_runs/{run_id}").json()
    return found["state_type"], found["state_name"]


def task_runs(server: PrefectServer, run_id: str) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}}
    return httpx.post(f"{server.url}/task_runs/filter", json=wanted).json()


def run(make: Awaitable[Any]) -> Any:
    async def go() -> Any:
        return await make

    return asyncio.run(go())


def test_a_run_goes_under_the_flow_runs_id_and_its_steps_are_task_runs(
    prefect_server: PrefectServer,
) -> None:
    async def twice() -> None:
        await tiny.looking(tiny.Params())
        row = rows()[0]
        assert state_in_prefect(prefect_server, row.run_id) == ("COMPLETED", "Completed")
        found = await eventually(
            lambda: (
                len(task_runs(prefect_server, row.run_id)) == 3
                and task_runs(prefect_server, row.run_id)
            )
        )
        assert {f["name"].rsplit("-", 1)[0] for f in found} == {"first", "second", "third"}

    asyncio.run(twice())


def test_prefect_draws_the_form_of_the_nested_params() -> None:
    schema = tiny.looking.parameters.model_dump()
    assert list(schema["properties"]) == ["params"]
    assert schema["required"] == []
    fields = schema["definitions"]["Params"]["properties"]
    assert fields["budget_ms"]["description"] == "Milliseconds of active time"
    assert {"window", "dry_run", "file"} <= set(fields)
    assert tiny.looking.name == "looking"


@pytest.mark.parametrize("params", [None, {}, {"window": {"days": 3}}, tiny.Params(operations=1)])
def test_params_may_be_nothing_a_mapping_or_the_model(params: Any) -> None:
    given = () if params is None else (params,)
    assert run(tiny.looking(*given)).verdict == "healthy"


def test_a_failed_run_fails_in_prefect_and_the_caller_gets_the_error(
    prefect_server: PrefectServer,
) -> None:
    with pytest.raises(Refused):
        run(tiny.looking({"fail_times": 9, "fail_with": "refused"}))
    assert rows()[0].status == "failed"
    assert state_in_prefect(prefect_server, rows()[0].run_id) == ("FAILED", "Failed")


def test_a_refused_run_that_prefect_started_keeps_its_id(prefect_server: PrefectServer) -> None:
    with pytest.raises(Mistake, match="'dais'"):
        run(tiny.looking({"dais": 1}))
    assert rows()[0].status == "refused"
    assert state_in_prefect(prefect_server, rows()[0].run_id) == ("FAILED", "Failed")


def test_a_cancelled_run_is_cancelled_in_prefect(prefect_server: PrefectServer) -> None:
    async def cancelled() -> None:
        working = asyncio.create_task(tiny.looking({"seconds": 5}))
        await eventually(lambda: rows() and rows()[0].status == "running")
        runs.request_cancel(ledger_of(get_settings()), ORG, rows()[0].run_id, "ann")
        with pytest.raises(BaseException, match="cancelled") as caught:
            await working
        assert type(caught.value).__name__ == "CancelledRun"

    asyncio.run(cancelled())
    assert rows()[0].status == "cancelled"
    assert state_in_prefect(prefect_server, rows()[0].run_id) == ("CANCELLED", "Cancelled")


def test_a_run_past_its_deadline_is_timed_out_in_prefect(prefect_server: PrefectServer) -> None:
    late = {"seconds": 3, "budget_ms": 600, "budget_mode": "enforce"}
    with pytest.raises(BaseException, match="budget"):
        run(tiny.noting(late))
    assert rows()[0].status == "timed_out"
    assert state_in_prefect(prefect_server, rows()[0].run_id) == ("FAILED", "TimedOut")


def test_a_try_that_failed_is_a_line_in_prefects_log(prefect_server: PrefectServer) -> None:
    async def tried() -> None:
        await tiny.looking({"fail_times": 1})
        wanted = {"logs": {"flow_run_id": {"any_": [rows()[0].run_id]}}}

        def lines() -> list[str]:
            found = httpx.post(f"{prefect_server.url}/logs/filter", json=wanted).json()
            return [log["message"] for log in found if "try 1 failed" in log["message"]]

        assert await eventually(lines)

    asyncio.run(tried())


def test_prefect_hears_neither_secrets_nor_arguments(prefect_server: PrefectServer) -> None:
    async def leaked() -> str:
        with pytest.raises(KeyError):
            await tiny.looking({"fail_times": 1, "fail_with": "bug", "file": "/tmp/private-name"})
        run_id = rows()[0].run_id
        await eventually(lambda: len(task_runs(prefect_server, run_id)) == 2)
        logs = {"logs": {"flow_run_id": {"any_": [run_id]}}}
        await eventually(lambda: httpx.post(f"{prefect_server.url}/logs/filter", json=logs).json())
        told = [
            task_runs(prefect_server, run_id),
            httpx.post(f"{prefect_server.url}/logs/filter", json=logs).json(),
            httpx.get(f"{prefect_server.url}/flow_runs/{run_id}").json()["state"],
        ]
        return json.dumps(told)

    told = asyncio.run(leaked())
    assert "hunter2secret" not in told
    assert "private-name" not in told
    assert "KeyError" in told


def test_an_agent_inside_another_one_has_a_run_of_its_own_and_spends_the_outer_budget() -> None:
    run(tiny.outer({"operations": 2, "budget_ops": 5}))
    inner, around = rows()
    assert (inner.agent_type, inner.parent_run_id) == ("looking", around.run_id)
    assert inner.status == around.status == "success"
    assert (inner.ops_count, around.ops_count) == (2, 2)
    assert around.budget["status"]["ops_limit"] == 5
    assert inner.budget["status"]["ops_used"] == 2


def test_agents_run_side_by_side_in_one_process() -> None:
    async def both() -> None:
        await asyncio.gather(*(tiny.looking({"seconds": 0.1}) for _ in range(3)))

    asyncio.run(both())
    assert [row.status for row in rows()] == ["success"] * 3


def test_what_others_left_behind_is_set_right(prefect_server: PrefectServer) -> None:
    async def tidied() -> None:
        from roundsman.events import Making, connect, make_here

        settings = get_settings()
        ledger = ledger_of(settings)
        dead = Holder(this_holder().host, 2**22 + 5, "1")
        ask = Ask(agent_type="looking", asked_by=AskedBy(kind="cli"))
        async with connect() as client:
            nameless = await make_here(client, tiny.looking, Making({}, {}, dead))
            queued = await make_here(client, tiny.looking, Making({}, {}, dead))
            waiting = await make_here(client, tiny.looking, Making({}, {}, this_holder()))
            runs.queue_run(ledger, ORG, str(queued.id), ask, dead)
            runs.queue_run(ledger, ORG, str(waiting.id), ask, None)
            from prefect.states import Cancelled

            await client.set_flow_run_state(waiting.id, Cancelled(), force=True)
        from roundsman.store.sweep import sweep

        sweep(ledger)
        await settle(ledger)
        assert state_in_prefect(prefect_server, str(nameless.id))[0] == "CRASHED"
        assert state_in_prefect(prefect_server, str(queued.id))[0] == "CRASHED"
        assert runs.get_run(ledger, ORG, str(queued.id)).status == "crashed"
        assert runs.get_run(ledger, ORG, str(waiting.id)).status == "cancelled"
        assert not runs.queued_without_holder(ledger)

    asyncio.run(tidied())


def test_settling_without_a_server_is_a_warning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        asyncio.run(settle(ledger_of(get_settings())))


def test_the_card_is_read_from_the_flow() -> None:
    card = spec_of(tiny.looking).card
    assert card.name == "looking"
    assert card.entrypoint.endswith("looking:looking")
    assert card.capabilities == ("read_nothing",)
