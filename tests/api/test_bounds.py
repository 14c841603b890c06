"""What one server does at once, and what it does not do twice."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roundsman.api.access import Caller, Welcomes
from roundsman.api.execute import Starts, _end_of
from roundsman.api.orders import Execution, order_of
from roundsman.api.replays import served_before
from roundsman.api.room import Room
from roundsman.api.words import own_names
from roundsman.errors import Unready
from roundsman.settings import Settings
from roundsman.started import Started
from tests.api.served import Api
from tests.store.words import ORG, begin, finish, queue, whole_run

KEY = "nightly-17"


def order(api: Api, **params: Any) -> Any:
    body = Execution(agent_type="warehouse_health", params=params)
    return order_of(body, Caller(api.settings, None), api.ledger)._replace(key=KEY)


def whole_params(api: Api, **changed: Any) -> dict[str, Any]:
    from roundsman import catalog

    fields = catalog.find_card("warehouse_health").params_schema["properties"]
    defaults = {name: rule["default"] for name, rule in fields.items() if "default" in rule}
    return defaults | order(api).params | changed


def test_a_request_that_was_served_is_answered_without_a_process(api: Api) -> None:
    assert served_before(api.ledger, ORG, order(api)) is None
    first = whole_run(api.ledger, key=KEY, params=whole_params(api))
    before = api.events()
    body = {"agent_type": "warehouse_health"}
    again = api.post("/agents/execute", json=body, headers={"Idempotency-Key": KEY})
    assert (again.status_code, again.json()["run_id"]) == (200, first)
    assert again.headers["Location"] == f"/agents/runs/{first}"
    assert api.events() == before
    assert served_before(api.ledger, ORG, order(api, days=13)) is None
    assert served_before(api.ledger, "acme", order(api)) is None
    assert served_before(api.ledger, ORG, order(api)._replace(key="other")) is None


def test_what_may_be_another_request_or_never_began_is_left_to_its_process(api: Api) -> None:
    queue(api.ledger, key=KEY, params=whole_params(api))
    assert served_before(api.ledger, ORG, order(api)) is None
    begun = begin(api.ledger, key="second", params=whole_params(api, of_later_code=1))
    assert served_before(api.ledger, ORG, order(api)._replace(key="second")) is None
    finish(api.ledger, begun)


def test_nobody_who_left_is_waited_for(api: Api) -> None:
    async def has_left() -> bool:
        return True

    run_id, house = queue(api.ledger), _house(api)
    starts = Starts(house, None, has_left)  # pyright: ignore[reportArgumentType] - starts nothing
    caller = Caller(api.settings, None)
    waited = asyncio.wait_for(_end_of(run_id, caller, (starts, 300)), 20)
    assert asyncio.run(waited).status == "queued"


def _house(api: Api) -> Any:
    from anyio import CapacityLimiter

    from roundsman.api.access import House, Rates

    rates, room = Rates(100), Room(api.settings)
    return House(api.settings, api.ledger, rates, CapacityLimiter(1), room, Welcomes())


def test_an_empty_place_is_none(api: Api) -> None:
    run_id = whole_run(api.ledger)
    told = api.get(f"/agents/events?run_id={run_id}", headers={"Last-Event-ID": ""})
    assert (told.status_code, "event: run_finished" in told.text) == (200, True)
    assert api.get("/agents/events", headers={"Last-Event-ID": "x"}).status_code == 422


def child() -> Started:
    """A process that says nothing and ends when it is told to."""
    held: Any = subprocess.PIPE
    words = [sys.executable, "-c", "input()"]
    process = subprocess.Popen(words, stdin=held, stdout=held, text=True)
    return Started(process, tempfile.TemporaryFile("w+"))


def test_no_more_runs_go_on_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    room, one = Room(Settings(home=tmp_path, api_runs_max=1)), child()
    with room.place() as keep:
        keep(one)
    with pytest.raises(Unready, match="raise ROUNDSMAN_API_RUNS_MAX"), room.place():
        pass
    one.kill()
    one.end()
    with room.place(), pytest.raises(Unready), room.place():
        pass
    # A worker elsewhere carries the runs out.
    room = Room(Settings(home=tmp_path, api_runs_max=1, execute="prefect"))
    with room.place(), room.place():
        pass


def test_one_connection_too_many_is_told_so(serve: Callable[..., Api]) -> None:
    api = serve(api_connections_max=2)
    api.client.close()
    host, port = "127.0.0.1", int(api.url.rpartition(":")[2])
    idle = [socket.create_connection((host, port), timeout=20) for _ in range(2)]
    with socket.create_connection((host, port), timeout=20) as third:
        third.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b"".join(iter(lambda: third.recv(65_536), b"")).decode()
    assert said.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 5\r\n" in said
    assert '"status": 503' in said
    for one in idle:
        one.close()


def test_one_question_is_asked_for_all_who_came_in_by_the_same_key() -> None:
    welcomes, asked = Welcomes(), list[int]()

    def look() -> bool:
        asked.append(1)
        return True

    assert all(welcomes.ask("key", look, 60) for _ in range(500))
    assert len(asked) == 1
    assert welcomes.ask("other", look, 60)
    assert welcomes.ask("key", look, 0)
    assert len(asked) == 3


FILES = [
    ({}, {}),
    ({"files": {"markdown": "/srv/a/default/looking/x.md"}}, {"files": {"markdown": "x.md"}}),
    ({"files": {"json": "/srv/looking/default/looking/d/x"}}, {"files": {"json": "d/x"}}),
    ({"files": {"json": "/srv/elsewhere/x.json"}, "n": 1}, {"files": {"json": "x.json"}, "n": 1}),
    ({"files": {"json": "x.json", "n": 3}}, {"files": {"json": "x.json", "n": 3}}),
    ({"files": ["/srv/x"]}, {"files": ["/srv/x"]}),
]


@pytest.mark.parametrize(("given", "told"), FILES)
def test_files_are_named_without_the_servers_folders(given: Any, told: Any) -> None:
    assert own_names(given, "looking") == told


def test_no_answer_says_where_the_server_keeps_its_files(api: Api) -> None:
    run_id = begin(api.ledger)
    path = str(api.settings.artifacts / "default" / "warehouse_health" / "x.md")
    finish(api.ledger, run_id, artifacts={"files": {"markdown": path}})
    for where in ("", "/timeline"):
        told = api.get(f"/agents/runs/{run_id}{where}").text
        assert "x.md" in told
        assert str(api.settings.artifacts) not in told
    assert str(api.settings.artifacts) not in api.get(f"/agents/events?run_id={run_id}").text
