"""A form in Prefect's UI for an action that waits for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from roundsman.agent import AgentParams, Outcome, agent
from tasks.answer import answer_request


class Params(AgentParams):
    """Which request is answered, how, by whom."""

    action_id: str = Field(min_length=6, description="As `roundsman approvals list` shows it")
    answer: Literal["approve", "deny"] = Field(description="Yes or no")
    who: str = Field(min_length=1, description="Your name; Prefect cannot check it")
    note: str = Field(default="", description="Why; it stays in the ledger")
    dry_run: bool = Field(default=False, description="Only show what is asked for")


@agent(operation=True, plan=("answer_request",))
async def decide(params: Params) -> Outcome:
    """Answer a request; where policy names who may, a name that was only typed is refused."""
    told = await answer_request(params.action_id, params.answer, params.who, params.note)
    return Outcome(verdict="healthy", artifacts={"answer": told})
