"""Who has a DuckDB file open: one at a time, in this process and among all of a ledger's."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from blocks.patience import at_most
from roundsman.envelope import current_or_none
from roundsman.errors import Unready
from roundsman.store.leases import hold_file

# A dbt build holds its file for 5 to 6 s, a large one longer.
FILE_WAIT_SECONDS = 120.0

# Within a process DuckDB refuses a second connection that is opened otherwise than the first.
_in_use: dict[Path, threading.Lock] = defaultdict(threading.Lock)
_look_up = threading.Lock()


@contextmanager
def held(path: Path) -> Generator[None]:
    """Be the only one who has the file open; Unready, naming the holder, after a wait in vain.

    In a run the ledger's lease is taken too, so that processes queue up instead of colliding.
    """
    path, wait_seconds = path.resolve(), at_most(FILE_WAIT_SECONDS)
    with _look_up:
        lock = _in_use[path]
    if not lock.acquire(timeout=wait_seconds):
        raise Unready(
            f"file '{path}' is in use by another step of this process",
            f"waited {wait_seconds:.3g} s; try again when it is done",
        )
    try:
        run = current_or_none()
        with hold_file(run.ledger, run.org, str(path), wait_seconds) if run else nullcontext():
            yield
    finally:
        lock.release()
