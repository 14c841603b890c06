"""One real Prefect server on a private port and home, shared by a session of tests and by bench."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

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
    try:
        url = f"http://127.0.0.1:{port}/api"
        _await_health(url, process, home)
        yield PrefectServer(url, home, process.pid)
    finally:
        _stop(process)


def _await_health(url: str, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    tail = (home / "server.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"the Prefect server did not come up at {url}:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """The session's server, without pointing this process at it (see `prefect_api`)."""
    with run_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


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
