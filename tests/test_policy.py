"""The policy's file: the default that is shipped, one's own, and what is said of a wrong one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks.systems import KINDS, block_class
from roundsman import policy as module
from roundsman.errors import Mistake
from roundsman.permits import declared_effects
from roundsman.policy import DEFAULT, load_policy, origin, policy_hash
from roundsman.rules.approval import Request, decide
from roundsman.rules.policy_lint import KNOWN_ACTIONS, lint
from roundsman.settings import get_settings

# A Tuesday, at night.
NIGHT = datetime(2026, 11, 17, 3, tzinfo=UTC)
DAY = NIGHT.replace(hour=12)
EVENING = NIGHT.replace(hour=20)
ONE = "version: 1\nrules:\n  - id: a\n    verdict: allow\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


@pytest.fixture
def written(tmp_path):
    """Write a policy and give its path: `written("version: 1")`."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def by_default(action: str, at: datetime = NIGHT, **context: Any) -> tuple[str, str]:
    asked = Request(agent="warehouse_health", action=action, context=context)
    told = decide(load_policy(DEFAULT), asked, at)
    return told.verdict, told.rule_id


@pytest.mark.covers("A-074", "A-075", "A-076", "G-A4", "F10", "F14")
@pytest.mark.parametrize(
    ("action", "context", "at", "expected"),
    [
        ("build", {}, DAY, ("allow", "build")),
        ("build", {"blast_radius": 20}, DAY, ("allow", "build")),
        ("build", {"blast_radius": 21}, DAY, ("ask", "build-wide")),
        ("build", {"blast_radius": "many"}, DAY, ("ask", "build-wide")),
        ("build", {"environment": "production"}, NIGHT, ("allow", "build")),
        ("build", {"environment": "production"}, EVENING, ("ask", "build-outside-window")),
        ("build", {"environment": "prod"}, DAY, ("ask", "build-outside-window+production-by-day")),
        ("build", {"environment": "dev"}, DAY, ("allow", "build")),
        ("build", {"items": 1001}, NIGHT, ("ask", "many-items")),
        ("build", {"over_budget": True}, NIGHT, ("ask", "over-budget")),
        ("build", {"risk_score": 96}, NIGHT, ("ask", "high-risk")),
        ("send", {"items": 1, "over_budget": False}, DAY, ("allow", "messages")),
        ("replace", {"sandbox": True}, DAY, ("allow", "sandbox-rows")),
        ("append", {"sandbox": True}, DAY, ("allow", "sandbox-rows")),
        ("remove", {"sandbox": True}, DAY, ("allow", "sandbox-rows")),
        ("remove", {"sandbox": False}, DAY, ("ask", "built-in:unnamed")),
        ("remove", {"sandbox": "yes"}, DAY, ("ask", "built-in:unnamed")),
        ("remove", {}, DAY, ("ask", "built-in:unnamed")),
        ("apply_synonyms", {"changes": 199}, DAY, ("allow", "synonyms")),
        ("apply_synonyms", {"changes": 200}, DAY, ("ask", "synonyms-many")),
        ("apply_synonyms", {}, DAY, ("ask", "built-in:unnamed")),
        ("apply_routing_rules", {"regex": True}, DAY, ("ask", "routing-rules-regex")),
        ("apply_routing_rules", {"regex": False}, DAY, ("allow", "routing-rules")),
        ("publish_insights", {"volume_per_week": 9}, DAY, ("ask", "insights-few")),
        ("publish_insights", {"volume_per_week": 10}, DAY, ("allow", "insights")),
        (
            "quarantine_mail",
            {"risk_score": 90, "sender_known": False},
            DAY,
            ("ask", "built-in:needs-a-person"),
        ),
        ("undo_build", {"person": True}, DAY, ("allow", "undo-by-a-person")),
        ("undo_build", {"person": False}, DAY, ("ask", "built-in:unnamed")),
        ("undo_quarantine_mail", {"person": True}, DAY, ("ask", "built-in:needs-a-person")),
        ("label_mail", {}, DAY, ("ask", "built-in:unnamed")),
        ("update_index", {"environment": "prod"}, DAY, ("ask", "production-by-day")),
    ],
)
def test_the_default_decides_as_the_features_say(
    action: str, context: dict[str, Any], at: datetime, expected: tuple[str, str]
) -> None:
    assert by_default(action, at, **context) == expected


