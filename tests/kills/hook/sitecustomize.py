"""Kill this process at a named function: how the kill tests reach an exact point from outside.

ROUNDSMAN_TEST_KILL="who module:function enter|exit n", where `who` is a word of the command line.
Nothing in the product knows about it: a folder on PYTHONPATH brings it into the victim.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

ORDER = os.environ.get("ROUNDSMAN_TEST_KILL", "")


def die() -> None:
    """End as a power cut would: no handler, no finally, no atexit."""
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], moment: str, count: int) -> Callable[..., Any]:
    """The function itself, but for one call at whose begin or end the process dies."""
    calls = 0

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == count
        if mine and moment == "enter":
            die()
        answer = function(*args, **kwargs)
        if mine:
            die()
        return answer

    return around


def inside_effect(function: Callable[..., Any], moment: str, count: int) -> bool:
    """Whether it is a block's effect; then one dies in the deed itself, after the claim."""
    _, deed = getattr(function, "roundsman_effect", (None, None))
    for cell in getattr(function, "__closure__", None) or ():
        if deed is not None and cell.cell_contents is deed:
            cell.cell_contents = deadly(deed, moment, count)
    return deed is not None


def plant(module_name: str, function_name: str, moment: str, count: int) -> None:
    """Wrap the function as soon as its module is executed, before anybody can import it."""
    execute = importlib.machinery.SourceFileLoader.exec_module

    def exec_module(self: Any, module: Any) -> None:
        execute(self, module)
        if module.__name__ == module_name:
            owner = module
            *path, last = function_name.split(".")
            for part in path:
                owner = getattr(owner, part)
            found = getattr(owner, last)
            if not inside_effect(found, moment, count):
                setattr(owner, last, deadly(found, moment, count))

    importlib.machinery.SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign]


if ORDER:
    who, place, moment, count = ORDER.split()
    if who in " ".join(sys.orig_argv):
        plant(*place.split(":"), moment, int(count))
