"""The story of an API whose waiting process, or which itself, is killed around one run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from tests.kills.cases import CLI as THE_API
from tests.kills.cases import SPARE, Case
from tests.kills.scene import CLI, PROCESS_SECONDS, Scene


def serve_one(scene: Scene, case: Case, home: Path) -> None:
    """Serve, ask for one run, wait for its end or for the API's, and end the API."""
    with (home / "api.log").open("wb") as log:
        server = subprocess.Popen(
            [*CLI, "serve", "--port", "0"],
            env=scene.variables(home, case.kill),
            cwd=scene.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        if said:
            if case.script == "spare-gone":
                _await(lambda: not _waiting(server.pid))
            _ask(said.split()[1], home)
        if case.kill.startswith(THE_API):
            server.wait(PROCESS_SECONDS)
    finally:
        server.terminate()
        server.communicate(timeout=PROCESS_SECONDS)


def _ask(url: str, home: Path) -> None:
    body = {"agent_type": "trace_leaver", "params": {"file": str(home / "lines")}}
    # An API that dies answers nothing, and one whose process died says so.
    with suppress(httpx.TransportError):
        httpx.post(f"{url}/agents/execute", json=body, timeout=PROCESS_SECONDS)


def _waiting(server: int) -> list[str]:
    children = Path(f"/proc/{server}/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    # Of one that has died, and was not collected yet, nothing is left to read.
    return [pid for pid in pids if SPARE in Path(f"/proc/{pid}/cmdline").read_text()]


def _await(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PROCESS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the process that waits never died"
        time.sleep(0.05)