def test_a_build_of_production_is_allowed_in_its_window_alone() -> None:
    start = NIGHT.replace(hour=0)
    allowed = [
        hour
        for hour in range(24)
        if by_default("build", start + timedelta(hours=hour), environment="prod")[0] == "allow"
    ]
    assert allowed == [2, 3, 4, 5]


def test_the_default_has_nothing_that_a_linter_complains_of() -> None:
    assert lint(load_policy(DEFAULT)) == []


def test_the_default_explains_every_key_that_there_is() -> None:
    comments = "".join(line for line in DEFAULT.read_text().splitlines() if line.startswith("#"))
    keys = [key for path in ((), ("rules",), ("rules", "when")) for key in module._known(path)]
    text = comments + DEFAULT.read_text()
    assert [key for key in keys if key not in text] == []


def test_without_a_file_of_ones_own_the_default_holds(home: Path) -> None:
    assert origin() == (DEFAULT, True)
    assert load_policy() == load_policy(DEFAULT)
    home.mkdir()
    (home / "policy.yaml").write_text(ONE)
    assert origin() == (home / "policy.yaml", False)
    assert [rule.id for rule in load_policy().rules] == ["a"]


def test_another_place_may_be_set(monkeypatch: pytest.MonkeyPatch, written: Any) -> None:
    monkeypatch.setenv("ROUNDSMAN_POLICY", str(written(ONE)))
    get_settings.cache_clear()
    assert [rule.id for rule in load_policy().rules] == ["a"]


def test_a_changed_file_is_seen_at_once(written: Any) -> None:
    path = written(ONE)
    before = path.stat()
    assert load_policy(path).rules[0].verdict == "allow"
    written(ONE.replace("allow", "deny "))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_policy(path).rules[0].verdict == "deny"


