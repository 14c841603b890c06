"""A process that has imported dbt, which takes seconds, and forks for every command.

It is run as a script, so that the folder of this file is not on dbt's path. Its standard input is a
socket: each byte that arrives there is an order, and brings three files along. On the first, a
socket, come the command, its folder and its environment as JSON, and go the process id and, at the
end, the exit code; the second is where dbt's output goes; the third is a leash: when its other end
is closed, or its holder dies, however that dies, dbt is killed with all that it started.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time

FILES = 3
READ_BYTES = 65_536


def serve(door: socket.socket) -> list[str] | None:
    """Fork for every order until the door is closed; returns a command, in its own process."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake)
    at_work: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([door, woken], [], [])
        if woken in ready:
            os.read(woken, READ_BYTES)
            tell_ends(at_work)
        if door not in ready:
            continue
        told, files, _, _ = socket.recv_fds(door, 1, FILES)
        if not told:
            return None
        pid = fork() if len(files) == FILES else None
        if pid is None:
            # Who asked sees his line closed, and may ask another one.
            for file in files:
                os.close(file)
            continue
        line, output, leash = files
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for others in (door, *at_work.values()):
                others.close()
            return become(line, output, leash)
        with contextlib.suppress(OSError):
            # By both, so that neither meets a group that is not there yet.
            os.setpgid(pid, pid)
        os.close(output)
        os.close(leash)
        at_work[pid] = socket.socket(fileno=line)
        say(at_work[pid], pid)


def fork() -> int | None:
    """Fork, or return None where there is no room for one more process."""
    try:
        return os.fork()
    except OSError:
        return None


def tell_ends(at_work: dict[int, socket.socket]) -> None:
    """Tell everybody whose dbt has ended how it did, a signal as a negative number."""
    for pid in list(at_work):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with at_work.pop(pid) as line:
                say(line, os.waitstatus_to_exitcode(status))


def say(line: socket.socket, number: int) -> None:
    """Tell a number to whoever may still listen."""
    with contextlib.suppress(OSError):
        line.sendall(f"{number}\n".encode())


def become(line: int, output: int, leash: int) -> list[str]:
    """Turn this process into the one of an order, at the head of a group; returns the command."""
    os.setpgid(0, 0)
    for number, file in enumerate((leash, output, output)):
        os.dup2(file, number)
    for file in (output, leash):
        os.close(file)
    threading.Thread(target=follow, daemon=True).start()
    with socket.socket(fileno=line) as asked:
        read: list[bytes] = []
        while part := asked.recv(READ_BYTES):
            read.append(part)
    order = json.loads(b"".join(read))
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    return order["arguments"]


def follow() -> None:
    """Wait for the end of the leash, and end this group with it."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Import dbt, serve, and in a forked process run one command of it."""
    # What hinders the import is told by each command, which meets it again.
    with contextlib.suppress(Exception):
        importlib.import_module("dbt.cli.main")
    gc.freeze()
    arguments = serve(socket.socket(fileno=0))
    if arguments is not None:
        from dbt.cli.main import cli

        # Modules in C count what they find alive at the very end.
        atexit.register(gc.unfreeze)
        sys.argv = ["dbt", *arguments]
        cli()


if __name__ == "__main__":
    main()
