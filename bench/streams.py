"""A server of the event stream and writers, each a process of its own, and readers of it."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

ORG = "default"
ROOT = Path(__file__).parents[1]
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
WRITE_SECONDS_MAX = 600
RENEWED_EVERY = 100
QUIET = {"api_requests_per_minute": 1_000_000, "api_spare_children": 0}
BACKLOG = 128
END = b"\n\n"
MESSAGE_BYTES_MAX = 1 << 22


class Place(NamedTuple):
    """Where a ledger is."""

    url: str
    key: str


class Told(NamedTuple):
    """One message of a stream; a comment has the name ':', the opening one no name at all."""

    seq: int | None
    name: str
    data: Any


class Served(NamedTuple):
    """A running server of events."""

    port: int
    process: subprocess.Popen[str]


class Written(NamedTuple):
    """What a writer did: the number of its last event, and how long a write took it (p95)."""

    last: int
    write_ms: float


class Reads(NamedTuple):
    """How a reader goes about it: it leaves so often, each time after at most so many events."""

    port: int
    leaves: int
    events_max: int
    until: int


@contextmanager
def serving(place: Place, **changed: Any) -> Generator[Served]:
    """Serve a ledger's events; `changed` may hold heartbeat and what a Tail takes."""
    process = _start("serve", place, changed)
    try:
        yield Served(int(_line(process)), process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_writer(place: Place, **wanted: Any) -> tuple[str, subprocess.Popen[str]]:
    """Have a process write `events` notes, every `seconds`, padded by `characters`; its run."""
    process = _start("write", place, wanted)
    return _line(process), process


def let_write(process: subprocess.Popen[str]) -> None:
    """A writer that was started waits for this."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(process: subprocess.Popen[str]) -> Written:
    """What the writer did, once it has ended."""
    out, _ = process.communicate(timeout=WRITE_SECONDS_MAX)
    last, write_ms = out.split()[-2:]
    return Written(int(last), float(write_ms))


def p95(values: list[float]) -> float:
    """The value that 95 of 100 stay below."""
    return sorted(values)[math.ceil(len(values) * 0.95) - 1]


async def follow(port: int, query: str = "", last: int | None = None) -> AsyncGenerator[Told]:
    """Messages as they come; raises ConnectionError where the answer is not a stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MESSAGE_BYTES_MAX)
    again = "" if last is None else f"Last-Event-ID: {last}\r\n"
    # Of HTTP 1.0, whose body has no frames: what is measured is the server, not this reader.
    head = f"GET /agents/events{query} HTTP/1.0\r\nHost: 127.0.0.1\r\n{again}\r\n"
    writer.write(head.encode())
    try:
        status = await reader.readline()
        if b" 200 " not in status:
            raise ConnectionError(status.decode())
        while (await reader.readline()).strip():
            pass
        async for told in _parsed(reader):
            yield told
    finally:
        # As a machine does that is switched off: nothing is said any more.
        writer.transport.abort()


async def leave_and_return(reads: Reads, chance: random.Random) -> tuple[list[int], int]:
    """The numbers that a reader saw who left again and again, and how often it did."""
    seen: list[int] = []
    visits, last = 0, 0
    while last < reads.until:
        stay = chance.randint(0, reads.events_max) if visits < reads.leaves else reads.until
        visits += 1
        async with aclosing(follow(reads.port, last=last)) as stream:
            async for told in stream:
                if told.name and told.seq is not None:
                    seen.append(told.seq)
                    last, stay = told.seq, stay - 1
                if stay < 0 or last >= reads.until:
                    break
    return seen, visits - 1


async def _parsed(reader: asyncio.StreamReader) -> AsyncGenerator[Told]:
    # One wait a message: five hundred readers share one process, and that is no part of the server.
    with suppress(asyncio.IncompleteReadError):
        while True:
            yield _told((await reader.readuntil(END)).decode())


def _told(message: str) -> Told:
    lines = (line.partition(":") for line in message.splitlines())
    fields = {name or ":": value.strip() for name, _, value in lines if name or value}
    seq, data = fields.get("id"), fields.get("data")
    name = ":" if ":" in fields else fields.get("event", "")
    return Told(None if seq is None else int(seq), name, data and json.loads(data))


def _start(act: str, place: Place, wanted: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.streams", act, json.dumps({**place._asdict(), **wanted})],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"'{process.args!r}' said nothing")
    return line


def _serve(url: str, key: str, heartbeat: float | None = None, **of_tail: Any) -> None:
    from roundsman.api import stream
    from roundsman.api.app import make_app
    from roundsman.api.server import Server
    from roundsman.settings import Settings
    from roundsman.store.tail import Tail

    own = {"database_url": url, "chain_key": key, "anchor": f"{key}.anchors"}
    app = make_app(Settings(**own, **QUIET))  # pyright: ignore[reportArgumentType]
    stream.HEARTBEAT_SECONDS = heartbeat or stream.HEARTBEAT_SECONDS

    def say() -> None:
        if of_tail:
            app.state.tail = Tail(app.state.house.ledger, **of_tail)
        print(listening.getsockname()[1], flush=True)

    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        Server(app, say).run([listening])


def _write(url: str, key: str, events: int, seconds: float = 0, characters: int = 0) -> None:
    from roundsman.store import open_ledger, runs
    from roundsman.store.events import read_end
    from roundsman.store.records import Ask, AskedBy, Closing, Note, Opening

    ledger, run_id = open_ledger(url, Path(key)), str(uuid.uuid4())
    ask = Ask(agent_type="bench", plan=["write"], asked_by=AskedBy(kind="cli"))
    runs.queue_run(ledger, ORG, run_id, ask, runs.this_holder())
    runs.open_attempt(ledger, ORG, run_id, Opening(**ask.model_dump()), runs.this_holder())
    print(run_id, flush=True)
    sys.stdin.readline()
    began, spent = time.monotonic(), list[float]()
    for number in range(events):
        time.sleep(max(0, began + number * seconds - time.monotonic()))
        sent = time.time()
        payload = {"n": number, "sent": sent, "text": "x" * characters}
        runs.note(ledger, ORG, run_id, 1, Note(kind="gap", payload=payload))
        spent.append((time.time() - sent) * 1000)
        if number % RENEWED_EVERY == 0:
            runs.renew(ledger, ORG, run_id, 1)
    runs.close_run(ledger, ORG, run_id, 1, Closing(status="success", artifacts={"n": events}))
    print(read_end(ledger, ORG, run_id), p95(spent), flush=True)
    ledger.close()


if __name__ == "__main__":
    {"serve": _serve, "write": _write}[sys.argv[1]](**json.loads(sys.argv[2]))
