"""A real PostgreSQL in a folder of its own, on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.servers.shared import is_alive, shared, until

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20


class Postgresql(NamedTuple):
    """A running server."""

    host: str
    port: int

    def url(self, database: str) -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@{self.host}:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Create an empty database, or a copy of one that nobody uses; return its address."""
        name = f"ledger_{uuid.uuid4().hex[:12]}"
        with self.session() as session:
            session.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever still uses it."""
        with self.session() as session:
            session.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def session(self):
        """Open a session in which every statement commits by itself."""
        import psycopg

        return psycopg.connect(self.url("postgres"), autocommit=True)


def binaries() -> Path | None:
    """Return the folder with initdb and postgres, or None."""
    found = shutil.which("postgres")
    if found:
        return Path(found).parent
    installed = Path("/usr/lib/postgresql")
    folders = sorted(installed.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def available() -> bool:
    """Whether a server can be started on this machine."""
    if os.geteuid() == 0 and not _has_user("postgres"):
        return False
    return binaries() is not None


def how_to_install() -> str:
    """Say what makes the server available."""
    return "apt-get install postgresql-15"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Postgresql]:
    """Start a server in an empty folder and stop it, by its own process id, at the end."""
    initialize(folder)
    with serving(folder, free_port()) as server:
        yield server


def initialize(folder: Path) -> None:
    """Make an empty folder one that a server can be started in."""
    programs = _programs()
    # PostgreSQL refuses to run as root.
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"]
        + ["--locale=C.UTF-8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
        **_as_user(),
    )


def _programs() -> Path:
    programs = binaries()
    assert programs is not None, how_to_install()
    return programs


def _as_user() -> dict[str, Any]:
    return {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[Postgresql]:
    """Start a server on what such a folder holds; stop it, by its own process id, at the end."""
    server = _launch(folder, port)
    try:
        _wait(server, port, folder / "server.log")
        yield Postgresql("127.0.0.1", port)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _launch(folder: Path, port: int) -> subprocess.Popen[bytes]:
    data, programs = folder / "data", _programs()
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
            + ["-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "max_connections=200"],
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **_as_user(),
        )


def _note(folder: Path) -> str:
    folder.mkdir()
    initialize(folder)
    port = free_port()
    server = _launch(folder, port)
    _wait(server, port, folder / "server.log")
    return f"{port} {server.pid}"


def _stop(note: str) -> None:
    pid = int(note.split()[1])
    os.kill(pid, signal.SIGINT)
    until(lambda: not is_alive(pid), STOP_SECONDS_MAX, f"end of process {pid}")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A server for the whole run; every test takes a database of its own."""
    with shared("postgresql", _note, _stop) as note:
        yield Postgresql("127.0.0.1", int(note.split()[0]))


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        if _answers(port):
            return
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _has_user(name: str) -> bool:
    import pwd

    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False
