"""Which process holds something, and whether it still lives."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path

from roundsman.settings import process_started as process_started
from roundsman.store.records import Holder

_BOOT = Path("/proc/sys/kernel/random/boot_id")


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
