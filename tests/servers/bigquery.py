"""BigQuery's wire format for tests: `bqemulator` in an environment and a process of its own.

`python -m tests.servers.bigquery install` fills the environment, once, from package indexes alone.
What it has not (scanned bytes, byte caps, job time-outs, cancelling) is proven on the exact
requests against a scripted server: tests/servers/scripted_bigquery.py.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blocks.warehouse import BigQueryWarehouse

# It asks for DuckDB's spatial extension at its start; that comes as a package, for 1.5.5 at most.
REQUIREMENTS = (
    "bqemulator==1.4.0",
    "duckdb==1.5.5",
    "duckdb-extensions==1.5.5",
    "duckdb-extension-spatial==1.5.5",
    "numpy<3",
)
PROJECT = "roundsman-test"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20


@dataclass(frozen=True)
class Server:
    """A running emulator; it forgets everything at its end."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path


def available() -> bool:
    """Whether the emulator's own environment is installed."""
    return (_cache() / ".complete").exists()


def install() -> None:
    """Make the emulator's environment, once, by whoever comes first."""
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if available():
            return
        venv = _cache() / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        subprocess.run([*_installer(venv), *REQUIREMENTS], check=True)
        unpack = "from duckdb_extensions import import_extension; import_extension('spatial')"
        subprocess.run([venv / "bin" / "python", "-c", unpack], check=True, env=_environment())
        (_cache() / ".complete").touch()


def start() -> Server:
    """Start an emulator on a free port; it is ready when this returns. Stop it with `stop`."""
    folder = Path(tempfile.mkdtemp(prefix="roundsman-bigquery-"))
    port = _free_port()
    command = [_cache() / "venv" / "bin" / "bqemulator", "start", "--project", PROJECT]
    ports = ["--rest-port", str(port), "--grpc-port", str(_free_port())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *ports, "--log-level", "error"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment() | {"TMPDIR": str(folder)},
            cwd=folder,
        )
    server = Server(f"http://127.0.0.1:{port}", process, folder)
    _wait_until_ready(server)
    return server


def stop(server: Server) -> None:
    """End the emulator by its own process and wait until it is gone."""
    server.process.terminate()
    try:
        server.process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Server]:
    """An emulator for as long as the block lasts."""
    server = start()
    try:
        yield server
    finally:
        stop(server)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "/var/tmp")) / "roundsman-bqemulator"


def _environment() -> dict[str, str]:
    """A home of its own: DuckDB looks there for extensions."""
    home = _cache() / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "HOME": str(home), "PYTHONPATH": ""}


def _installer(venv: Path) -> list[str | Path]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "-q", "--python", venv / "bin" / "python"]
    return [sys.executable, "-m", "pip", "-q", "--python", venv / "bin" / "python", "install"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    said = (server.folder / "log").read_text(errors="replace")[-2000:]
    stop(server)
    raise RuntimeError(f"bqemulator did not start: {said}")


@pytest.fixture(scope="session")
def bigquery() -> Iterator[Server]:
    """One emulator for all tests of a process."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def bigquery_warehouse(bigquery: Server) -> BigQueryWarehouse:
    """A warehouse that may be written to, in that emulator."""
    from blocks.warehouse import BigQueryWarehouse

    return BigQueryWarehouse(
        project=PROJECT, location="US", api_endpoint=bigquery.url, sandbox=True
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit("usage: python -m tests.servers.bigquery install")
    install()
