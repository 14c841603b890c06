"""What a linter says of rules that never act, contradict each other, or open too much."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.approval import Policy, Request, explain
from roundsman.rules.policy_lint import COMPLAINTS_MAX, Complaint, lint

BUILD = {"id": "a", "verdict": "allow", "actions": ["build"]}


def complaints(*rules: dict[str, Any]) -> list[Complaint]:
    return lint(Policy.model_validate({"version": 1, "rules": rules}))


def told(*rules: dict[str, Any]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(one.level, one.rules, one.said) for one in complaints(*rules)]


def when(*conditions: tuple[str, str, Any]) -> dict[str, Any]:
    return {"when": [{"field": field, name: value} for field, name, value in conditions]}


@pytest.mark.parametrize(
    ("rule", "level", "words"),
    [
        ({"hours_utc": [9, 9]}, "problem", "no hour lies from 09 to 09"),
        ({"hours_utc": [24, 0]}, "problem", "no hour lies from 24 to 00"),
        (when(("items", "above", 3), ("items", "below", 2)), "problem", "cannot hold together"),
        (when(("items", "above", 3), ("items", "at_most", 3)), "problem", "cannot hold together"),
        (
            when(("environment", "is", "a"), ("environment", "is_not", "a")),
            "problem",
            "environment is 'a' and environment is not 'a' cannot hold together",
        ),
        (when(("items", "is", 3), ("items", "one_of", [1, 2])), "problem", "cannot hold"),
        (when(("itmes", "above", 3)), "warning", "looks at 'itmes', which no agent of ours gives"),
        ({"actions": ["sned"]}, "warning", "is for 'sned', which no block of ours does"),
        ({"approvers": ["ada"], "four_eyes": True}, "warning", "has approvers, four_eyes, but"),
        ({"actions": ["delete_*", "purge"]}, "warning", "cannot allow 'delete_*', 'purge'"),
        ({"actions": ["*"]}, "warning", "too open"),
        ({"actions": ["build", "**"], "agents": ["x"]}, "warning", "too open"),
    ],
)
def test_one_odd_rule_is_complained_of_once(rule: dict[str, Any], level: str, words: str) -> None:
    (found,) = complaints(BUILD | rule)
    assert (found.level, found.rules) == (level, ("a",))
    assert words in found.said
    assert found.remedy


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"verdict": "deny", "actions": ["list_*", "get"]}, "what only reads is always allowed"),
        ({"verdict": "ask", "four_eyes": True, "approvers": ["ada"]}, "names one person"),
        ({"verdict": "deny", "actions": ["*"]}, "denies everything that is not a read"),
    ],
)
def test_one_odd_guard_is_complained_of_once(rule: dict[str, Any], words: str) -> None:
    (found,) = complaints(BUILD | rule)
    assert (found.level, words in found.said) == ("warning", True)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"actions": ["*"], "verdict": "ask"},
        {"actions": ["*"], "hours_utc": [0, 6]},
        {"actions": ["*"], **when(("sandbox", "is", True))},
        {"actions": ["delete_*", "build"]},
        {"actions": ["refund_*", "send"]},
        {"actions": ["list_rows", "build"], "verdict": "deny"},
        {"verdict": "ask", "four_eyes": True, "approvers": ["ada", "bob"]},
        when(("items", "above", 3), ("items", "below", 4)),
        when(("items", "at_least", 3), ("items", "at_most", 3)),
        {"verdict": "deny", "actions": ["*"], "weekdays": ["sat", "sun"]},
    ],
)
def test_a_rule_that_makes_sense_is_not_complained_of(rule: dict[str, Any]) -> None:
    assert told(BUILD | rule) == []


def test_a_slip_in_a_field_suggests_the_right_one() -> None:
    (found,) = complaints(BUILD | when(("blast_radus", "above", 3)))
    assert found.remedy.startswith("did you mean 'blast_radius'?")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"verdict": "deny"}, ("problem", "contradict each other")),
        ({"verdict": "ask"}, ("problem", "contradict each other")),
        ({"verdict": "allow"}, ("warning", "match the same")),
        ({"verdict": "deny", "actions": ["b*"]}, ("warning", "'a' never decides")),
        ({"verdict": "deny", "actions": ["*"], "targets": ["x"]}, None),
        ({"verdict": "ask", "hours_utc": [0, 24]}, ("problem", "contradict")),
        ({"verdict": "ask", "hours_utc": [0, 23]}, None),
        ({"verdict": "ask", **when(("items", "above", 3))}, None),
        ({"verdict": "deny", "actions": ["c*"]}, None),
        ({"verdict": "deny", "actions": ["buil?"]}, ("warning", "'a' never decides")),
    ],
)
def test_two_rules_are_compared(other: dict[str, Any], found: tuple[str, str] | None) -> None:
    given_rules = complaints(BUILD, BUILD | {"id": "b"} | other)
    assert [one.level for one in given_rules] == ([found[0]] if found else [])
    assert found is None or found[1] in given_rules[0].said


def test_a_narrower_condition_is_seen_to_be_within_a_wider_one() -> None:
    narrow = BUILD | when(("items", "above", 10), ("environment", "is", "prod"))
    wide = BUILD | {"id": "b", "verdict": "ask"} | when(("items", "above", 5))
    (found,) = complaints(narrow, wide)
    assert found.said == "'a' never decides: 'b' (ask) matches whenever it does"
    assert told(BUILD | when(("items", "above", 5)), wide | when(("items", "above", 10))) == []


def test_approvers_of_two_rules_that_may_meet_need_a_person_in_common() -> None:
    one = {"id": "a", "verdict": "ask", "actions": ["b*"], "approvers": ["Ada"]}
    other = {"id": "b", "verdict": "ask", "actions": ["build"], "approvers": ["bob"]}
    (found,) = complaints(one, other)
    assert "nobody in common" in found.said
    assert told(one, other | {"approvers": ["bob", "ada"]}) == []
    assert told(one, other | {"actions": ["send"]}) == []


def test_problems_come_first_and_a_flood_is_cut() -> None:
    rules = [BUILD | {"id": f"r{n}", "verdict": ["allow", "deny"][n % 2]} for n in range(40)]
    found = complaints(*rules)
    assert len(found) == COMPLAINTS_MAX
    assert found[0].level == "problem"


scopes = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["allow", "ask", "deny"])},
    optional={
        "actions": st.lists(st.sampled_from(["build", "b*", "*", "send"]), min_size=1, max_size=2),
        "when": st.lists(
            st.builds(
                lambda name, number: {"field": "items", name: number},
                st.sampled_from(["above", "at_least", "below", "at_most", "is", "is_not"]),
                st.integers(0, 3),
            ),
            max_size=2,
        ),
        "hours_utc": st.lists(st.sampled_from([0, 6, 12, 24]), min_size=2, max_size=2),
    },
)


@given(scopes, scopes)
def test_what_is_said_never_to_decide_or_match_never_does(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    rules = [one | {"id": "a"}, other | {"id": "b"}]
    policy = Policy.model_validate({"version": 1, "rules": rules})
    said = [(one.rules, one.said) for one in lint(policy)]
    never = {rules[0] for rules, words in said if "never matches" in words}
    hidden = {rules for rules, words in said if "never decides" in words}
    for action in ("build", "send"):
        for items in (0, 0.5, 1, 2, 2.5, 3, 4):
            for hour in (0, 6, 12, 23):
                asked = Request(agent="x", action=action, context={"items": items})
                seen = explain(policy, asked, datetime(2026, 1, 5, hour, tzinfo=UTC))
                matched = {one.rule_id for one in seen if one.matched}
                assert not matched & never
                assert all(strict in matched for weak, strict in hidden if weak in matched)


def test_an_action_that_was_mistyped_is_told_with_the_one_that_was_meant() -> None:
    (found,) = complaints(BUILD | {"actions": ["send", "sned"]})
    assert found.remedy.startswith("did you mean 'send'? ours do append, ")
