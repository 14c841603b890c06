"""Every program in bench still runs: less is measured, and what it must find is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import NOT_PROGRAMS

ROOT = Path(__file__).parents[2]
# Those that need no server, with so little to measure that it takes seconds.
SMALL = {
    "actions": ["--runs", "200", "--permits", "10"],
    "audit": ["--events", "2000"],
    "log": ["--lines", "20"],
    "metrics": ["--runs", "2000"],
    "parity": ["--rows", "5000"],
}
# What does not depend on how quick the machine is.
TIMED = "s", "ms", "ratio"


def run_bench(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"bench.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SMALL)
def test_a_bench_program_finds_what_it_planted(name: str) -> None:
    figures: list[dict[str, Any]] = [
        json.loads(line) for line in run_bench(name, *SMALL[name], "--json").splitlines()
    ]
    assert figures
    untimed = [figure for figure in figures if figure["unit"] not in TIMED]
    assert [figure["figure"] for figure in untimed if not figure["holds"]] == []


def test_every_other_bench_program_can_be_loaded() -> None:
    programs = {path.stem for path in (ROOT / "bench").glob("*.py")} - NOT_PROGRAMS
    assert set(SMALL) < programs
    for name in sorted(programs - set(SMALL)):
        assert "--json" in run_bench(name, "--help")
