"""One server for all workers of a test run: the first starts it, the last stops it."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

# Servers that root starts as somebody else must be able to reach their folders: a tmp_path is not.
RUNS = Path("/var/tmp/roundsman-servers")


@contextmanager
def shared(
    kind: str, start: Callable[[Path], str], stop: Callable[[str], object]
) -> Generator[str]:
    """Yield the note that `start` left of the server that it started in an empty folder's place.

    `stop` gets the same note, perhaps in another process.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    RUNS.mkdir(mode=0o755, exist_ok=True)
    # A lock is never removed: who waits for a removed one would not meet later comers.
    lock, users = RUNS / f"{kind}.lock", RUNS / f"{run}-{kind}.users"
    folder, kept = RUNS / f"{run}-{kind}", RUNS / f"{run}-{kind}.server"
    with alone(lock):
        if not kept.exists():
            kept.write_text(start(folder))
        note = kept.read_text()
        count = int(users.read_text()) if users.exists() else 0
        users.write_text(str(count + 1))
    try:
        yield note
    finally:
        with alone(lock):
            left = int(users.read_text()) - 1
            users.write_text(str(left))
            if left == 0:
                stop(note)
                shutil.rmtree(folder, ignore_errors=True)
                users.unlink()
                kept.unlink()


@contextmanager
def alone(lock: Path) -> Generator[None]:
    """Be the only one who holds a lock."""
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_alive(pid: int) -> bool:
    """Whether a process runs; one's own child is reaped on the way."""
    with suppress(ChildProcessError):  # it may be another worker's child
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def until(is_true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something; raises TimeoutError with what it was."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
