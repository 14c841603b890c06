"""An agent to be killed: it has one effect done by permit, on the same occasion at every run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.acting import ActingBlock
from blocks.notify import (
    EmailNotify,
    OutboxNotify,
    PagerDutyNotify,
    SlackNotify,
    WebhookNotify,
)
from blocks.search import SqliteSearch
from blocks.transform import DbtTransform
from blocks.warehouse import DuckdbWarehouse
from roundsman.agent import AgentParams, Outcome, agent, step
from roundsman.permits import Wish, act
from roundsman.rules.messages import Message
from roundsman.rules.windows import Dataset, FieldType

AT = datetime(2026, 5, 4, tzinfo=UTC)
FIELDS: dict[str, FieldType] = {"t": "timestamp", "k": "keyword"}
OLD, NEW = {"t": AT, "k": "old"}, {"t": AT, "k": "new"}
# How long a killed process's other side may take; nothing waits for it.
SECONDS = 10.0


class Params(AgentParams):
    """Which effect, where: a file, an address or a port."""

    block: str
    verb: str
    place: str


def name_in(block: str) -> str:
    """The dataset that is written to."""
    return "mails" if block == "sqlite" else "shop.mails"


def block_of(kind: str, place: str) -> ActingBlock:
    """The block that has the effect."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    hooks: dict[str, tuple[type[ActingBlock], dict[str, Any]]] = {
        "sqlite": (SqliteSearch, {"path": place}),
        "duckdb": (DuckdbWarehouse, {"path": place}),
        "dbt": (DbtTransform, {"project_dir": place}),
        "outbox": (OutboxNotify, {"path": place}),
        "slack": (SlackNotify, {"url": f"{place}/services/T0/B0/secret"}),
        "webhook": (WebhookNotify, {"url": f"{place}/hooks/one", "secret": secret}),
        "pagerduty": (PagerDutyNotify, {"url": place, "routing_key": "0123456789abcdef" * 2}),
        "email": (EmailNotify, {"host": "127.0.0.1", "security": "none"}),
    }
    made, options = hooks[kind]
    if kind == "email":
        options |= {"port": place.rpartition(":")[2]}
        options |= {"sender": "roundsman@company.example", "to": ["ada@company.example"]}
    if kind in ("slack", "webhook", "pagerduty", "email"):
        options["timeout_seconds"] = SECONDS
    return made.model_validate(options)


def arguments_of(params: Params) -> tuple[Any, ...]:
    """What the effect is called with."""
    name = name_in(params.block)
    if params.verb == "replace":
        return name, FIELDS, [NEW]
    if params.verb == "append":
        return name, [NEW]
    if params.verb == "remove":
        return Dataset(name=name, time_field="t", key_field="k"), ["old"]
    if params.verb == "build":
        return ("grows",), False
    if params.verb == "undo_build":
        return (json.loads(Path(params.place, "kept.json").read_text()),)
    told = {"severity": "high", "event": "opened", "source": "kills", "dedup_key": "one"}
    return (Message.model_validate({"id": "one", "title": "One", "at": AT, **told}),)


@step
def change(params: Params) -> str:
    """The one effect."""
    method = getattr(block_of(params.block, params.place), params.verb)
    context = {"sandbox": True, "person": True}
    wish = Wish(target=params.block, occasion={"of": "the kill"}, context=context)
    return str(act(method, wish, *arguments_of(params)))


@agent(version="1.0.0", plan=("change",))
async def effect_leaver(params: Params) -> Outcome:
    """Have the effect done, unless it is done."""
    return Outcome(verdict="healthy", artifacts={"said": await change(params)})
