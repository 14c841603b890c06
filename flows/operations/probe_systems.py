"""Ask every configured system what it is, for `roundsman doctor`."""

from __future__ import annotations

import asyncio

from blocks.systems import copy_to_prefect, read_systems
from roundsman.agent import AgentParams, Outcome, agent
from roundsman.settings import get_settings
from tasks.probe import probe_system


class Params(AgentParams):
    """Which systems are asked."""

    only: list[str] = []


@agent(operation=True, plan=("probe_system",))
async def probe_systems(params: Params) -> Outcome:
    """Ask all systems at once; a lasting Prefect server also gets their copies for its UI."""
    systems = read_systems(get_settings().systems)
    wanted = [s for s in systems.all() if not params.only or s.name in params.only]
    answers = await asyncio.gather(*(probe_system(s.role, s.name, s.kind) for s in wanted))
    documents = await copy_to_prefect() if get_settings().prefect_url() else []
    told = [answer.model_dump(mode="json") for answer in answers]
    reached = sum(answer.reachable for answer in answers)
    verdict = "healthy" if reached == len(answers) else "degraded"
    return Outcome(verdict=verdict, artifacts={"systems": told, "documents": documents}, gaps=[])
