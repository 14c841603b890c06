"""The ledger goes down while an effect takes place: a real PostgreSQL, ended and started again."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from roundsman.agent import AgentParams, Outcome, agent, step
from roundsman.envelope import ledger_of
from roundsman.errors import Unready
from roundsman.permits import Wish, act
from roundsman.settings import get_settings
from roundsman.store import approvals
from roundsman.store.approvals import Wanted
from roundsman.store.records import ActionRow
from roundsman.store.sweep import sweep
from roundsman.store.verify import verify
from tests.agents.acting import Lines
from tests.servers.postgresql import Postgresql, free_port, initialize, serving
from tests.store.words import change

pytestmark = [pytest.mark.needs("postgresql"), pytest.mark.usefixtures("run_home")]
ORG = "default"
# More than any machine has.
NO_PID = 2_000_000_000
POLICY = "version: 1\nrules: [{id: lines, verdict: allow, actions: [shout, note]}]\n"


class Server:
    """A PostgreSQL that is ended and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._running = ExitStack()
        initialize(folder)

    def start(self) -> Postgresql:
        """Start it on what it had written."""
        return self._running.enter_context(serving(self.folder, self.port))

    def end(self) -> None:
        """End it, whoever is connected."""
        self._running.close()


class Cutting(Lines):
    """Leaves a line and then ends the ledger's server, so that nobody can write it down."""

    def _leave(self, line: str, key: str, once: bool = False) -> dict[str, Any]:
        answer = super()._leave(line, key, once)
        if _cuts:
            _cuts.pop()()
        return answer


_cuts: list[Callable[[], None]] = []


class Params(AgentParams):
    """Which effect is wanted."""

    path: str
    verb: str


@step
def leave(params: Params) -> Any:
    """Have the line left."""
    method = getattr(Cutting(path=Path(params.path)), params.verb)
    return act(method, Wish(target="lines/cut", occasion={"n": 1}), "hello")


@agent(plan=("leave",))
async def cutting(params: Params) -> Outcome:
    """Leave one line."""
    return Outcome(verdict="healthy", artifacts={"told": await leave(params)})


@contextmanager
def a_server() -> Iterator[Server]:
    # Not tmp_path: root's temporary folders are closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="roundsman-outage-", dir="/tmp"))
    server = Server(folder)
    try:
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(run_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with a_server() as made:
        url = made.start().create_database()
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY)
        monkeypatch.setenv("ROUNDSMAN_DATABASE_URL", url)
        monkeypatch.setenv("ROUNDSMAN_POLICY", str(policy))
        get_settings.cache_clear()
        yield made
        get_settings.cache_clear()


def wanted(tmp_path: Path, verb: str) -> dict[str, Any]:
    """The parameters of a live run."""
    path = str(tmp_path / "lines")
    return {"path": path, "verb": verb, "dry_run": False, "allow_actions": True}


def permit() -> ActionRow:
    (row,) = approvals.list_actions(ledger_of(get_settings()), ORG, Wanted())
    return row


@pytest.mark.parametrize("verb", ["note", "shout"])
def test_a_ledger_that_comes_back_in_time_is_told_what_was_done(
    server: Server, tmp_path: Path, verb: str
) -> None:
    # It is away when the effect has taken place, and back some moments later.
    coming = threading.Thread(target=server.start)

    def restart() -> None:
        server.end()
        coming.start()

    _cuts.append(restart)
    asyncio.run(cutting.fn(wanted(tmp_path, verb)))
    coming.join()
    assert (permit().state, permit().settled_by) == ("done", "run")
    assert len((tmp_path / "lines").read_text().splitlines()) == 1
    assert verify(ledger_of(get_settings()), ORG).ok


def test_an_effect_whose_ledger_stayed_away_is_found_later_and_not_done_twice(
    server: Server, tmp_path: Path
) -> None:
    ledger = ledger_of(get_settings())
    _cuts.append(server.end)
    with pytest.raises(Unready, match="is not reachable"):
        asyncio.run(cutting.fn(wanted(tmp_path, "note")))
    server.start()
    assert permit().state == "attempting"
    # As the process of the run would end with it.
    change(ledger, f"UPDATE run_leases SET pid = {NO_PID}")
    assert len(sweep(ledger)) == 1
    assert permit().state == "unknown"
    asyncio.run(cutting.fn(wanted(tmp_path, "note")))
    assert (permit().state, permit().settled_by) == ("done", "look")
    assert len((tmp_path / "lines").read_text().splitlines()) == 1
    assert verify(ledger, ORG).ok
