"""Which agents and rounds there are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from roundsman import catalog
from roundsman.api.access import Reader
from roundsman.api.problems import answered, documented, example
from roundsman.api.words import Word
from roundsman.errors import Mistake
from roundsman.rules.redaction import redact

_BRIEF = {
    "name": "warehouse_health",
    "version": "1.0.0",
    "description": "Look after search and warehouse",
    "capabilities": ["read_es", "read_bq", "dbt_run", "auto_remediate"],
    "rounds": ["warehouse_health/emails-prod"],
}
_ROUND = {
    "name": "warehouse_health/emails-prod",
    "description": "The production mails",
    "params": {"days": 14},
    "schedules": [{"cron": "0 6 * * *"}],
    "entrypoint": "flows.warehouse_health:warehouse_health",
}
_WHOLE = _BRIEF | {
    "plan": ["query_es_daily", "query_bq_daily"],
    "entrypoint": "flows.warehouse_health:warehouse_health",
    "params_schema": {"type": "object"},
    "rounds": [_ROUND],
}

router = APIRouter(tags=["agents"])


@router.get("/agents", responses=example({"agents": [_BRIEF]}) | documented(401, 403))
def list_agents(caller: Reader) -> dict[str, Any]:
    """List what can be executed."""
    rounds = catalog.rounds()
    found = [card.name for card in catalog.cards() if not card.operation]
    return {"agents": [catalog.describe(name) | _names(name, rounds) for name in found]}


@router.get("/agents/{agent}", responses=example(_WHOLE) | documented(401, 403, 404, 422))
def read_agent(caller: Reader, agent: Word) -> dict[str, Any]:
    """Tell of one agent: its steps, its parameters, its rounds and when they start."""
    with answered(404):
        card = catalog.find_card(agent)
    if card.operation:
        raise Mistake(f"'{agent}' is an operation and no agent", "see /agents", status=404)
    rounds = [_round(one) for one in catalog.rounds() if one.agent == agent]
    facts = {"plan": list(card.plan), "params_schema": card.params_schema, "rounds": rounds}
    return catalog.describe(agent) | facts | {"entrypoint": card.entrypoint}


def _names(agent: str, rounds: list[catalog.Round]) -> dict[str, Any]:
    return {"rounds": [one.full_name for one in rounds if one.agent == agent]}


def _round(one: catalog.Round) -> dict[str, Any]:
    return {
        "name": one.full_name,
        "description": one.description,
        "params": redact(dict(one.params)),
        "schedules": list(one.schedules),
        "entrypoint": one.entrypoint,
    }
