"""Several real processes at once, all of one process that has imported what they need."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

# Importing these takes more than a second; each process would pay it for itself.
PRELOADED = ["pytest", "blocks.notify", "blocks.search", "tests.permits"]
SECONDS_MAX = 120


def together(act: Callable[..., object], each: Iterable[tuple[Any, ...]]) -> list[int | None]:
    """Call `act` in a process of its own with each of the arguments; their exit codes.

    A process has not ended in time where its code is None.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    processes = [context.Process(target=act, args=arguments) for arguments in each]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS_MAX)
    return [process.exitcode for process in processes]
