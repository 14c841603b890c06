"""Stored decisions are decided anew at their own time, and every flip is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from roundsman.rules.approval import Policy, Request, Verdict
from roundsman.rules.simulation import StoredDecision, simulate

NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)


def policy(*rules: dict[str, Any]) -> Policy:
    return Policy.model_validate({"version": 1, "rules": rules})


def stored(seq: int, verdict: Verdict, hour: int = 12, **context: Any) -> StoredDecision:
    request = Request(agent="warehouse_health", action="build", target="t", context=context)
    at = NOON.replace(hour=hour)
    return StoredDecision(seq, f"run-{seq}", at, f"act-{seq}", request, verdict, "old-rule")


WIDE = policy(
    {"id": "build", "verdict": "allow", "actions": ["build"]},
    {"id": "wide", "verdict": "ask", "when": [{"field": "blast_radius", "above": 10}]},
    {"id": "day", "verdict": "deny", "hours_utc": [9, 11]},
)


def test_each_decision_is_compared_at_its_own_time() -> None:
    found = simulate(
        WIDE,
        [
            stored(1, "allow", blast_radius=3),
            stored(2, "allow", blast_radius=11),
            stored(3, "ask", blast_radius=11),
            stored(4, "allow", hour=10),
            stored(5, "deny", hour=11),
            StoredDecision(6, "run-6", NOON),
        ],
    )
    assert (found.compared, found.not_comparable, found.flips_total) == (5, 1, 3)
    assert found.counts == {
        "allow->allow": 1,
        "allow->ask": 1,
        "allow->deny": 1,
        "ask->ask": 1,
        "deny->allow": 1,
    }
    assert [(one.seq, one.old, one.new, one.new_rule) for one in found.flips] == [
        (2, "allow", "ask", "wide"),
        (4, "allow", "deny", "day"),
        (5, "deny", "allow", "build"),
    ]
    assert found.flips[0].reasons == ("rule 'wide': blast_radius is 11, above 10",)
    assert (found.flips[0].run_id, found.flips[0].action_id) == ("run-2", "act-2")


def test_the_list_is_bounded_and_the_count_is_not() -> None:
    many = (stored(n, "deny") for n in range(1, 501))
    found = simulate(WIDE, many, flips_max=7)
    assert (found.flips_total, len(found.flips)) == (500, 7)
    assert [one.seq for one in found.flips] == list(range(1, 8))


def test_the_same_policy_flips_nothing_and_nothing_stored_is_nothing_found() -> None:
    assert simulate(WIDE, [stored(1, "allow")]).flips == ()
    empty = simulate(WIDE, [])
    assert (empty.compared, empty.flips_total, empty.counts) == (0, 0, {})
