"""How a Prefect server of our own is started, found again, and stopped by its process id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from roundsman.errors import Mistake, Unready
from roundsman.settings import Settings, process_started, read_server

HOST = "127.0.0.1"
USUAL_PORT = 4200
START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.1
HTTP_OK = 200
LOG_LINES_SHOWN = 5


class Server(NamedTuple):
    """A server that runs: its API's address and its process."""

    url: str
    pid: int

    @property
    def ui(self) -> str:
        """Where a browser finds it."""
        return self.url.removesuffix("/api")


def running_server(settings: Settings) -> Server | None:
    """The server of this home, if its process still lives."""
    url = read_server(settings.server_file)
    if url is None:
        return None
    return Server(url, int(json.loads(settings.server_file.read_text(encoding="utf-8"))["pid"]))


def start_server(settings: Settings, usual_port: bool = False) -> Server:
    """Start a server on loopback and wait until it answers; a Mistake when one runs already."""
    there = running_server(settings)
    if there:
        raise Mistake(f"a Prefect server runs at '{there.ui}' already", "stop it: make down")
    port = _free_port(USUAL_PORT if usual_port else 0)
    server = _spawn(settings, port)
    try:
        _wait_until_it_answers(server, settings)
    except BaseException:
        stop_process(server.pid)
        settings.server_file.unlink(missing_ok=True)
        raise
    return server


def stop_server(settings: Settings) -> Server | None:
    """Stop this home's server; None when none runs."""
    server = running_server(settings)
    if server:
        stop_process(server.pid)
    settings.server_file.unlink(missing_ok=True)
    return server


def stop_process(pid: int) -> None:
    """Ask the process to end, and end it when it does not; returns once it is gone."""
    for wish, seconds in ((signal.SIGTERM, STOP_SECONDS_MAX), (signal.SIGKILL, STOP_SECONDS_MAX)):
        try:
            os.kill(pid, wish)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process_started(pid) is None:
                return
            time.sleep(POLL_SECONDS)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unready("no free port on 127.0.0.1", "end something that listens")


def _spawn(settings: Settings, port: int) -> Server:
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    url = f"http://{HOST}:{port}/api"
    environment = settings.child_environment() | {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": url,
    }
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    options = {"--host": HOST, "--port": str(port), "--log-level": "warning"}
    options |= {"--timeout-graceful-shutdown": "3"}
    with _log_of(settings).open("wb") as log:
        process = subprocess.Popen(
            [*command, *(word for option in options.items() for word in option)],
            env=environment,
            cwd=settings.prefect_home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    told = {"url": url, "pid": process.pid, "started": process_started(process.pid) or ""}
    fresh = settings.server_file.with_suffix(".new")
    fresh.write_text(json.dumps(told), encoding="utf-8")
    fresh.replace(settings.server_file)
    return Server(url, process.pid)


def _log_of(settings: Settings) -> Path:
    return settings.prefect_home / "server.log"


def _wait_until_it_answers(server: Server, settings: Settings) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS_MAX
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < deadline:
            if process_started(server.pid) is None:
                raise Unready("the Prefect server ended at once", _last_words(settings))
            try:
                if client.get(f"{server.url}/health").status_code == HTTP_OK:
                    return
            except httpx.TransportError:
                time.sleep(POLL_SECONDS)
    said = f"the Prefect server did not answer within {START_SECONDS_MAX:.0f} s"
    raise Unready(said, _last_words(settings))


def _last_words(settings: Settings) -> str:
    path = _log_of(settings)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"it said: {' / '.join(lines[-LOG_LINES_SHOWN:])} (all of it: {path})"
