"""Tiny agents that look at nothing, for tests of the engine; their effects are lines in a file."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel, Field

from roundsman.agent import AgentParams, Gap, Outcome, agent, current, step
from roundsman.budget import spend
from roundsman.errors import Misread, Mistake, Refused, Unready

KINDS = {"unready": Unready, "refused": Refused, "misread": Misread}


class Nested(BaseModel, extra="forbid"):
    """A group of fields, as agents have them."""

    days: int = Field(default=7, ge=1)
    zone: str = "UTC"


class Params(AgentParams):
    """What the steps of `looking` do."""

    file: str | None = None
    seconds: float = 0.0
    fail_times: int = 0
    fail_with: str = "unready"
    status: int | None = None
    operations: int = 0
    window: Nested = Nested()


_failures: dict[str, int] = {}


@step
def act(file: str | None, word: str) -> str:
    """Leave a line behind, the effect that must happen once."""
    if file:
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(word + "\n")
    return word


@step
def ask(params: Params) -> int:
    """Spend operations, take time, fail as often as told."""
    for number in range(params.operations):
        spend(f"question {number}")
    deadline = time.monotonic() + params.seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)
    key = f"{current().id}"
    _failures[key] = _failures.get(key, 0) + 1
    if _failures[key] <= params.fail_times:
        if params.fail_with == "bug":
            raise KeyError("password=hunter2secret")
        raise KINDS[params.fail_with](
            "search 'emails-*' did not answer", "wait a moment", status=params.status
        )
    return _failures[key]


@agent(version="2.0.0", capabilities=("read_nothing",), plan=("first", "second", "third"))
async def looking(params: Params) -> Outcome:
    """Look at nothing in three steps."""
    await act.named("first")(params.file, "first")
    answer = await ask.named("second")(params)
    await act.named("third")(params.file, "third")
    return Outcome(verdict="healthy", artifacts={"answer": answer})


@agent(plan=("first", "second", "third"))
async def noting(params: Params) -> Outcome:
    """Like `looking`, but goes on without an answer."""
    await act.named("first")(params.file, "first")
    answer = await ask.named("second").or_gap(params)
    await act.named("third")(params.file, "third")
    gaps = [answer] if isinstance(answer, Gap) else []
    report = current().write("report.md", f"gaps: {len(gaps)}\n")
    artifacts = {"report": report.name}
    return Outcome(verdict="unknown" if gaps else "healthy", artifacts=artifacts, gaps=gaps)


@agent(plan=("first",))
async def outer(params: Params) -> Outcome:
    """Run `looking` inside of itself."""
    await act.named("first")(params.file, "outer")
    inner = await looking(params)
    return Outcome(verdict=inner.verdict, artifacts={"inner": inner.artifacts})


@agent(plan=("first",))
async def straying(params: Params) -> Outcome:
    """Run a step that its card does not name."""
    await act.named("elsewhere")(params.file, "elsewhere")
    return Outcome()


def _hashes(params: Params) -> dict[str, str]:
    if params.window.zone not in ("UTC", "Europe/Paris"):
        raise Mistake(f"no system called '{params.window.zone}'", "known are: UTC")
    return {"search/local": "abc"}


@agent(plan=("first",), systems=_hashes)
async def systematic(params: Params) -> Outcome:
    """Say which systems it uses."""
    await act.named("first")(params.file, "first")
    return Outcome(verdict="healthy")
