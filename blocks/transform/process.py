"""dbt at work in a process group of its own, forked from one that has imported it already."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from roundsman.errors import Unready

FORKSERVER = Path(__file__).with_name("forkserver.py")
# How long a killed process may take to be gone: it may have gigabytes to give back.
END_SECONDS_MAX = 30
KILLED = -signal.SIGKILL
_REMEDY = "free some memory, files or processes, and try again"
# The first command waits for the import.
START_SECONDS_MAX = 120


class DbtProcess:
    """One dbt command that was started."""

    def __init__(self, line: socket.socket, leash: int) -> None:
        self._line = line
        self._leash = leash
        self._heard = b""
        self._code: int | None = None
        self.pid = 0

    def is_begun(self, seconds: float) -> bool:
        """Whether it was begun within so long; at once False where nobody is there to do it."""
        while b"\n" not in self._heard:
            heard = select.select([self._line], [], [], seconds)[0]
            if not heard or not self._hear():
                return False
        pid, _, self._heard = self._heard.partition(b"\n")
        self.pid = int(pid)
        return True

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, a signal as a negative number; None while it is at work."""
        deadline = time.monotonic() + seconds
        while self._code is None and b"\n" not in self._heard:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._line], [], [], left)[0]:
                return None
            if not self._hear():
                self._code = KILLED
        if self._code is None:
            self._code = int(self._heard)
        return self._code

    def end(self) -> None:
        """Kill it, where it is at work, with all that it started; it is gone when this returns."""
        if self.wait(0) is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait(END_SECONDS_MAX)
        self.let_go()

    def let_go(self) -> None:
        """Close what is held of it."""
        os.close(self._leash)
        self._line.close()

    def _hear(self) -> bytes:
        try:
            part = self._line.recv(64)
        except ConnectionError:
            part = b""
        self._heard += part
        return part


class ForkServer:
    """The process that forks; it ends with ours."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._door, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", FORKSERVER],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )

    def order(self, order: bytes, output: int) -> DbtProcess | None:
        """Have a command begun, or return None where this server is gone."""
        line, theirs = socket.socketpair()
        held, leash = os.pipe()
        begun = DbtProcess(line, leash)
        try:
            socket.send_fds(self._door, [b"."], [theirs.fileno(), output, held])
            theirs.close()
            line.sendall(order)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            is_begun = False
        else:
            is_begun = begun.is_begun(START_SECONDS_MAX)
        finally:
            theirs.close()
            os.close(held)
        if not is_begun:
            begun.let_go()
        return begun if is_begun else None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End it."""
        self._door.close()
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()


_lock = threading.Lock()
_server: ForkServer | None = None


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], output: int
) -> DbtProcess:
    """Begin a dbt command in a folder; it does not outlive this process, even if that is killed.

    Raises Unready where no process can be started.
    """
    told = {"arguments": [*arguments], "folder": str(folder), "environment": {**environment}}
    order = json.dumps(told).encode()
    try:
        with _lock:
            begun = _warm().order(order, output) or _cold().order(order, output)
    except OSError as error:
        raise Unready(f"dbt could not be started: {error.strerror}", _REMEDY) from error
    if begun is None:
        raise Unready("dbt could not be started: its process ended at once", _REMEDY)
    return begun


def running_server() -> int | None:
    """Return the process id of this process's own fork server, None where there is none yet."""
    return _server.pid if _server is not None and _server.owner == os.getpid() else None


def _warm() -> ForkServer:
    # After a fork the server is our parent's.
    return _server if _server is not None and _server.owner == os.getpid() else _cold()


def _cold() -> ForkServer:
    global _server
    _end()
    _server = ForkServer()
    return _server


@atexit.register
def _end() -> None:
    global _server
    if _server is not None:
        _server.close()
        _server = None
