"""Whether a request was served before: a key that is given again is answered from the ledger."""

from __future__ import annotations

import json
from typing import Any

from roundsman import catalog
from roundsman.api.words import OPEN
from roundsman.rules.redaction import redact
from roundsman.store import Ledger
from roundsman.store.chain import canonical
from roundsman.store.history import find_by_key
from roundsman.store.records import AuditRow


def served_before(ledger: Ledger, org: str, order: catalog.Order) -> str | None:
    """The run that the order's key has started, if the order is word for word the same.

    None also where that is not certain from here: the run's own process then says whether it is,
    with the agent's own checks, and whether a run that was only queued has to be taken on.
    """
    first = find_by_key(ledger, org, order.key) if order.key else None
    if first is None or first.status in OPEN[:1]:
        return None
    return first.run_id if _is_same(first, order) else None


def _is_same(first: AuditRow, order: catalog.Order) -> bool:
    one = catalog.resolve(order.agent_or_round)[1]
    agent = one.agent if one else order.agent_or_round
    card = next((card for card in catalog.cards() if card.name == agent), None)
    if card is None:
        return False
    asked = (card.name, one.full_name if one else None, order.retry_of, order.action_id)
    if asked != (first.agent_type, first.round, first.retry_of, first.action_id):
        return False
    fields: dict[str, Any] = card.params_schema.get("properties", {})
    defaults = {name: rule["default"] for name, rule in fields.items() if "default" in rule}
    wanted = defaults | dict(one.params if one else {}) | dict(order.params)
    return first.params == json.loads(canonical(redact(wanted)))
