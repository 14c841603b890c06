"""Which actions were considered in a stretch of time, and what policy said of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from roundsman.rules.approval import Decision, Request
from roundsman.rules.redaction import REDACTED
from roundsman.rules.simulation import StoredDecision
from roundsman.store.engine import Ledger
from roundsman.store.tables import instant_text

KINDS = ("action_proposed", "action_considered")
ROWS_AT_ONCE = 2_000

_PAGE = (
    "SELECT seq, run_id, at, payload FROM events WHERE org_id = :org AND seq > :after"
    f" AND kind IN ({', '.join(repr(kind) for kind in KINDS)})"
    " AND at >= :since AND at < :until ORDER BY seq LIMIT :limit"
)


def stored_decisions(
    ledger: Ledger, org: str, since: datetime, until: datetime
) -> Iterator[StoredDecision]:
    """Yield what was considered from `since` on and before `until`, oldest first.

    Read page by page, so that a year of runs needs no more memory than a day. Live runs tell of
    permits, dry runs of wishes; a wish repeated before anything changed was told once.
    """
    values: dict[str, Any] = {
        "org": org,
        "after": 0,
        "since": instant_text(since),
        "until": instant_text(until),
        "limit": ROWS_AT_ONCE,
    }
    while True:
        with ledger.reading() as connection:
            rows = ledger.execute(connection, _PAGE, values).all()
        for seq, run_id, at, payload in rows:
            yield _read(StoredDecision(seq, run_id, datetime.fromisoformat(at)), payload)
        if len(rows) < ROWS_AT_ONCE:
            return
        values["after"] = rows[-1][0]


def _read(stored: StoredDecision, payload: str | None) -> StoredDecision:
    """With request and verdict, where the event still says them."""
    if payload is None:
        return stored
    told: dict[str, Any] = json.loads(payload)
    try:
        request = Request.model_validate(told["request"])
        decision = Decision.model_validate(told["decision"])
    except (KeyError, ValidationError):
        # Written by another version: it is counted, and not guessed at.
        return stored
    if any(REDACTED in str(value) for value in (request.target, *request.context.values())):
        return stored
    return stored._replace(
        action_id=told.get("key", ""),
        request=request,
        verdict=decision.verdict,
        rule_id=decision.rule_id,
    )
