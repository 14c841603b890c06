"""Which process holds something, and whether it still lives."""

from __future__ import annotations

import os
import socket
import subprocess
from functools import lru_cache
from pathlib import Path

from roundsman.store.records import Holder

PS_SECONDS_MAX = 5


def this_holder() -> Holder:
    """Return the calling process."""
    return holder_of(os.getpid())


def holder_of(pid: int) -> Holder:
    """Return a process of this machine; its start is empty where it is gone."""
    return Holder(this_host(), pid, process_started(pid) or "")


@lru_cache(maxsize=1)
def this_host() -> str:
    """Name this machine, its boot and its process namespace.

    Process ids may be compared only inside all three: containers share a kernel, and often a name.
    """
    return "/".join((socket.gethostname(), _first(_BOOT)[:8], _namespace()))


def is_dead(holder: Holder) -> bool:
    """Whether the holder is known to be gone; never true for a process of another host."""
    return holder.host == this_host() and process_started(holder.pid) != holder.started


def process_started(pid: int) -> str | None:
    """Return when a process started, in the system's own unit; None where it is gone.

    A zombie, which only waits to be collected, is gone.
    """
    if not _PROC.exists():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None
    # The second field is the command in brackets and may hold anything, blanks and brackets too.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]


_PROC = Path("/proc/self").parent if Path("/proc/self/stat").exists() else Path("/nonexistent")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def _started_by_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=PS_SECONDS_MAX,
        check=False,
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _first(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return ""