def test_the_hash_is_of_what_is_said_and_not_of_how_it_is_written(written: Any) -> None:
    two = [{"id": "a", "verdict": "allow"}, {"id": "b", "verdict": "ask", "actions": ["x"]}]
    first = policy_hash(load_policy(written(yaml.safe_dump({"version": 1, "rules": two}))))
    turned = policy_hash(load_policy(written(yaml.safe_dump({"rules": two[::-1], "version": 1}))))
    assert first == turned
    assert len(first) == 16
    assert first != policy_hash(load_policy(written(ONE)))
    flag, number = (
        policy_hash(load_policy(written(f"{ONE}    when: [{{field: x, is: {value}}}]\n")))
        for value in ("true", "1")
    )
    assert flag != number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no mapping"),
        ("- a", "is no mapping"),
        ("a: [", "line 1: expected the node content"),
        ("rules: []", "line 1: 'version' is missing; write 'version: 1'"),
        ("version: 2", "line 1: 'version' must be one of 1"),
        ("version: true", "line 1: 'version' must be the number 1"),
        ('version: 1\ndefaults: {approvers: ["  "]}', "holds nothing that can be read"),
        ("version: 1\nversion: 1", "line 2: the key 'version' is written twice"),
        ("version: 1\nrulez: []", "line 2: unknown key 'rulez'; did you mean 'rules'?"),
        ("version: 1\nrules:", "line 2: 'rules' must be a list"),
        ("version: 1\nrules: [x]", "'rules[1]' must be a mapping"),
        (f"{ONE}    verdict: ask", "line 5: the key 'verdict' is written twice"),
        (f"{ONE}  - id: a\n    verdict: ask", "line 5: the rule id 'a' is used twice"),
        (
            "version: 1\nrules:\n  - id: a\n    verdct: ask\n",
            "line 4: unknown key 'rules[1].verdct' (and 1 more); did you mean 'verdict'?",
        ),
        (
            ONE.replace("allow", "alow"),
            "line 4: 'rules[1].verdict' must be one of 'allow', 'ask' or 'deny';"
            " did you mean 'allow'?",
        ),
        (f"{ONE}    actions: build", "line 5: 'rules[1].actions' must be a list, as in [a, b]"),
        (f"{ONE}    why: 3", "line 5: 'rules[1].why' must be text"),
        (f"{ONE}    hours_utc: [9]", "'rules[1].hours_utc[2]' is missing; write two hours"),
        (f"{ONE}    hours_utc: [09, 17]", "'rules[1].hours_utc[1]' must be a whole number"),
        (f"{ONE}    hours_utc: [9:00, 17:00]", "'rules[1].hours_utc[1]' must be at most 24"),
        (f"{ONE}    weekdays: [thursday]", "did you mean 'thu'? known are mon, tue"),
        (
            f"{ONE}    when:\n      - field: x\n        abov: 3",
            "line 7: unknown key 'rules[1].when[1].abov'; did you mean 'above'?"
            " known are field, above, at_least, below, at_most, is, is_not, one_of",
        ),
        (f"{ONE}    when: [{{field: x}}]", "has no comparison, give exactly one of above"),
        (f"{ONE}    when: [{{field: x, above: '3'}}]", "'rules[1].when[1].above' must be a number"),
        (f"{ONE}    when: [{{field: x, is: }}]", "must be text, a number, true or false"),
        ("version: 1\ndefaults: {four_eyes: perhaps}", "'defaults.four_eyes' must be true or"),
        ("version: 1\n1: 2", "the key '1' is no text; known are version, defaults, rules"),
        ("version: 1\n---\nversion: 1", "but found another document"),
        ("version: 1\n? [a]\n: 2", "line 2: found unhashable key"),
        ("version: !!python/name:os.system", "line 1: could not determine a constructor"),
        (f"{ONE}    why: 2026-13-45", "holds a value that cannot be read: month must be in 1..12"),
        ("version: !!timestamp soon", "holds a value that cannot be read"),
        (f"version: {'9' * 6000}", "holds a value that cannot be read"),
        ("[" * 5000, "is nested too deep"),
        ("\0", "special characters are not allowed"),
        (b"version: \xff", "cannot be read"),
        (b"#" * 1_000_001, "is larger than 1000000 bytes"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_a_remedy(
    written: Any, text: str | bytes, words: str
) -> None:
    path = written(text)
    with pytest.raises(Mistake) as refused:
        load_policy(path)
    said = str(refused.value)
    assert said.startswith(f"policy '{path}'")
    assert words in said
    assert refused.value.remedy
    assert "\n" not in said


def test_a_missing_or_unreadable_file_that_was_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="does not exist; write it: roundsman policy init"):
        load_policy(tmp_path / "none.yaml")
    with pytest.raises(Mistake, match="cannot be read"):
        load_policy(tmp_path)


def test_a_broken_file_of_ones_own_is_not_replaced_by_the_default(home: Path) -> None:
    home.mkdir()
    (home / "policy.yaml").write_text("version: 1\nrules: [")
    with pytest.raises(Mistake, match=r"policy\.yaml' line 2"):
        load_policy()


def test_every_action_that_blocks_declare_is_known() -> None:
    classes = [block_class(role, kind) for role, kinds in KINDS.items() for kind in kinds]
    declared = {effect.action for kind in classes for effect in declared_effects(kind).values()}
    named = {name for rule in load_policy(DEFAULT).rules for name in rule.actions}
    assert declared <= set(KNOWN_ACTIONS) <= declared | named
