"""Runs that considered actions, for a ledger; and a second, naive reading of a policy's file."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import yaml

from bench.audit import ORG, Tale
from roundsman.policy import DEFAULT, load_policy, policy_hash
from roundsman.rules.approval import Request, decide
from roundsman.store.action_table import ACTIONS
from roundsman.store.chain import canonical, sha256
from roundsman.store.records import Ask, AskedBy, Closing, Opening
from roundsman.store.tables import instant_text

SEED = 4
START = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 28
DECISIONS_MAX = 3
LIVE_SHARE, ODD_SHARE = 0.3, 0.1

ACTION_NAMES = (
    *("build", "send", "replace", "append", "remove", "apply_synonyms", "apply_routing_rules"),
    *("publish_insights", "quarantine_mail", "purgeCache", "label_mail", "undo_build"),
    *("fetch_rows", "read_and_delete", "list_runs", "rebalance"),
)
AGENTS = ("warehouse_health", "inbox_triage", "search_quality")
TARGETS = ("transform/prod", "transform/dev", "search/prod", "mail/inbox", "notify/ops")
ODD: tuple[Any, ...] = ("many", None, True, [3], 10**30, "7", -1)

# What is tried in place of the default: stricter here, looser there, each comparison once.
CHANGED = """
version: 1
defaults: {expires_minutes: 60, approvers: [ada, bob]}
rules:
  - {id: open, verdict: allow}
  - {id: many, verdict: ask, when: [{field: items, above: 700}]}
  - {id: wide, verdict: ask, actions: [build], when: [{field: blast_radius, at_least: 15}]}
  - {id: huge, verdict: deny, actions: [build], when: [{field: blast_radius, above: 35}]}
  - {id: calm, verdict: ask, when: [{field: risk_score, at_most: 5}, {field: changes, below: 9}]}
  - {id: prod, verdict: ask, targets: ["*/prod"], hours_utc: [22, 6], approvers: [ada]}
  - {id: days, verdict: ask, agents: ["inbox_*"], weekdays: [sat, sun], approvers: [bob]}
  - {id: kind, verdict: deny, when: [{field: environment, is_not: dev}, {field: changes, is: 3}]}
  - {id: some, verdict: ask, when: [{field: environment, one_of: [production, qa]}]}
  - {id: midweek, verdict: deny, actions: [publish_insights], weekdays: [wed], hours_utc: [8, 20]}
  - {id: spent, verdict: deny, actions: [send, "re*"], when: [{field: over_budget, is: true}]}
