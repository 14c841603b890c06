"""The strictest rule that matches wins, and three floors that no file can loosen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from roundsman.errors import Mistake
from roundsman.rules.approval import (
    NEEDS_A_PERSON,
    NOBODY,
    READS,
    UNNAMED,
    Decision,
    Policy,
    Request,
    decide,
    explain,
    is_destructive,
    is_read,
)

# A Tuesday.
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)
OPEN = {"id": "all", "verdict": "allow"}


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.model_validate({"version": 1, "rules": rules, **more})


def request(action: str = "build", **more: Any) -> Request:
    return Request(agent=more.pop("agent", "warehouse_health"), action=action, **more)


def verdict(rules: Policy, asked: Request | None = None, at: datetime = NOON) -> str:
    return decide(rules, asked or request(), at).verdict


def when(field: str, **comparison: Any) -> dict[str, Any]:
    return {"field": field, **{name.rstrip("_"): value for name, value in comparison.items()}}


@pytest.mark.covers("A-074")
@pytest.mark.parametrize("verb", ["query", "fetch", "read", "get", "list", "search"])
@pytest.mark.parametrize("shape", ["{}", "{}_daily", "{}Daily", "{}-daily", "{}.daily.rows"])
def test_what_only_reads_is_allowed_whatever_the_file_says(verb: str, shape: str) -> None:
    strict = policy({"id": "no", "verdict": "deny"})
    action = shape.format(verb)
    told = decide(strict, request(action, mutates=False), NOON)
    assert (told.verdict, told.rule_id) == ("allow", READS)
    assert is_read(action)
    assert verdict(strict, request(action, mutates=True)) == "deny"


@pytest.mark.parametrize(
    "action",
    ["read_and_delete", "get_or_create", "readAndDelete", "list_then_send", "query-purge"]
    + ["reader", "readall", "my_list", "", "42", "__", "build"],
)
def test_a_name_that_does_more_than_read_is_no_read(action: str) -> None:
    assert not is_read(action)
    assert verdict(policy(), request(action, mutates=False)) == "ask"


DESTRUCTIVE = ["quarantine", "delete", "purge", "drop"]
SPELLINGS = ["{}", "{}_mail", "mail_{}", "mail-{}-now", "mail.{}", "mail/{}", "bulk {}"]


@pytest.mark.covers("A-075", "F10", "F13")
@pytest.mark.parametrize("word", DESTRUCTIVE)
@pytest.mark.parametrize("shape", SPELLINGS)
def test_a_policy_that_allows_everything_still_asks_for_the_four_words(
    word: str, shape: str
) -> None:
    for action in (shape.format(word), shape.format(word.upper()), shape.format(word.title())):
        told = decide(policy(OPEN), request(action, context={"risk_score": 99}), NOON)
        assert (told.verdict, told.rule_id) == ("ask", NEEDS_A_PERSON)
        assert told.reasons[0].quote == f"'{action}' is never done without a person"


@pytest.mark.parametrize(
    ("action", "is_one"),
    [
        ("deleteMail", True),
        ("mailDelete", True),
        ("HTTPDelete", True),
        ("DELETErows", True),
        ("delete2", True),
        ("v2delete", True),
        ("undo_quarantine_mail", True),
        ("ｄｅｌｅｔｅ", True),
        ("de\u200blete", True),
        ("deleted", False),
        ("dropdown", False),
        ("undelete", False),
        ("backdrop", False),
        ("remove", False),
        ("", False),
    ],
)
def test_a_word_is_found_however_it_is_joined_and_never_inside_another(
    action: str, is_one: bool
) -> None:
    assert is_destructive(action) is is_one


def test_a_deny_of_the_user_is_final_even_for_the_four_words() -> None:
    rules = policy(OPEN, {"id": "never", "verdict": "deny", "actions": ["delete_*"]})
    told = decide(rules, request("delete_mail"), NOON)
    assert (told.verdict, told.rule_id) == ("deny", "never")


@pytest.mark.covers("F14")
@pytest.mark.parametrize("mutates", [True, False])
def test_a_change_that_no_rule_matches_asks_a_person(mutates: bool) -> None:
    told = decide(policy(), request("rebalance", mutates=mutates), NOON)
    assert (told.verdict, told.rule_id) == ("ask", UNNAMED)
    assert told.reasons[0].quote == "'rebalance' is allowed by no rule, so a person is asked"
    other = policy({"id": "b", "verdict": "allow", "actions": ["build"]})
    assert verdict(other, request("rebalance", mutates=mutates)) == "ask"


@pytest.mark.covers("A-076")
@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"items": 1000}, "allow"),
        ({"items": 1001}, "ask"),
        ({"email_count": 1001}, "ask"),
        ({"items": 1, "email_count": 1001}, "ask"),
        ({"items": 1001, "email_count": 1}, "ask"),
        ({"items": 1, "email_count": 1}, "allow"),
        ({"over_budget": True}, "ask"),
        ({"over_budget": False}, "allow"),
        ({"risk_score": 95}, "allow"),
        ({"risk_score": 95.01}, "ask"),
        ({}, "allow"),
    ],
)
def test_much_at_once_over_budget_or_risky_asks(context: dict[str, Any], expected: str) -> None:
    rules = policy(
        OPEN,
        {"id": "many", "verdict": "ask", "when": [when("items", above=1000)]},
        {"id": "budget", "verdict": "ask", "when": [when("over_budget", is_=True)]},
        {"id": "risk", "verdict": "ask", "when": [when("risk_score", above=95)]},
    )
    assert verdict(rules, request(context=context)) == expected


@pytest.mark.covers("A-116")
@pytest.mark.parametrize(
    ("comparison", "value", "outcome"),
    [
        ({"above": 5}, 5, "no"),
        ({"above": 5}, 5.1, "yes"),
        ({"at_least": 5}, 5, "yes"),
        ({"at_least": 5}, 4.9, "no"),
        ({"below": 5}, 5, "no"),
        ({"below": 5}, 4, "yes"),
        ({"at_most": 5}, 5, "yes"),
        ({"at_most": 5}, 6, "no"),
        ({"above": 5}, float("inf"), "yes"),
        ({"above": 5}, 10**400, "yes"),
        ({"above": 5}, float("nan"), "cannot"),
        ({"above": 5}, "6", "cannot"),
        ({"above": 5}, True, "cannot"),
        ({"above": 0}, [1], "cannot"),
        ({"above": 0}, None, "no"),
        ({"is_": True}, True, "yes"),
        ({"is_": True}, False, "no"),
        ({"is_": True}, 1, "cannot"),
        ({"is_": True}, "true", "cannot"),
        ({"is_": 1}, 1.0, "yes"),
        ({"is_": "prod"}, "prod", "yes"),
        ({"is_": "prod"}, "Prod", "no"),
        ({"is_not": "prod"}, "dev", "yes"),
        ({"is_not": "prod"}, "prod", "no"),
        ({"is_not": "prod"}, 3, "cannot"),
        ({"one_of": ["a", "b"]}, "b", "yes"),
        ({"one_of": ["a", "b"]}, "c", "no"),
        ({"one_of": ["a", 7]}, 7, "yes"),
        ({"one_of": ["a", "b"]}, {"a": 1}, "cannot"),
    ],
)
def test_a_value_of_the_wrong_kind_matches_a_guard_and_opens_nothing(
    comparison: dict[str, Any], value: Any, outcome: str
) -> None:
    asked = request(context={"x": value})
    guard = policy(OPEN, {"id": "g", "verdict": "deny", "when": [when("x", **comparison)]})
    opening = policy({"id": "o", "verdict": "allow", "when": [when("x", **comparison)]})
    assert verdict(guard, asked) == ("allow" if outcome == "no" else "deny")
    assert verdict(opening, asked) == ("allow" if outcome == "yes" else "ask")
    quote = next(one for one in explain(guard, asked, NOON) if one.rule_id == "g").reasons[0].quote
    assert ("cannot be compared" in quote) is (outcome == "cannot")


def test_an_absent_field_matches_nothing_and_is_said_to_be_absent() -> None:
    rules = policy(OPEN, {"id": "g", "verdict": "ask", "when": [when("x", is_not=1)]})
    seen = explain(rules, request(), NOON)
    assert [one.matched for one in seen] == [True, False]
    assert seen[1].reasons[0].quote == "rule 'g': x is absent"


def test_under_two_names_an_allowing_rule_wants_both_to_fit() -> None:
    rules = policy({"id": "few", "verdict": "allow", "when": [when("items", at_most=10)]})
    assert verdict(rules, request(context={"items": 1, "email_count": 11})) == "ask"
    assert verdict(rules, request(context={"items": 1, "email_count": "?"})) == "ask"
    assert verdict(rules, request(context={"items": 1, "email_count": 2})) == "allow"


def test_all_conditions_of_a_rule_must_hold() -> None:
    conditions = [when("a", above=1), when("b", above=1)]
    rules = policy(OPEN, {"id": "g", "verdict": "ask", "when": conditions})
    assert verdict(rules, request(context={"a": 2, "b": 2})) == "ask"
    assert verdict(rules, request(context={"a": 2, "b": 1})) == "allow"
    assert verdict(rules, request(context={"a": 2})) == "allow"


@pytest.mark.parametrize(
    ("scope", "matches"),
    [
        ({"actions": ["build"]}, True),
        ({"actions": ["buil"]}, False),
        ({"actions": ["Build"]}, False),
        ({"actions": ["x", "b*"]}, True),
        ({"agents": ["warehouse_*"]}, True),
        ({"agents": ["inbox_*"]}, False),
        ({"targets": ["transform/*"]}, True),
        ({"targets": ["transform/dev"]}, False),
        ({"targets": ["*/prod"], "actions": ["build"], "agents": ["*"]}, True),
    ],
)
def test_names_are_exact_or_globs(scope: dict[str, Any], matches: bool) -> None:
    rules = policy(OPEN, {"id": "g", "verdict": "deny", **scope})
    assert verdict(rules, request(target="transform/prod")) == ("deny" if matches else "allow")


@pytest.mark.parametrize(
    ("hours", "hour", "matches"),
    [
        ([9, 17], 8, False),
        ([9, 17], 9, True),
        ([9, 17], 16, True),
        ([9, 17], 17, False),
        ([22, 6], 21, False),
        ([22, 6], 22, True),
        ([22, 6], 0, True),
        ([22, 6], 6, False),
        ([0, 24], 23, True),
        ([6, 0], 23, True),
        ([6, 0], 0, False),
        ([9, 9], 9, False),
    ],
)
def test_hours_begin_and_end_in_utc_and_may_go_over_midnight(
    hours: list[int], hour: int, matches: bool
) -> None:
    rules = policy(OPEN, {"id": "g", "verdict": "ask", "hours_utc": hours})
    for minute in (0, 59):
        at = NOON.replace(hour=hour, minute=minute)
        assert verdict(rules, at=at) == ("ask" if matches else "allow")
        elsewhere = at.astimezone(timezone(timedelta(hours=-11)))
        assert verdict(rules, at=elsewhere) == verdict(rules, at=at)


def test_days_are_those_of_the_moment_in_utc() -> None:
    rules = policy(OPEN, {"id": "g", "verdict": "ask", "weekdays": ["tue"]})
    found = [verdict(rules, at=NOON + timedelta(days=day)) for day in range(7)]
    assert found == ["ask", *["allow"] * 6]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(Mistake, match="has no zone"):
        decide(policy(), request(), datetime(2026, 1, 1))


def test_the_decision_names_all_rules_that_said_so_with_value_and_threshold() -> None:
    rules = policy(
        OPEN,
        {"id": "wide", "verdict": "ask", "when": [when("blast_radius", above=20)], "why": "wide"},
        {"id": "day", "verdict": "ask", "hours_utc": [9, 17]},
    )
    told = decide(rules, request(context={"blast_radius": 31}), NOON)
    assert told.rule_id == "day+wide"
    assert [(r.signal, r.value, r.threshold) for r in told.reasons] == [
        ("day", "tue 12:00 UTC", "09-17 UTC"),
        ("wide", 31, 20),
    ]
    assert told.reasons[1].quote == "rule 'wide': blast_radius is 31, above 20 (wide)"


def ask(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "verdict": "ask", **more}


def answers(told: Decision) -> tuple[Any, ...]:
    return told.verdict, told.approvers, told.four_eyes, told.expires_minutes


def test_who_may_answer_satisfies_every_rule_that_asks() -> None:
    defaults = {"approvers": ["boss"], "four_eyes": True, "expires_minutes": 90}
    plain = policy(ask("a"), defaults=defaults)
    assert answers(decide(plain, request(), NOON)) == ("ask", ("boss",), True, 90)
    two = policy(
        ask("a", approvers=["Ada", "bob"], four_eyes=False, expires_minutes=60),
        ask("b", approvers=["ada ", "cy"], expires_minutes=30),
        ask("c"),
        defaults=defaults,
    )
    assert answers(decide(two, request(), NOON)) == ("ask", ("ada",), False, 30)
    unnamed = decide(policy(defaults=defaults), request("delete_mail"), NOON)
    assert answers(unnamed) == ("ask", ("boss",), True, 90)
    assert answers(decide(policy(OPEN, defaults=defaults), request(), NOON))[:3] == (
        ("allow", (), False)
    )


def test_where_nobody_may_answer_for_all_rules_it_is_denied() -> None:
    rules = policy(ask("a", approvers=["ada"]), ask("b", approvers=["bob"]))
    told = decide(rules, request(), NOON)
    assert (told.verdict, told.rule_id) == ("deny", f"{NOBODY}+a+b")
    assert "nobody may answer for all" in told.reasons[0].quote


@pytest.mark.parametrize(
    "rule",
    [
        {"id": "a", "verdict": "maybe"},
        {"id": "A b", "verdict": "ask"},
        {"id": "a", "verdict": "ask", "actions": []},
        {"id": "a", "verdict": "ask", "actions": [""]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x"}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "above": 1, "below": 3}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "above": "1"}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "above": True}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "above": float("nan")}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "above": 10**400}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "is": [1]}]},
        {"id": "a", "verdict": "ask", "when": [{"field": "x", "one_of": []}]},
        {"id": "a", "verdict": "ask", "hours_utc": [9, 25]},
        {"id": "a", "verdict": "ask", "hours_utc": [9]},
        {"id": "a", "verdict": "ask", "weekdays": ["monday"]},
        {"id": "a", "verdict": "ask", "expires_minutes": 0},
        {"id": "a", "verdict": "ask", "colour": "red"},
    ],
)
def test_a_rule_that_says_nothing_sensible_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        policy(rule)
