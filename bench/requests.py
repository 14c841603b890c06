"""A server as a user starts it, and what its requests take: a page of history, a run's start."""

from __future__ import annotations

import compileall
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.figures import Emitter, Figure, tell
from bench.metrics import ORG, fill, milliseconds
from roundsman.store import open_ledger
from tests.copies import copy_repository, derive_cards, environment
from tests.servers.prefect_server import PrefectServer, run_server

PAGES = 30
GOAL_HISTORY_RATIO = 2.0
GOAL_FIRST_STEP_P95_MS = 500.0
GOAL_CREATE_MS = 200.0
SERVE_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
LOOK_SECONDS = 0.002
# A process that waits has loaded everything by then; requests closer to each other find none.
BETWEEN_STARTS_SECONDS = 4.0
PAGE = "/agents/history?limit=50&offset=100"
# What the page shows, and of how many it is one.
FLOOR = (
    f"SELECT * FROM agent_audit_log WHERE org_id = '{ORG}' ORDER BY id DESC LIMIT 50 OFFSET 100",
    f"SELECT count(*) FROM agent_audit_log WHERE org_id = '{ORG}'",
)

NOOP = '''"""Does nothing, as soon as it can."""

import time
from pathlib import Path

from roundsman.agent import AgentParams, Outcome, agent, step


class Params(AgentParams):
    file: str


@step
def touch(file: str) -> None:
    Path(file).write_text(str(time.time()))


@agent(plan=("touch",))
async def noop(params: Params) -> Outcome:
    """Does nothing."""
    await touch(params.file)
    return Outcome()
'''
NOOP_ROUND = """
  - name: bare
    entrypoint: flows.noop:noop
"""


def house_of_noop(home: Path, server: PrefectServer) -> dict[str, str]:
    """The environment of an installation below `home` whose one more agent does nothing."""
    copy = copy_repository(home / "copy")
    (copy / "flows" / "noop.py").write_text(NOOP)
    rounds = copy / "prefect.yaml"
    rounds.write_text(rounds.read_text().rstrip() + NOOP_ROUND)
    variables = environment(copy, home / "home-start", ROUNDSMAN_PREFECT_API_URL=server.url)
    variables |= {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(home / "prefect")}
    derive_cards(copy, variables)
    compileall.compile_dir(str(copy), quiet=2)
    return variables


@contextmanager
def serving(variables: dict[str, str]) -> Generator[httpx.Client]:
    """`roundsman serve` in a process of its own; yields a client on a kept connection."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("roundsman")), "serve", "--port", str(port)]
    more = {"ROUNDSMAN_API_REQUESTS_PER_MINUTE": "1000000"}
    process = subprocess.Popen(
        command, env=variables | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, trust_env=False, timeout=SERVE_SECONDS_MAX) as client:
        try:
            _await_answer(client)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS_MAX)


def _await_answer(client: httpx.Client) -> None:
    deadline = time.monotonic() + SERVE_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            client.get("/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not answer")


def measure_history(out: Emitter, home: Path) -> None:
    """A page of history over HTTP, in turns with the bare statements."""
    tell(f"building {out.sizes['runs']} runs")
    ledger = open_ledger(f"sqlite:///{home}/ledger.db", home / "keys/chain.key", None)
    fill(ledger, out.sizes["runs"])
    ledger.close()
    floor = sqlite3.connect(str(home / "ledger.db"))
    variables = os.environ | {"ROUNDSMAN_HOME": str(home), "ROUNDSMAN_API_SPARE_CHILDREN": "0"}
    ours: list[float] = []
    bare: list[float] = []
    with serving(variables) as client:
        for _ in range(PAGES):
            bare.append(milliseconds(lambda: [floor.execute(one).fetchall() for one in FLOOR]))
            ours.append(milliseconds(lambda: client.get(PAGE).raise_for_status()))
    floor.close()
    middle = statistics.median(ours)
    ratio = middle / statistics.median(bare)
    tell(f"a page takes {middle:.1f} ms")
    out.emit(Figure("history", ratio, "ratio", 1.0, GOAL_HISTORY_RATIO))


def measure_starts(out: Emitter, home: Path) -> None:
    """From a request to the first step of its run, and to the run's creation in Prefect."""
    with run_server(home / "server") as server:
        variables = house_of_noop(home, server)
        file = home / "first-step"
        with serving(variables) as client:
            times = [_start(client, file) for _ in range(out.sizes["starts"] + 1)][1:]
        created = _creations(server, home, len(times) + 1)[1:]
    answered, stepped = zip(*times, strict=True)
    tell(f"{len(times)} starts, first step after {statistics.median(stepped):.0f} ms (median)")
    p95 = statistics.quantiles(stepped, n=20, method="inclusive")[-1]
    out.emit(Figure("first_step_p95_ms", p95, "ms", None, GOAL_FIRST_STEP_P95_MS))
    floor = statistics.median(created)
    above = statistics.median(answered) - floor
    out.emit(Figure("create_ms", above, "ms", floor, GOAL_CREATE_MS))


def _start(client: httpx.Client, file: Path) -> tuple[float, float]:
    """Milliseconds until the answer, which says that the run was created, and to its step."""
    time.sleep(BETWEEN_STARTS_SECONDS)
    file.unlink(missing_ok=True)
    wish = {"agent_type": "noop", "params": {"file": str(file)}, "wait_seconds": 0}
    began = time.time()
    client.post("/agents/execute", json=wish).raise_for_status()
    answered = time.time() - began
    text = _await(lambda: file.read_text() if file.exists() else "")
    return answered * 1000, (float(text) - began) * 1000


def _await(look: Callable[[], str]) -> str:
    deadline = time.monotonic() + SERVE_SECONDS_MAX
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(LOOK_SECONDS)
    raise RuntimeError("the run reached no step")


def _creations(server: PrefectServer, home: Path, count: int) -> list[float]:
    """Milliseconds of Prefect's own call, over a connection that is kept as ours is."""
    os.environ |= {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(home / "prefect")}
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow
    def bare() -> None:
        pass

    with get_client(sync_client=True) as client:
        return [milliseconds(lambda: client.create_flow_run(bare)) for _ in range(count)]
