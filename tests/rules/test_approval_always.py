"""What holds for every policy that can be written: floors, strictness, order, explanations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.approval import READS, Policy, Request, decide, explain

STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
OPEN = {"id": "all", "verdict": "allow"}
ACTIONS = ["build", "send", "delete_mail", "read_rows", "apply_synonyms"]
values = st.one_of(
    st.integers(-3, 3), st.sampled_from(["a", "b"]), st.booleans(), st.none(), st.just([1])
)
operands = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b"]), st.booleans())
conditions = st.one_of(
    st.builds(
        lambda field, operator, number: {"field": field, operator: number},
        st.sampled_from(["x", "y", "items", "email_count"]),
        st.sampled_from(["above", "at_least", "below", "at_most"]),
        st.integers(-3, 3),
    ),
    st.builds(
        lambda field, operator, value: {"field": field, operator: value},
        st.sampled_from(["x", "y"]),
        st.sampled_from(["is", "is_not"]),
        operands,
    ),
)


def policy(*rules: dict[str, Any]) -> Policy:
    return Policy.model_validate({"version": 1, "rules": rules})


def verdict(rules: Policy, asked: Request, at: datetime) -> str:
    return decide(rules, asked, at).verdict


def rules_of(verdicts: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"verdict": st.sampled_from(verdicts)},
        optional={
            "actions": st.lists(
                st.sampled_from([*ACTIONS, "*", "apply_*"]), min_size=1, max_size=3
            ),
            "when": st.lists(conditions, max_size=2),
            "hours_utc": st.lists(st.integers(0, 24), min_size=2, max_size=2),
            "weekdays": st.lists(st.sampled_from(["mon", "tue", "sun"]), min_size=1),
        },
    )


def numbered(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule | {"id": f"r{number}"} for number, rule in enumerate(rules)]


any_rules = st.lists(rules_of(["allow", "ask", "deny"]), max_size=6).map(numbered)
requests = st.builds(
    Request,
    agent=st.just("a"),
    action=st.sampled_from(ACTIONS),
    mutates=st.booleans(),
    context=st.dictionaries(st.sampled_from(["x", "y", "items", "email_count"]), values),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1), timezones=st.just(UTC))


@given(any_rules, rules_of(["ask", "deny"]), requests, moments)
def test_a_rule_that_asks_or_denies_never_loosens(
    rules: list[dict[str, Any]], more: dict[str, Any], asked: Request, at: datetime
) -> None:
    before = verdict(policy(*rules), asked, at)
    after = verdict(policy(*rules, more | {"id": "more"}), asked, at)
    assert STRICTNESS[after] >= STRICTNESS[before]


@given(st.data(), any_rules, requests, moments)
def test_the_order_of_rules_never_matters(
    data: st.DataObject, rules: list[dict[str, Any]], asked: Request, at: datetime
) -> None:
    shuffled = data.draw(st.permutations(rules))
    assert decide(policy(*rules), asked, at) == decide(policy(*shuffled), asked, at)


@given(any_rules, requests, moments)
def test_no_file_gets_below_the_floors(
    rules: list[dict[str, Any]], asked: Request, at: datetime
) -> None:
    found = verdict(policy(*rules, OPEN), asked, at)
    if asked.action == "delete_mail":
        assert found in ("ask", "deny")
    if asked.action == "read_rows" and not asked.mutates:
        assert found == "allow"


@given(any_rules, requests, moments)
def test_the_explanation_tells_of_every_rule_and_gives_each_a_reason(
    rules: list[dict[str, Any]], asked: Request, at: datetime
) -> None:
    seen = explain(policy(*rules), asked, at)
    told = decide(policy(*rules), asked, at)
    matched = {one.rule_id for one in seen if one.matched and one.verdict == told.verdict}
    assert set(told.rule_id.split("+")) == matched
    assert all(one.reasons and one.reasons[0].quote for one in seen)
    if seen[0].rule_id != READS:
        assert {rule["id"] for rule in rules} <= {one.rule_id for one in seen}
