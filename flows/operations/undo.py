"""Take back what a run did outside, the last effect first."""

from __future__ import annotations

from pydantic import Field

from roundsman.agent import AgentParams, Outcome, agent
from roundsman.rules.undoing import judge_undo
from tasks.undo import find_done, undo_action


class Params(AgentParams):
    """Whose effects are taken back."""

    run_id: str = Field(min_length=1, description="The run that acted")
    action_id: str | None = Field(default=None, description="Only this one of its actions")


@agent(operation=True, plan=("find_done", "undo_action"))
async def undo(params: Params) -> Outcome:
    """Undo each effect of a run by a permit of its own; what cannot be undone is said."""
    done = await find_done(params.run_id, params.action_id)
    told = [await undo_action(row) for row in done]
    artifacts = {"undo": [one.model_dump() for one in told]}
    return Outcome(verdict=judge_undo([one.state for one in told]), artifacts=artifacts)
