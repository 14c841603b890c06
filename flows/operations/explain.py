"""Say what a run would read and about how much of it, without reading."""

from __future__ import annotations

import importlib
from typing import Any

from roundsman import catalog
from roundsman.agent import AgentParams, Outcome, agent, step
from roundsman.rules.parameters import read_params


class Params(AgentParams):
    """Which run is meant, and with which parameters."""

    name: str
    given: dict[str, Any] = {}


def _nothing_but_checked(params: Params) -> dict[str, str]:
    """No system is opened here; but what the run itself would be refused for, this is too."""
    entrypoint, found = catalog.resolve(params.name)
    model = importlib.import_module(entrypoint.partition(":")[0]).Params
    read_params(model, params.given, found.params if found else {})
    return {}


@agent(operation=True, systems=_nothing_but_checked, plan=("estimate_readings",))
async def explain(params: Params) -> Outcome:
    """Ask the agent's own `explain`, where it has one, with the run's parameters."""
    entrypoint, found = catalog.resolve(params.name)
    given = {**(found.params if found else {}), **params.given}
    readings = await estimate_readings(entrypoint, given)
    steps = catalog.find_card(entrypoint.partition(":")[2]).plan
    told = {"name": params.name, "plan": list(steps), "readings": readings}
    return Outcome(verdict="healthy", artifacts=told, gaps=[])


@step
def estimate_readings(entrypoint: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Estimates of every system that the run would read; [] where the agent does not tell."""
    module = importlib.import_module(entrypoint.partition(":")[0])
    ask = getattr(module, "explain", None)
    if ask is None:
        return []
    return [reading._asdict() for reading in ask(module.Params.model_validate(given))]