"""


class Told(NamedTuple):
    """The events of all runs in order, and the rows of the permits among them."""

    events: list[Tale]
    permits: list[tuple[Any, ...]]


def tell_runs(runs: int) -> Told:
    """Runs over four weeks with one to three considered actions each, judged by the default."""
    chance = random.Random(SEED)
    told = Told([], [])
    for number in range(runs):
        at = START + timedelta(days=DAYS) * number / runs
        run_id = f"{number:08x}-0000-4000-8000-{number * 2654435761 % 2**48:012x}"
        told.events.extend(_run(chance, run_id, at, told.permits))
    return told


def _run(
    chance: random.Random, run_id: str, at: datetime, permits: list[tuple[Any, ...]]
) -> Iterator[Tale]:
    stamp, agent = instant_text(at), chance.choice(AGENTS)
    is_dry = chance.random() > LIVE_SHARE
    ask = Ask(agent_type=agent, dry_run=is_dry, asked_by=AskedBy(kind="schedule"), plan=["act"])
    yield run_id, "run_queued", stamp, ask.model_dump(mode="json")
    yield run_id, "run_started", stamp, Opening(**ask.model_dump()).model_dump(mode="json")
    yield run_id, "step_started", stamp, {"index": 0, "name": "act", "tries": 1}
    for number in range(chance.randint(1, DECISIONS_MAX)):
        facts = _consider(chance, agent, at)
        if is_dry:
            yield run_id, "action_considered", stamp, facts
            continue
        row = _permit(facts, run_id, stamp, number)
        permits.append(row)
        told = dict(zip(ACTIONS.columns, row, strict=True))
        yield run_id, "action_proposed", stamp, facts | {"key": told["action_id"], "set": told}
    step = {"index": 0, "status": "success", "error": None, "seconds": 0.05}
    yield run_id, "step_finished", stamp, step
    closing = Closing(status="success").model_dump(mode="json", exclude={"ops"})
    end = {"agent_type": agent, "ops_count": 3, "duration_seconds": 1.0}
    yield run_id, "run_finished", instant_text(at + timedelta(seconds=1)), closing | end


def _consider(chance: random.Random, agent: str, at: datetime) -> dict[str, Any]:
    action = chance.choice(ACTION_NAMES)
    asked = Request(
        agent=agent,
        action=action,
        target=chance.choice(TARGETS),
        mutates=action not in ("fetch_rows", "list_runs") or chance.random() < ODD_SHARE,
        context=_context(chance),
    )
    policy = load_policy(DEFAULT)
    return {
        "request": asked.model_dump(mode="json"),
        "decision": decide(policy, asked, at).model_dump(mode="json"),
        "policy_hash": policy_hash(policy),
    }


def _context(chance: random.Random) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "items": chance.randint(0, 1500),
        "email_count": chance.randint(0, 1500),
        "blast_radius": chance.randint(0, 40),
        "risk_score": chance.randint(0, 100) + chance.choice((0, 0.5)),
        "changes": chance.randint(0, 12) * chance.choice((1, 40)),
        "environment": chance.choice(("production", "prod", "dev", "qa")),
        "over_budget": chance.random() < ODD_SHARE,
        "sandbox": chance.random() < 0.5,
        "regex": chance.random() < 0.5,
        "volume_per_week": chance.randint(0, 30),
        "person": chance.random() < 0.5,
    }
    given = {name: value for name, value in usual.items() if chance.random() < 0.5}
    odd = {name for name in given if chance.random() < ODD_SHARE}
    return given | {name: chance.choice(ODD) for name in sorted(odd)}


def _permit(facts: dict[str, Any], run_id: str, stamp: str, number: int) -> tuple[Any, ...]:
    asked, decision = facts["request"], facts["decision"]
    states = {"allow": "allowed", "ask": "waiting", "deny": "denied"}
    row: dict[str, Any] = {
        **dict.fromkeys(ACTIONS.columns),
        **dict.fromkeys(("payload", "occasion", "precondition", "limits"), dict[str, Any]()),
        "action_id": sha256(f"{run_id}/{number}")[:32],
        "run_id": run_id,
        **{name: asked[name] for name in ("agent", "action", "target", "context")},
        "payload_sha256": sha256("{}"),
        "lost_answer": "once",
        "proposed_at": stamp,
        "state": states[decision["verdict"]],
        "policy_rule_id": decision["rule_id"],
        "policy_hash": facts["policy_hash"],
        "reason": "",
        "requested_by": "",
        "approvers": decision["approvers"],
        "four_eyes": decision["four_eyes"],
        "nonce_used": False,
    }
    return tuple(row[name] for name in ACTIONS.columns)


def write_permits(path: str, permits: list[tuple[Any, ...]]) -> None:
    """Write the permits' rows into the ledger's file."""
    names = ("org_id", *ACTIONS.columns)
    statement = f"INSERT INTO actions ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    rows = [
        (ORG, *(canonical(v) if isinstance(v, dict | list) else v for v in row)) for row in permits
    ]
    with sqlite3.connect(path) as connection:
        connection.executemany(statement, rows)
    connection.close()


class Naive:
    """A policy's file, read as it stands: nothing here comes from roundsman/rules."""

    def __init__(self, text: str) -> None:
        self.rules: list[dict[str, Any]] = yaml.safe_load(text)["rules"]

    def says(self, asked: dict[str, Any], at: datetime) -> tuple[str, str]:
        """The verdict, and the names of the rules that said so."""
        words = re.split(r"[_\-. ]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", asked["action"]).lower())
        doubtful = {"quarantine", "delete", "purge", "drop", "and"} & set(words)
        reads = words[0] in ("query", "fetch", "read", "get", "list", "search")
        if reads and not doubtful and not asked["mutates"]:
            return "allow", "built-in:reads"
        found = [(rule["verdict"], rule["id"]) for rule in self.rules if fits(rule, asked, at)]
        if doubtful - {"and"}:
            found.append(("ask", "built-in:needs-a-person"))
        if not found:
            return "ask", "built-in:unnamed"
        verdict = min((one for one, _ in found), key=["deny", "ask", "allow"].index)
        names = sorted(name for one, name in found if one == verdict)
        people = [
            set(rule["approvers"])
            for rule in self.rules
            if rule["id"] in names and "approvers" in rule
        ]
        if verdict == "ask" and people and not set.intersection(*people):
            return "deny", "+".join(["built-in:nobody", *names])
        return verdict, "+".join(names)


def fits(rule: dict[str, Any], asked: dict[str, Any], at: datetime) -> bool:
    """Whether a rule of the file matches."""
    for key in ("agent", "action", "target"):
        globs: list[str] = rule.get(f"{key}s", ["*"])
        if not any(re.fullmatch(glob.replace("*", ".*"), asked[key]) for glob in globs):
            return False
    if "weekdays" in rule and at.strftime("%a").lower() not in rule["weekdays"]:
        return False
    first, end = rule.get("hours_utc", [0, 24])
    hours = {*range(first, end)} if first < end else {*range(first, 24), *range(end)}
    if at.hour not in hours:
        return False
    is_opening = rule["verdict"] == "allow"
    return all(holds(one, asked["context"], is_opening) for one in rule.get("when", []))


def holds(condition: dict[str, Any], context: dict[str, Any], is_opening: bool) -> bool:
    """Whether a condition counts as met: None of `meets` is a value of the wrong kind."""
    field = condition["field"]
    (comparison,) = condition.keys() - {"field"}
    names = ("items", "email_count") if field in ("items", "email_count") else (field,)
    values = [context[name] for name in names if context.get(name) is not None]
    met = [meets(value, comparison, condition[comparison]) for value in values]
    if is_opening:
        return bool(met) and all(one is True for one in met)
    return any(one is not False for one in met)


def meets(value: Any, comparison: str, wanted: Any) -> bool | None:
    """Whether a value compares so; None where it cannot."""
    choices: list[Any] = wanted if comparison == "one_of" else [wanted]
    if kind_of(value) not in map(kind_of, choices):
        return None
    return {
        "above": lambda: value > wanted,
        "at_least": lambda: value >= wanted,
        "below": lambda: value < wanted,
        "at_most": lambda: value <= wanted,
        "is": lambda: value == wanted,
        "is_not": lambda: value != wanted,
        "one_of": lambda: value in wanted,
    }[comparison]()


def kind_of(value: Any) -> str:
    """The name of a value's kind; whole numbers and others are of one."""
    return type(value).__name__.replace("int", "float")
