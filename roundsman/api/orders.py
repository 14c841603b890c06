"""What a request to execute means: which agent or round, with which parameters, for whom."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import AfterValidator, ConfigDict, Field, StrictBool

from roundsman import catalog
from roundsman.api.access import Caller
from roundsman.api.problems import TurnedDown
from roundsman.api.runs import find_run
from roundsman.api.words import OPEN, Body, RunId, Text, Word
from roundsman.errors import Mistake, Unready
from roundsman.rules.redaction import redact
from roundsman.store import Ledger
from roundsman.store.records import Ask, AskedBy
from roundsman.store.runs import record_refused

WAIT_SECONDS_DEFAULT = 60
WAIT_SECONDS_MAX = 300
BUDGET_MAX = 2**31 - 1
PARAMS_DEPTH_MAX = 20
MODELS_MAX = 1_000
SAID_CHARACTERS_MAX = 300
# They stand beside `params`, where what they allow is looked at.
OUTSIDE = ("objective", "dry_run", "allow_actions", "budget_ms", "budget_ops")
# A retry takes the rest from the run that it repeats.
OF_RETRY = frozenset({"agent_type", "retry_run_id", "wait_seconds"})


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    left: list[tuple[object, int]] = [(value, 0)]
    while left:
        one, depth = left.pop()
        if depth > PARAMS_DEPTH_MAX:
            raise ValueError(f"must not be nested deeper than {PARAMS_DEPTH_MAX}")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("must not hold a number that JSON does not have")
        if isinstance(one, dict):
            left += [(inner, depth + 1) for inner in cast("dict[str, object]", one).values()]
        elif isinstance(one, list):
            left += [(inner, depth + 1) for inner in cast("list[object]", one)]
    return value


class SearchPart(Body):
    """`config.es`: what is searched, over how many days."""

    index: Word | None = None
    days: int | None = None


class WarehousePart(Body):
    """`config.bq`: the table that is compared."""

    dataset: Word | None = None
    table: Word | None = None
    project: Word | None = None


class TransformPart(Body):
    """`config.dbt`: `target` names a transform of systems.yaml, `models` are selectors."""

    target: Word | None = None
    models: Annotated[list[Word], Field(max_length=MODELS_MAX)] | None = None
    full_refresh: StrictBool | None = None


class Config(Body):
    """The systems in the words of the specification; each becomes parameters of the agent."""

    es: SearchPart | None = None
    bq: WarehousePart | None = None
    dbt: TransformPart | None = None


class Execution(Body):
    """A wish to have an agent run."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "agent_type": "warehouse_health",
                "objective": "Check data freshness and parity",
                "dry_run": True,
                "allow_actions": False,
                "config": {
                    "es": {"index": "emails-*", "days": 7},
                    "bq": {"dataset": "analytics", "table": "emails", "project": "my-project"},
                    "dbt": {
                        "target": "prod",
                        "models": ["tag:daily", "tag:critical"],
                        "full_refresh": False,
                    },
                },
                "budget_ms": 60000,
                "budget_ops": 100,
                "wait_seconds": 60,
            }
        }
    )

    agent_type: Word = Field(description="See `GET /agents`")
    objective: Text | None = Field(default=None, description="Why; unset: the agent's own words")
    dry_run: StrictBool = Field(default=True, description="Look and tell, change nothing")
    allow_actions: StrictBool = Field(default=False, description="May act, once dry_run is off too")
    config: Config = Field(default=Config(), description="The systems; an unknown key is refused")
    params: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(
        default={}, description="Parameters of the agent, as its `params_schema` has them"
    )
    budget_ms: int | None = Field(default=None, ge=1, le=BUDGET_MAX)
    budget_ops: int | None = Field(default=None, ge=0, le=BUDGET_MAX)
    round: Word | None = Field(default=None, description="A round of the agent: it fills the rest")
    retry_run_id: RunId | None = Field(
        default=None, description="A run that did not succeed, to be run with what it had"
    )
    wait_seconds: float = Field(
        default=WAIT_SECONDS_DEFAULT,
        ge=0,
        le=WAIT_SECONDS_MAX,
        description="How long the answer may take; then it is 202 with the run's address",
    )


class Unstarted(Unready):
    """No process could be started for a run; its audit row has this id."""

    def __init__(self, said: str, remedy: str, run_id: str) -> None:
        super().__init__(said, remedy)
        self.run_id = run_id


def order_of(body: Execution, caller: Caller, ledger: Ledger) -> catalog.Order:
    """The order for the catalog. Raises Mistake for what cannot be, Denied for who may not."""
    order = catalog.Order(
        agent_or_round=_name(body),
        params={},
        asked_by=AskedBy(kind="api", name=caller.name),
        user_email=caller.user_email,
    )
    if body.retry_run_id is not None:
        return _again(body, caller, (ledger, order))
    if caller.key is not None or not body.dry_run:
        caller.require("write")
    card = _card(order.agent_or_round)
    params = _given(body, card)
    if card is not None:
        _check(params, card)
    return order._replace(params=params)


def run_of(started: catalog.Started) -> str:
    """The run's id once it stands in the ledger; raises what it was refused for."""
    message = started.queued()
    told = message.get("refused")
    if told is None:
        return str(message["run_id"])
    status = 403 if told.get("type") == "PolicyError" else 422
    raise TurnedDown(str(told.get("message", "refused")), told.get("run_id"), status)


