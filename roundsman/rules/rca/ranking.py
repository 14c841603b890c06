"""Which steps could have decided a run, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.turns import Turn, read_turns
from roundsman.rules.rca.weights import WEIGHTS

RANKED_MAX = 10
SIGNS_TOLD_MAX = 3
SCORE_DIGITS = 4


class RankedStep(BaseModel):
    """One step; the scores of all of a run's steps add up to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step_id: str
    agent: str
    position: int
    score: float
    signs: tuple[str, ...] = ()


def rank_steps(run: AgentRun, weights: Mapping[str, float] = WEIGHTS) -> tuple[RankedStep, ...]:
    """All turns of the run by what their signs weigh; of equals the earlier first."""
    turns = read_turns(run)
    points = [_points(turn, weights) for turn in turns]
    most = max(points, default=0.0)
    odds = [exp(point - most) for point in points]
    whole = sum(odds)
    # By the odds themselves: rounded scores would make equals of what is not.
    by_odds = sorted(zip(odds, turns, strict=True), key=lambda pair: (-pair[0], pair[1].position))
    return tuple(_ranked(run, turn, odd / whole, weights) for odd, turn in by_odds)


def put_first(
    ranked: Sequence[RankedStep], position: int, run: AgentRun, score: float
) -> tuple[RankedStep, ...]:
    """The same ranking with one step in front, whose score leaves the rest to the others."""
    if not run.steps:
        return tuple(ranked)
    step = run.steps[position]
    first = RankedStep(step_id=step.step_id, agent=step.agent, position=position, score=score)
    others = [one for one in ranked if one.position != position]
    left = sum(one.score for one in others) or 1.0
    rest = (
        one.model_copy(update={"score": round(one.score / left * (1 - score), SCORE_DIGITS)})
        for one in others
    )
    signs = next((one.signs for one in ranked if one.position == position), ())
    return (first.model_copy(update={"signs": signs}), *rest)


def _points(turn: Turn, weights: Mapping[str, float]) -> float:
    return sum(weights[name] * value for name, value in turn.signs.items() if name in weights)


def _ranked(run: AgentRun, turn: Turn, share: float, weights: Mapping[str, float]) -> RankedStep:
    step = run.steps[turn.position]
    weighed = {name: weights.get(name, 0.0) * value for name, value in turn.signs.items()}
    telling = sorted(
        (name for name in weighed if weighed[name] > 0), key=lambda n: (-weighed[n], n)
    )
    return RankedStep(
        step_id=step.step_id,
        agent=step.agent,
        position=turn.position,
        score=round(share, SCORE_DIGITS),
        signs=tuple(telling[:SIGNS_TOLD_MAX]),
    )
