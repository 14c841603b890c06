"""Did an agent fail more often since its version changed, and how sure is that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import sqrt
from typing import Any, NamedTuple, cast

from roundsman.rules.rca.records import AgentRun

# The two-sided 95 % point of the normal distribution.
Z = 1.96
# Of earlier runs the newest this many are compared.
EARLIER_RUNS_MAX = 500


class Earlier(NamedTuple):
    """One earlier run of the same agent."""

    version: str
    succeeded: bool


class Interval(NamedTuple):
    """Where a rate, or the difference of two, lies with 95 % confidence."""

    low: float
    high: float


class Change(NamedTuple):
    """The share of failed runs before and since the version `to`, and how much it grew."""

    since: str
    to: str
    before: tuple[int, int]
    after: tuple[int, int]
    growth: float
    interval: Interval

    @property
    def is_certain(self) -> bool:
        """Whether no growth at all lies outside of the interval."""
        return self.interval.low > 0


def wilson(count: int, of: int) -> Interval:
    """The score interval of a rate: E. B. Wilson, J. Amer. Statist. Assoc. 22 (1927), 209-212."""
    if of == 0:
        return Interval(0.0, 1.0)
    rate, scale = count / of, 1 + Z * Z / of
    centre = (rate + Z * Z / 2 / of) / scale
    half = Z * sqrt(rate * (1 - rate) / of + Z * Z / 4 / of / of) / scale
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def difference(before: tuple[int, int], after: tuple[int, int]) -> Interval:
    """The interval of the second rate minus the first, each given as (count, of).

    R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10: with the rates p and their
    Wilson bounds l and u, from d - sqrt((p2 - l2)^2 + (u1 - p1)^2)
    to d + sqrt((u2 - p2)^2 + (p1 - l1)^2), d = p2 - p1. It holds for a handful of runs too.
    """
    first, second = wilson(*before), wilson(*after)
    p1, p2 = _rate(before), _rate(after)
    return Interval(
        p2 - p1 - sqrt((p2 - second.low) ** 2 + (first.high - p1) ** 2),
        p2 - p1 + sqrt((second.high - p2) ** 2 + (p1 - first.low) ** 2),
    )


def version_of(run: AgentRun) -> str:
    """The version of the prompt where it is told, else the agent's."""
    prompt = run.metadata.get("prompt_version")
    return prompt if isinstance(prompt, str) and prompt else run.agent_version


def earlier_runs(run: AgentRun, others: Iterable[AgentRun]) -> tuple[Earlier, ...]:
    """What the run itself tells of earlier ones, and after it the stored ones, oldest first."""
    stored = (
        Earlier(version_of(other), other.succeeded)
        for other in others
        if other.agent_name == run.agent_name and other.run_id != run.run_id and other.status
    )
    return tuple(chain(_told(run), stored))[-EARLIER_RUNS_MAX:]


def judge_change(run: AgentRun, earlier: Sequence[Earlier]) -> Change | None:
    """How the share of failures grew with the run's own version; None where it did not.

    Only the version before is compared. The run itself is not counted: it was picked because it
    failed.
    """
    to = version_of(run)
    since = next((one.version for one in reversed(earlier) if one.version != to), "")
    before, after = _failed(earlier, since), _failed(earlier, to)
    if not (to and since and after[1]) or _rate(after) <= _rate(before):
        return None
    growth = _rate(after) - _rate(before)
    return Change(since, to, before, after, growth, difference(before, after))


def _rate(counted: tuple[int, int]) -> float:
    return counted[0] / counted[1] if counted[1] else 0.0


def _failed(earlier: Sequence[Earlier], version: str) -> tuple[int, int]:
    of_version = [one for one in earlier if one.version == version]
    return sum(not one.succeeded for one in of_version), len(of_version)


def recent_runs(run: AgentRun) -> tuple[dict[str, Any], ...]:
    """The entries of `metadata.recent_runs` that are records."""
    told: Any = run.metadata.get("recent_runs")
    if not isinstance(told, list):
        return ()
    entries = cast("list[Any]", told)
    return tuple(cast("dict[str, Any]", one) for one in entries if isinstance(one, dict))


def _told(run: AgentRun) -> Iterator[Earlier]:
    for entry in recent_runs(run):
        version = entry.get("prompt_version") or entry.get("agent_version")
        if isinstance(version, str) and isinstance(entry.get("status"), str):
            yield Earlier(version, entry["status"] == "success")
