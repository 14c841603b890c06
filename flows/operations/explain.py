"""Say what a run would read and about how much of it, without reading."""

from __future__ import annotations

import importlib
from typing import Any

from roundsman import catalog
from roundsman.agent import AgentParams, Outcome, agent, spec_of, step
from roundsman.attempt import Spec, check


class Params(AgentParams):
    """Which run is meant, and with which parameters."""

    name: str
    given: dict[str, Any] = {}


def _as_the_run_itself(params: Params) -> dict[str, str]:
    """No system is asked here; but what the run itself would be refused for, this is too."""
    spec, round_params = _meant(params.name)
    return check(spec, params.given, round_params)[1]


def _meant(name: str) -> tuple[Spec, dict[str, Any]]:
    entrypoint, found = catalog.resolve(name)
    module, _, agent_name = entrypoint.partition(":")
    spec = spec_of(getattr(importlib.import_module(module), agent_name))
    return spec, dict(found.params) if found else {}


@agent(operation=True, systems=_as_the_run_itself, plan=("estimate_readings",))
async def explain(params: Params) -> Outcome:
    """Ask the agent's own `explain`, where it has one, with the run's parameters."""
    spec, round_params = _meant(params.name)
    checked, _ = check(spec, params.given, round_params)
    readings = await estimate_readings(spec.card.entrypoint, checked)
    told = {"name": params.name, "plan": list(spec.card.plan), "readings": readings}
    return Outcome(verdict="healthy", artifacts=told, gaps=[])


@step
def estimate_readings(entrypoint: str, params: AgentParams) -> list[dict[str, Any]]:
    """Estimates of every system that the run would read; [] where the agent does not tell."""
    ask = getattr(importlib.import_module(entrypoint.partition(":")[0]), "explain", None)
    return [] if ask is None else [reading._asdict() for reading in ask(params)]
