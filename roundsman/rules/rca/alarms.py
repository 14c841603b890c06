"""Is a run stuck, slow, dear or failing, by fixed limits and by its agent's own history."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.faults import find_loops
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.turns import PASSIVE, USER

AlarmKind = Literal["duration", "iterations", "cost", "tool_failures", "repeated_call", "loop"]
# C-060 to C-064.
DURATION_SECONDS_MAX = 60.0
ITERATIONS_MAX = 8
COST_USD_MAX = 0.30
TOOL_FAILURES_MAX = 3
REPEATED_CALLS_MIN = 3
# With this many earlier runs of its agent a run is compared with those instead.
HISTORY_RUNS_MIN = 6
HISTORY_RUNS_MAX = 500
# A modified z-score beyond 3.5 is an outlier: Iglewicz and Hoaglin, How to Detect Outliers, 1993.
SCORE_MAX = 3.5
MAD_TO_DEVIATION = 1.4826
# A quiet history must not make a harmless run an outlier.
DEVIATION_SHARE_MIN = 0.1


class Alarm(BaseModel):
    """One alarm; `usual` is the median of earlier runs, None where a fixed limit decided.

    `informational` is what is told and never a cause (F16).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: AlarmKind
    text: str
    value: float
    limit: float
    usual: float | None = None
    informational: bool = False


def judge_alarms(run: AgentRun, history: Iterable[AgentRun] = ()) -> tuple[Alarm, ...]:
    """All alarms of the run as far as it is told; of an open run too."""
    before = [
        one for one in history if one.agent_name == run.agent_name and one.run_id != run.run_id
    ]
    before = before[-HISTORY_RUNS_MAX:]
    measured = (
        _measure("duration", duration_seconds, DURATION_SECONDS_MAX),
        _measure("iterations", iterations, ITERATIONS_MAX),
        _measure("cost", cost_usd, COST_USD_MAX),
        _measure("tool_failures", tool_failures, TOOL_FAILURES_MAX),
    )
    found = (judge(run, before) for judge in measured)
    return (*(alarm for alarm in found if alarm), *_repeated(run), *_loops(run))


def duration_seconds(run: AgentRun) -> float | None:
    """From start to end, None where one of them is not told."""
    if run.started_at is None or run.ended_at is None:
        return None
    return max(0.0, (run.ended_at - run.started_at).total_seconds())


def iterations(run: AgentRun) -> float | None:
    """How often an agent had its turn."""
    return float(sum(step.kind not in (*PASSIVE, USER) for step in run.steps))


def cost_usd(run: AgentRun) -> float | None:
    """What the run cost, None where it is not told."""
    return run.cost.total_cost_usd


def tool_failures(run: AgentRun) -> float | None:
    """How many calls failed."""
    return float(sum(call.failed for call in run.tool_calls))


_SAID: dict[AlarmKind, Callable[[float], str]] = {
    "duration": lambda value: f"Investigation taking too long: {value:g}s",
    "iterations": lambda value: f"Too many iterations: {value:g}",
    "cost": lambda value: f"High cost: ${value:.3f}",
    "tool_failures": lambda value: f"High tool failure rate: {value:g} failures",
}
_Value = Callable[[AgentRun], float | None]


def _measure(
    kind: AlarmKind, value_of: _Value, fixed: float
) -> Callable[[AgentRun, Sequence[AgentRun]], Alarm | None]:
    def judge(run: AgentRun, before: Sequence[AgentRun]) -> Alarm | None:
        value = value_of(run)
        known = [one for one in map(value_of, before) if one is not None]
        usual = median(known) if len(known) >= HISTORY_RUNS_MIN else None
        limit = fixed if usual is None else _limit(known, usual)
        if value is None or value <= limit:
            return None
        text = _SAID[kind](value)
        return Alarm(kind=kind, text=text, value=value, limit=round(limit, 4), usual=usual)

    return judge


def _limit(known: Sequence[float], usual: float) -> float:
    deviation = MAD_TO_DEVIATION * median(abs(value - usual) for value in known)
    return usual + SCORE_MAX * max(deviation, DEVIATION_SHARE_MIN * usual)


def _repeated(run: AgentRun) -> Iterator[Alarm]:
    """C-064 as it is written: the same tool and arguments three times, wherever in the run."""
    counts = Counter(
        f"{call.tool_name}:{json.dumps(call.args_json, sort_keys=True, default=str)}"
        for call in run.tool_calls
    )
    for key, count in counts.items():
        if count >= REPEATED_CALLS_MIN:
            yield Alarm(
                kind="repeated_call",
                text=f"Possible loop: {key} called {count} times",
                value=count,
                limit=REPEATED_CALLS_MIN,
                informational=True,
            )


def _loops(run: AgentRun) -> Iterator[Alarm]:
    for _, calls in find_loops(run):
        times = len(calls)
        text = f"Loop: {calls[0].tool_name} called {times} times in a row with the same result"
        yield Alarm(kind="loop", text=text, value=times, limit=REPEATED_CALLS_MIN)
