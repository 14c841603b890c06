"""Where did a failed run leave the way that a successful one of the same task took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from pydantic import BaseModel, ConfigDict

from roundsman.rules.rca.faults import same_call
from roundsman.rules.rca.records import AgentRun
from roundsman.rules.rca.timeline import positions_of

# The newest so many successful runs are compared, and of each so many calls.
RUNS_MAX = 50
CALLS_MAX = 400
# Runs that share less than this went different ways from the beginning.
LIKENESS_MIN = 0.2


class Divergence(BaseModel):
    """The first call that the nearest successful run did not make at this place.

    `done` is None where the failed run made no further call; `expected` None where the successful
    one had no more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_run: str
    likeness: float
    step_id: str
    done: str | None
    expected: str | None


Action = tuple[str, str]


def first_divergence(run: AgentRun, others: Iterable[AgentRun]) -> Divergence | None:
    """Compare with the nearest successful run of the same agent and task; None without one.

    Nearest is the one whose calls, tool and arguments, are most alike as a sequence; of equals the
    first by id.
    """
    own = _actions(run)
    models = [other for other in others if _is_model(run, other)][-RUNS_MAX:]
    compared = sorted((-_likeness(own, _actions(other)), other.run_id) for other in models)
    if not own or not compared or -compared[0][0] < LIKENESS_MIN:
        return None
    nearest = next(other for other in models if other.run_id == compared[0][1])
    return _first_difference(run, nearest, -compared[0][0])


def _is_model(run: AgentRun, other: AgentRun) -> bool:
    same = other.agent_name == run.agent_name and other.task == run.task
    return same and other.succeeded and other.run_id != run.run_id


def _actions(run: AgentRun) -> list[Action]:
    return [same_call(call) for call in run.tool_calls[:CALLS_MAX]]


def _likeness(own: Sequence[Action], other: Sequence[Action]) -> float:
    return round(SequenceMatcher(None, own, other, autojunk=False).ratio(), 4)


def _first_difference(run: AgentRun, nearest: AgentRun, likeness: float) -> Divergence | None:
    own, other = _actions(run), _actions(nearest)
    at = next((i for i, pair in enumerate(zip(own, other, strict=False)) if pair[0] != pair[1]), -1)
    if at < 0:
        at = min(len(own), len(other))
    if at == len(own) == len(other):
        return None
    done = run.tool_calls[at] if at < len(own) else None
    last = run.steps[-1].step_id if run.steps else ""
    step_id = done.step_id if done else last
    return Divergence(
        from_run=nearest.run_id,
        likeness=likeness,
        step_id=step_id if step_id in positions_of(run).of_step else "",
        done=done.tool_name if done else None,
        expected=nearest.tool_calls[at].tool_name if at < len(other) else None,
    )
