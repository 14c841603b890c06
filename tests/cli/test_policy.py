"""`policy explain|lint|simulate|show|init`, through the real command."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from roundsman.policy import DEFAULT, load_policy, policy_hash
from roundsman.rules.approval import Request, decide
from roundsman.settings import get_settings
from roundsman.store import actions

NIGHT = "2026-11-17T03:00:00Z"


@pytest.fixture
def file(tmp_path):
    """Write a policy of some rules and give its path."""

    def write(*rules: dict[str, Any]) -> str:
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "rules": list(rules)}))
        return str(path)

    return write


@pytest.fixture
def considered(past):
    """Two runs that considered a build each, the second a wide one, under the default policy."""
    from datetime import UTC, datetime

    runs = [past.run("running"), past.run("running")]
    for run_id, radius in zip(runs, (3, 30), strict=True):
        asked = Request(
            agent="warehouse_health",
            action="build",
            target="transform/prod",
            context={"blast_radius": radius},
        )
        decision = decide(load_policy(DEFAULT), asked, datetime.now(UTC))
        told = {"request": asked.model_dump(), "decision": decision.model_dump(mode="json")}
        actions.consider(past.ledger, past.org, run_id, 1, told | {"policy_hash": "ab" * 8})
    return runs


def test_explain_says_the_verdict_and_why_each_rule_matched_or_not(roundsman):
    said = roundsman("policy", "explain", "build", "-c", "blast_radius=30", "--at", NIGHT)
    assert said.code == 0
    first, second, *_ = said.out.splitlines()
    assert first == "ask  by build-wide"
    assert second.strip().startswith("rule 'build-wide': blast_radius is 30, above 20")
    assert "approvers  anybody" in said.out
    assert "within     1440 minutes" in said.out
    assert "items is absent" in said.out
    assert "action 'build' is none of send" in said.out


@pytest.mark.parametrize(
    ("words", "verdict", "rule"),
    [
        (["build"], "allow", "build"),
        (["build", "-c", "environment=prod", "--at", NIGHT], "allow", "build"),
        (["build", "-c", "environment=prod", "--at", "2026-11-17T20:00+00:00"], "ask", None),
        (["build", "--context", "over_budget=true"], "ask", "over-budget"),
        (["build", "--context", "over_budget=no"], "ask", "over-budget"),
        (["list_rows", "--read"], "allow", "built-in:reads"),
        (["list_rows"], "ask", "built-in:unnamed"),
        (["purge_rows", "--read"], "ask", "built-in:needs-a-person"),
    ],
)
def test_explain_as_json_has_the_decision_and_all_rules(roundsman, words, verdict, rule):
    document = roundsman("policy", "explain", *words, "--json").document
    assert document["verdict"] == verdict
    assert rule is None or document["rule_id"] == rule
    assert document["policy_hash"] == policy_hash(load_policy(DEFAULT))
    matched = [one["rule_id"] for one in document["rules"] if one["matched"]]
    assert set(document["rule_id"].split("+")) <= set(matched)


def test_explain_names_who_may_answer(roundsman, file):
    path = file(
        {
            "id": "mine",
            "verdict": "ask",
            "agents": ["warehouse_*"],
            "targets": ["transform/*"],
            "approvers": ["ada@example.com"],
            "four_eyes": True,
            "expires_minutes": 60,
        }
    )
    words = ("--agent", "warehouse_health", "--target", "transform/prod", "--file", path)
    said = roundsman("policy", "explain", "build", *words)
    assert said.out.startswith("ask  by mine\n")
    assert "approvers  ada@example.com" in said.out
    assert "four eyes  whoever asked may not approve" in said.out
    assert "within     60 minutes" in said.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--context", "items"], "--context 'items' is not key=value; write --context items=7"),
        (["--context", "=7"], "is not key=value"),
        (["--at", "noon"], "--at 'noon' is no time"),
        (["--file", "/nowhere.yaml"], "policy '/nowhere.yaml' does not exist"),
    ],
)
def test_explain_refuses_what_it_cannot_read(roundsman, words, complaint):
    said = roundsman("policy", "explain", "build", *words)
    assert said.code == 2
    assert complaint in said.err


def test_init_writes_the_commented_default_once_and_never_over_it(roundsman):
    path = get_settings().policy
    assert roundsman("policy", "init").code == 0
    assert path.read_text() == DEFAULT.read_text()
    path.write_text("version: 1\n")
    said = roundsman("policy", "init", "--json")
    assert said.document == {"policy": str(path), "written": False}
    assert path.read_text() == "version: 1\n"


def test_show_says_which_policy_holds_and_where_it_is_from(roundsman):
    document = roundsman("policy", "show", "--json").document
    assert (document["is_default"], document["file"]) == (True, str(DEFAULT))
    assert document["policy"]["rules"][0] == {
        "id": "many-items",
        "verdict": "ask",
        "why": "more than 1000 items at once",
        "when": [{"field": "items", "above": 1000}],
    }
    assert roundsman("policy", "show").out.startswith("the default; a copy of your own:")
    roundsman("policy", "init")
    document = roundsman("policy", "show", "--json").document
    assert (document["is_default"], document["file"]) == (False, str(get_settings().policy))
    assert "build-wide" in roundsman("policy", "show").out


def test_lint_of_the_default_finds_nothing(roundsman):
    said = roundsman("policy", "lint")
    assert (said.code, said.out.endswith(": 16 rules, 0 problems, 0 warnings\n")) == (0, True)


def test_lint_ends_with_2_for_a_problem_and_0_for_a_warning(roundsman, file):
    path = file({"id": "open", "verdict": "allow"})
    said = roundsman("policy", "lint", path)
    assert said.code == 0
    assert "warning  'open' is too open" in said.out
    path = file({"id": "a", "verdict": "ask", "hours_utc": [9, 9]})
    said = roundsman("policy", "lint", path, "--json")
    assert said.code == 2
    assert (said.document["ok"], said.document["complaints"][0]["level"]) == (False, "problem")
    assert "PROBLEM  'a' never matches" in roundsman("policy", "lint", path).out


def test_lint_of_a_file_with_a_typo_names_its_line(roundsman, file):
    path = file({"id": "a", "verdict": "aks"})
    said = roundsman("policy", "lint", path)
    assert said.code == 2
    assert "line 3: 'rules[1].verdict' must be one of" in said.err
    assert "did you mean 'ask'?" in said.err
    document = roundsman("policy", "lint", path, "--json").document
    assert document["type"] == "ValidationError"


@pytest.mark.covers("G-A6")
def test_simulate_shows_which_decisions_flip(roundsman, considered, file):
    path = file({"id": "build", "verdict": "allow", "actions": ["build"]})
    said = roundsman("policy", "simulate", path)
    assert said.code == 0
    assert "2 decisions of the last 30 days: 1 would flip" in said.out
    assert "allow -> allow   1" in said.out
    assert considered[1][:8] in said.out
    document = roundsman("policy", "simulate", path, "--json").document
    assert document["counts"] == {"allow->allow": 1, "ask->allow": 1}
    (flip,) = document["flips"]
    assert (flip["run_id"], flip["old_rule"], flip["new_rule"]) == (
        (considered[1], "build-wide", "build")
    )


def test_simulate_fails_on_flips_where_that_is_asked_for(roundsman, considered, file):
    path = file({"id": "build", "verdict": "deny", "actions": ["build"]})
    said = roundsman("policy", "simulate", path, "--fail-on", "flips", "--limit", "1")
    assert said.code == 3
    assert "1 of 2; more: --limit" in said.out
    assert "2 decisions would flip" in said.err
    said = roundsman("policy", "simulate", str(DEFAULT), "--fail-on", "flips")
    assert said.code == 0
    assert roundsman("policy", "simulate", path, "--fail-on", "flop").code == 2


def test_simulate_counts_what_was_erased(roundsman, considered, past, file):
    from roundsman.store import runs
    from roundsman.store.erasure import erase_run
    from roundsman.store.records import Closing

    for run_id in considered:
        runs.close_run(past.ledger, past.org, run_id, 1, Closing(status="success"))
    erase_run(past.ledger, past.org, considered[0], "ada", "asked for")
    document = roundsman("policy", "simulate", str(DEFAULT), "--json").document
    assert (document["compared"], document["not_comparable"]) == (1, 1)
    assert "not comparable   1" in roundsman("policy", "simulate", str(DEFAULT)).out


def test_simulate_over_an_empty_ledger_says_so(roundsman):
    said = roundsman("policy", "simulate", str(DEFAULT), "--days", "1")
    assert (said.code, said.out) == (0, "No action was considered in the last 1 day.\n")
