"""How soon the doors answer: events to who follows them, a page of history, a run's start."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

from bench.figures import Emitter, Figure, emitter, tell
from bench.requests import measure_history, measure_starts
from bench.streams import (
    Place,
    Reads,
    Served,
    follow,
    leave_and_return,
    let_write,
    p95,
    serving,
    start_writer,
    wait_for,
)
from tests.servers import postgresql

EVENTS = 100
EVENTS_A_SECOND = 10
CLIENTS = 500
GOAL_ONE_MS = 100
GOALS_MANY_MS = {"sqlite": 250, "postgresql": 150}

WRITTEN = 10_000
WRITERS = 3
LEAVES = 1_000
READERS = 20
# The longest stay, in shares of what there is to see between two departures on average.
STAY = 1.8
OPENED_AT_ONCE = 25

RUNS = 1_000_000
STARTS = 20


def main() -> int:
    """Measure and print every figure."""
    out = emitter(
        __doc__ or "",
        events=EVENTS,
        clients=CLIENTS,
        written=WRITTEN,
        disconnects=LEAVES,
        runs=RUNS,
        starts=STARTS,
    )
    for measure in (measure_history, measure_starts):
        with tempfile.TemporaryDirectory(prefix="roundsman-doors-") as folder:
            measure(out, Path(folder))
    for engine in ("sqlite", "postgresql"):
        with ledger_on(engine) as place:
            if place is None:
                tell(f"{engine} not measured: {postgresql.how_to_install()}")
                continue
            if engine == "sqlite":
                out.emit(measure_latency(out, place, 1)._replace(figure="sse_1_p95_ms"))
            out.emit(measure_many(out, place, engine))
        with ledger_on(engine) as place:
            if place is not None:
                measure_losses(out, place, engine)
    return out.exit_code()


@contextmanager
def ledger_on(engine: str) -> Generator[Place | None]:
    """A place for a fresh ledger; None where this machine has no such server."""
    # The server runs as a user of its own, who must be able to reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="roundsman-doors-", dir="/tmp"))
    try:
        if engine == "sqlite":
            yield Place(f"sqlite:///{folder}/ledger.db", str(folder / "chain.key"))
        elif not postgresql.available():
            yield None
        else:
            folder.chmod(0o755)
            (folder / "server").mkdir(mode=0o755)
            with postgresql.running(folder / "server") as server:
                yield Place(server.create_database(), str(folder / "chain.key"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_many(out: Emitter, place: Place, engine: str) -> Figure:
    """The same with as many clients as are asked for."""
    found = measure_latency(out, place, out.sizes["clients"])
    return found._replace(figure=f"sse_500_p95_ms_{engine}", goal=GOALS_MANY_MS[engine])


def measure_latency(out: Emitter, place: Place, clients: int) -> Figure:
    """From just before an event is written until a client has parsed it; of all clients, the p95.

    The floor is the p95 of the bare write, at whose end nobody has heard of it yet.
    """
    run_id, writer = start_writer(place, events=out.sizes["events"], seconds=1 / EVENTS_A_SECOND)
    with serving(place) as served:
        waits = asyncio.run(_follow_all(served.port, f"?run_id={run_id}", clients, writer))
    written = wait_for(writer)
    tell(f"{clients} clients, {len(waits)} arrivals, median {statistics.median(waits):.1f} ms")
    return Figure("", p95(waits), "ms", written.write_ms, GOAL_ONE_MS)


async def _follow_all(
    port: int, query: str, clients: int, writer: subprocess.Popen[str]
) -> list[float]:
    """Milliseconds until each client had each event; the writer begins when all are there."""
    waits: list[float] = []
    opening, opened = asyncio.Semaphore(OPENED_AT_ONCE), 0

    async def follow_one() -> None:
        nonlocal opened
        await opening.acquire()
        async with aclosing(follow(port, query)) as stream:
            async for told in stream:
                if told.name == "run_started":
                    opening.release()
                    opened += 1
                    if opened == clients:
                        let_write(writer)
                elif told.name == "gap":
                    waits.append((time.time() - told.data["payload"]["sent"]) * 1000)

    await asyncio.gather(*(follow_one() for _ in range(clients)))
    return waits


def measure_losses(out: Emitter, place: Place, engine: str) -> None:
    """Events that readers lost or had twice who left and came back while others wrote."""
    each, leaves_each = out.sizes["written"] // WRITERS, out.sizes["disconnects"] // READERS
    writers = [start_writer(place, events=each)[1] for _ in range(WRITERS)]
    # Each writer's run is queued, started, and ends.
    until = WRITERS * (each + 3)
    reads = partial(Reads, leaves=leaves_each, events_max=int(STAY * until / leaves_each))
    with serving(place) as served:
        for writer in writers:
            let_write(writer)
        heard = asyncio.run(_leave_all(reads(port=served.port, until=until)))
        for writer in writers:
            wait_for(writer)
        out.emit(Figure(f"sse_stop_s_{engine}", asyncio.run(_stop(served)), "s", None, 1))
    tell(f"{until} events, {READERS} readers, {sum(left for _, left in heard)} disconnects")
    lost = sum(until - len(set(seen)) for seen, _ in heard)
    twice = sum(len(seen) - len(set(seen)) for seen, _ in heard)
    out.emit(Figure(f"sse_lost_{engine}", lost, "events", None, 0))
    out.emit(Figure(f"sse_twice_{engine}", twice, "events", None, 0))


async def _leave_all(reads: Reads) -> list[tuple[list[int], int]]:
    readers = [leave_and_return(reads, random.Random(seed)) for seed in range(READERS)]
    return await asyncio.gather(*readers)


async def _stop(served: Served) -> float:
    """Seconds from telling the server to stop until the last of its readers is let go."""
    streams = [follow(served.port) for _ in range(READERS)]
    for stream in streams:
        await anext(stream)
    served.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for stream in streams:
        async for _ in stream:
            pass
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
