"""What the envelope costs beside bare Prefect, and how long the terminal keeps one waiting."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.figures import Emitter, Figure, emitter, tell
from bench.requests import house_of_noop
from tests.servers import postgresql
from tests.servers.prefect_server import PrefectServer, run_server

STEPS = 20
STEP_SECONDS = 0.05
PAIRS = 21
EMPTY_PAIRS = 21
STARTS = 9
GOAL_RATIO = 1.05
GOALS_STEP_MS = {"sqlite": 3.0, "postgresql": 6.0}
GOAL_FIRST_STEP_MS = 400.0
GOAL_WORDS_MS = 150.0
START_SECONDS_MAX = 60

Run = Callable[[float], Awaitable[Any]]

BARE = """
import asyncio, sys, time
from pathlib import Path
from prefect import flow, task

@task
async def touch(file):
    await asyncio.to_thread(lambda: Path(file).write_text(str(time.time())))

@flow
async def noop(file):
    await touch(file)

asyncio.run(noop(sys.argv[1]))
"""


def main() -> int:
    """Measure and print every figure."""
    out = emitter(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="roundsman-overhead-") as folder:
        home = Path(folder)
        with run_server(home / "server") as server:
            _prepare_process(home, server)
            asyncio.run(_measure_runs(out))
            _measure_postgresql(out, home)
            _measure_starts(out, home, server)
    return out.exit_code()


def _prepare_process(home: Path, server: PrefectServer) -> None:
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "ROUNDSMAN_"))]:
        del os.environ[name]
    os.environ["ROUNDSMAN_HOME"] = str(home / "home")
    os.environ["PREFECT_HOME"] = str(home / "prefect")
    os.environ["PREFECT_API_URL"] = server.url
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"


# Runs, interleaved with bare ones in one process.


def _flows() -> tuple[Run, Run]:
    from tests.agents.twenty import Params, bare, told

    return (lambda seconds: told(Params(seconds=seconds))), bare


async def _pairs(count: int, seconds: float) -> tuple[list[float], list[float]]:
    """Times of ours and of bare ones, taking turns in going first."""
    ours, bare = _flows()
    times: tuple[list[float], list[float]] = ([], [])
    await ours(0.0)
    await bare(0.0)
    for number in range(count):
        both = [(times[0], ours), (times[1], bare)]
        for into, run in both if number % 2 else reversed(both):
            began = time.perf_counter()
            await run(seconds)
            into.append(time.perf_counter() - began)
    return times


async def _measure_runs(out: Emitter) -> None:
    tell(f"{PAIRS} pairs of {STEPS} steps of {STEP_SECONDS * 1000:.0f} ms")
    ours, bare = await _pairs(PAIRS, STEP_SECONDS)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    out.emit(Figure("run_overhead", ratio, "ratio", 1.0, GOAL_RATIO))
    await _measure_empty_steps(out, "sqlite")


async def _measure_empty_steps(out: Emitter, ledger: str) -> None:
    tell(f"{EMPTY_PAIRS} pairs of {STEPS} empty steps, ledger on {ledger}")
    ours, bare = await _pairs(EMPTY_PAIRS, 0.0)
    floor = statistics.median(bare) / STEPS * 1000
    added = statistics.median(ours) / STEPS * 1000 - floor
    out.emit(Figure(f"step_ms_{ledger}", added, "ms", floor, GOALS_STEP_MS[ledger]))


def _measure_postgresql(out: Emitter, home: Path) -> None:
    from roundsman.settings import get_settings

    if not postgresql.available():
        tell(f"step_ms_postgresql not measured: {postgresql.how_to_install()}")
        return
    # The server runs as a user of its own, who must be able to reach its folder.
    home.chmod(0o755)
    folder = home / "postgresql"
    folder.mkdir(mode=0o755)
    with postgresql.running(folder) as server:
        os.environ["ROUNDSMAN_DATABASE_URL"] = server.create_database()
        os.environ["ROUNDSMAN_HOME"] = str(home / "home-postgresql")
        get_settings.cache_clear()
        asyncio.run(_measure_empty_steps(out, "postgresql"))
        del os.environ["ROUNDSMAN_DATABASE_URL"]
        get_settings.cache_clear()


# Starts from the terminal.


def _measure_starts(out: Emitter, home: Path, server: PrefectServer) -> None:
    variables = house_of_noop(home, server)
    _measure_first_step(out, home, variables)
    _measure_words(out, variables)


def _measure_first_step(out: Emitter, home: Path, variables: dict[str, str]) -> None:
    tell(f"{STARTS} pairs of `roundsman run noop` and a bare flow, to the first step")
    file = home / "first-step"
    ours = [*_roundsman(), "run", "noop", "--param", f"file={file}"]
    bare = [sys.executable, "-c", BARE, str(file)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(STARTS + 1):
        times[0].append(_until_first_step(ours, variables, file))
        times[1].append(_until_first_step(bare, variables, file))
    # The first pair makes the ledger and warms the disk's cache.
    floor = statistics.median(times[1][1:])
    out.emit(
        Figure(
            "first_step_ms",
            statistics.median(times[0][1:]) - floor,
            "ms",
            floor,
            GOAL_FIRST_STEP_MS,
        )
    )


def _until_first_step(command: list[str], variables: dict[str, str], file: Path) -> float:
    file.unlink(missing_ok=True)
    began = time.time()
    done = subprocess.run(
        command,
        env=variables,
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        check=False,
    )
    if not file.exists():
        raise RuntimeError(f"{command} reached no step:\n{done.stdout}\n{done.stderr}")
    return (float(file.read_text()) - began) * 1000


def _measure_words(out: Emitter, variables: dict[str, str]) -> None:
    words = {"help_ms": ["--help"], "agents_ms": ["agents"]}
    for figure, typed in words.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(STARTS + 1):
            times[0].append(_took([*_roundsman(), *typed], variables))
            times[1].append(_took([sys.executable, "-c", "pass"], variables))
        floor = statistics.median(times[1][1:])
        added = statistics.median(times[0][1:]) - floor
        out.emit(Figure(figure, added, "ms", floor, GOAL_WORDS_MS))


def _took(command: list[str], variables: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, env=variables, capture_output=True, timeout=START_SECONDS_MAX, check=True
    )
    return (time.perf_counter() - began) * 1000


def _roundsman() -> list[str]:
    return [str(Path(sys.executable).with_name("roundsman"))]


if __name__ == "__main__":
    sys.exit(main())