def record_unstarted(ledger: Ledger, org: str, order: catalog.Order, error: Unready) -> str:
    """Write down that a run was asked for and no process could be started; gives its id."""
    assert order.asked_by is not None
    agent, _, of_round = order.agent_or_round.partition("/")
    ask = Ask(
        agent_type=agent,
        round=order.agent_or_round if of_round else None,
        params=redact(dict(order.params)),
        dry_run=order.params.get("dry_run", True),
        asked_by=order.asked_by,
        user_email=order.user_email,
        retry_of=order.retry_of,
    )
    return record_refused(ledger, org, ask, {"type": error.wire_type, "message": str(error)})


def _name(body: Execution) -> str:
    if body.round is None:
        return body.agent_type
    agent, slash, _ = body.round.partition("/")
    if slash and agent != body.agent_type:
        said = f"round '{body.round}' is not one of agent '{body.agent_type}'"
        raise Mistake(said, "name the agent's own round")
    return body.round if slash else f"{body.agent_type}/{body.round}"


def _card(name: str) -> catalog.Card | None:
    """What is known of the agent; None for one that is in prefect.yaml and has no card yet."""
    known = {card.name: card for card in catalog.cards()}
    card = known.get(name.partition("/")[0])
    if card is not None and card.operation:
        listed = ", ".join(name for name, one in known.items() if not one.operation)
        raise Mistake(f"Invalid agent_type: '{card.name}'. Available: {listed}")
    catalog.resolve(name)
    return card


def _again(body: Execution, caller: Caller, told: tuple[Ledger, catalog.Order]) -> catalog.Order:
    ledger, order = told
    more = sorted(body.model_fields_set - OF_RETRY)
    if more:
        said = f"a retry takes what the run had: leave out '{more[0]}'"
        raise Mistake(said, "or start a run without retry_run_id")
    row = find_run(ledger, caller.org, body.retry_run_id or "")
    if row.agent_type != body.agent_type:
        raise Mistake(f"run '{row.run_id}' is one of '{row.agent_type}', not '{body.agent_type}'")
    if caller.key is not None or not row.dry_run:
        caller.require("write")
    if row.status in OPEN or row.status == "success":
        said = f"run '{row.run_id}' is {row.status}: there is nothing to retry"
        raise Mistake(said, "start a run without retry_run_id", status=409)
    name = row.round or row.agent_type
    _card(name)
    return order._replace(agent_or_round=name, params=row.params, retry_of=row.run_id)


def _given(body: Execution, card: catalog.Card | None) -> dict[str, Any]:
    for name in OUTSIDE:
        if name in body.params:
            raise Mistake(f"'{name}' stands among params", f"give '{name}' beside params")
    params = dict(body.params)
    for part, name, value in _mapped(body.config):
        if card is not None and name not in card.params_schema.get("properties", {}):
            said = f"agent '{body.agent_type}' has no '{name}', which config.{part} means"
            raise Mistake(said, f"leave config.{part} out; see /agents/{body.agent_type}")
        if name in params:
            raise Mistake(f"'{name}' is given twice", f"give it in config.{part} or in params")
        params[name] = value
    told = body.model_dump(include=set(OUTSIDE), exclude_none=True)
    return params | told


def _mapped(config: Config) -> list[tuple[str, str, Any]]:
    """Which part of the configuration means which parameter."""
    es, bq, dbt = config.es or SearchPart(), config.bq, config.dbt or TransformPart()
    found = [
        ("es", "index", es.index),
        ("es", "days", es.days),
        ("bq", "table", None if bq is None else _table(bq)),
        ("dbt", "transform", dbt.target),
        ("dbt", "dbt_selectors", dbt.models),
        ("dbt", "full_refresh", dbt.full_refresh),
    ]
    return [one for one in found if one[2] is not None]


def _table(bq: WarehousePart) -> str | None:
    if bq.table is None or bq.dataset is None:
        if bq == WarehousePart():
            return None
        missing = "table" if bq.table is None else "dataset"
        raise Mistake(f"config.bq has no '{missing}'", "give dataset and table")
    return ".".join(name for name in (bq.project, bq.dataset, bq.table) if name)


def _check(params: Mapping[str, Any], card: catalog.Card) -> None:
    """Refuse what the agent's schema refuses: at once, and without a row in the ledger."""
    # What is left out comes from the round and the defaults.
    schema = {name: rule for name, rule in card.params_schema.items() if name != "required"}
    try:
        found = next(Draft202012Validator(schema).iter_errors(dict(params)), None)
    except SchemaError as error:
        raise Mistake(f"the card of '{card.name}' is broken", "run `make cards`") from error
    if found is not None:
        known = f"see params_schema of /agents/{card.name}"
        raise Mistake(_words(found)[:SAID_CHARACTERS_MAX], known)


def _words(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    if not path:
        return error.message
    return f"parameter '{path}': {_shown(error)}"


def _shown(error: ValidationError) -> str:
    """The validator's own sentence, which begins with the value that it shows."""
    value = repr(error.instance)
    if len(value) <= SAID_CHARACTERS_MAX // 2:
        return error.message
    return error.message.replace(value, json.dumps(value[:50]) + " ...")
