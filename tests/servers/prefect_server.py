"""One real Prefect server on a private port and home, shared by a run of tests and by bench."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.servers.shared import is_alive, shared, until

START_SECONDS = 120
STOP_SECONDS = 20


class PrefectServer(NamedTuple):
    """A running server: its API's address, its home, its process."""

    url: str
    home: Path
    pid: int


def available() -> bool:
    """Prefect is a dependency of ours, so its server always can be started."""
    return True


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def server_environment(home: Path) -> dict[str, str]:
    """An environment in which nobody else's Prefect can be meant."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "ROUNDSMAN_"))}
    options = "uri=true&check_same_thread=false&pool=:memory:"
    return kept | {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"sqlite+aiosqlite:///file:{home / 'prefect.db'}?{options}"
        ),
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def run_server(home: Path) -> Generator[PrefectServer]:
    """Start a server with its own home and port; it is ended by its process id."""
    server = _start(home)
    try:
        yield server
    finally:
        _stop(server.pid)


def _start(home: Path) -> PrefectServer:
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=server_environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = PrefectServer(f"http://127.0.0.1:{port}/api", home, process.pid)
    try:
        _await_health(server)
    except BaseException:
        _stop(process.pid)
        raise
    return server


def _note(home: Path) -> str:
    server = _start(home)
    return json.dumps([server.url, str(server.home), server.pid])


def _read(note: str) -> PrefectServer:
    url, home, pid = json.loads(note)
    return PrefectServer(url, Path(home), pid)


def _await_health(server: PrefectServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and is_alive(server.pid):
        with suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/health", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    tail = (server.home / "server.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"the Prefect server did not come up at {server.url}:\n{tail}")


def _stop(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        until(lambda: not is_alive(pid), STOP_SECONDS, f"end of process {pid}")
    except TimeoutError:
        os.killpg(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[PrefectServer]:
    """The run's server, without pointing this process at it (see `prefect_api`)."""
    with shared("prefect", _note, lambda note: _stop(_read(note).pid)) as note:
        yield _read(note)


@pytest.fixture
def prefect_api(prefect_server: PrefectServer) -> Iterator[PrefectServer]:
    """Flows called in this test are tracked by the session's server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_server.url}):
        yield prefect_server


@pytest.fixture
def run_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own: what it runs in this process is told in a fresh ledger there."""
    from roundsman.settings import get_settings
    from tests.ledgers import lay_file

    lay_file(tmp_path / "home")
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()
