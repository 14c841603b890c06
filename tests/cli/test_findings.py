"""`findings`: what is wrong, since when, and what people say about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.rules.finding import FindingRules, Look, Seen
from roundsman.rules.reasons import Reason
from roundsman.store.findings import Told, mark_told, record_look

NOW = datetime.now(UTC)
REASON = Reason(signal="side_stale", value=81.5, threshold=30, quote="81.5 minutes old")
STALE = Seen(
    kind="freshness",
    subject="emails-* vs analytics.emails",
    severity="high",
    said="freshness stale: 81.5 minutes old",
    reasons=(REASON,),
)
FAILED = Seen(kind="dbt_node", subject="orders", severity="medium", said="orders ended as error")


def saw(past: Any, *seen: Seen, **more: Any) -> tuple[str, list[Any]]:
    """A run, still open, that saw this; its id, and what became of the findings."""
    run = past.run("running")
    fields: dict[str, Any] = {"agent": "warehouse_health", "round": "emails", "run_id": run}
    looked = frozenset({"freshness", "dbt_node"})
    look = Look(**({"at": NOW, "seen": seen, "looked": looked} | fields | more))
    rules = FindingRules(channel="ops", owner="data team")
    return run, record_look(past.ledger, past.org, 1, look, rules)


def test_an_empty_list_says_so(roundsman):
    said = roundsman("findings", "list")
    assert (said.code, said.out) == (0, "No findings.\n")
    assert roundsman("findings", "list", "--json").document == {"findings": []}


def test_findings_are_listed_with_severity_and_state(roundsman, past):
    saw(past, STALE, FAILED)
    out = roundsman("findings", "list").out
    for words in ("high", "open", "freshness", "dbt_node", "orders", "warehouse_health/emails"):
        assert words in out


def test_what_is_resolved_is_listed_on_demand(roundsman, past):
    saw(past, STALE)
    saw(past, FAILED, at=NOW + timedelta(hours=1))

    def listed(*words: str) -> list[str]:
        found = roundsman("findings", "list", "--json", *words).document["findings"]
        return sorted(item["kind"] for item in found)

    assert listed() == ["dbt_node"]
    assert listed("--all") == ["dbt_node", "freshness"]
    assert listed("--state", "resolved") == ["freshness"]
    assert listed("--severity", "high,low", "--all") == ["freshness"]
    assert listed("--agent", "inbox_triage", "--all") == []
    assert listed("--round", "emails") == ["dbt_node"]
    assert listed("--all", "--limit", "1") == ["dbt_node"]


@pytest.mark.parametrize("option", ["state", "severity"])
def test_a_wrong_word_lists_the_known_ones(roundsman, option):
    said = roundsman("findings", "list", f"--{option}", "awful")
    assert said.code == 2
    assert f"unknown {option} 'awful'; known are " in said.err


def test_a_finding_is_shown_with_its_reasons_and_its_life(roundsman, past):
    run, [opened] = saw(past, STALE)
    key = opened.after.fingerprint
    said = roundsman("findings", "show", key[:6])
    assert said.code == 0
    for words in (
        "freshness of emails-* vs analytics.emails: open",
        "freshness stale: 81.5 minutes old",
        "side_stale 81.5 (threshold 30)",
        f"run {run[:8]}",
        "owner      data team",
        "untold     opened: at the next look",
        f"roundsman findings ack {key}",
    ):
        assert words in said.out
    mark_told(past.ledger, past.org, run, 1, Told(key, "opened", "high", NOW))
    said = roundsman("findings", "show", key)
    assert "opened  ops" in said.out
    assert "untold" not in said.out
    assert roundsman("findings", "show", key, "--json").document["told_event"] == "opened"


def test_a_wrong_id_lists_what_there_is(roundsman, past):
    _, [opened] = saw(past, STALE)
    said = roundsman("findings", "show", "ffffff", "--json")
    assert said.code == 2
    assert opened.after.fingerprint in said.err
    assert said.document["type"] == "ValidationError"


def test_a_finding_is_acknowledged_once(roundsman, past):
    _, [opened] = saw(past, STALE)
    key = opened.after.fingerprint
    said = roundsman("findings", "ack", key, "--note", "on it")
    assert said.code == 0
    assert f"{key} (freshness of emails-* vs analytics.emails): acknowledged by " in said.out
    assert "on it" in roundsman("findings", "show", key).out
    assert roundsman("findings", "list", "--json").document["findings"][0]["note"] == "on it"
    again = roundsman("findings", "ack", key)
    assert again.code == 2
    assert "is acknowledged by" in again.err


@pytest.mark.parametrize(
    ("typed", "hours"), [("30m", 0.5), ("4h", 4), ("2d", 48), ("1w", 168), (" 4h ", 4)]
)
def test_a_finding_is_muted_for_so_long(roundsman, past, typed, hours):
    _, [opened] = saw(past, STALE)
    key = opened.after.fingerprint
    before = datetime.now(UTC)
    document = roundsman("findings", "mute", key, "--for", typed, "--json").document
    until = datetime.fromisoformat(document["muted_until"])
    assert before <= until - timedelta(hours=hours) <= datetime.now(UTC)


def test_a_finding_is_muted_until_a_time_and_unmuted(roundsman, past):
    _, [opened] = saw(past, STALE)
    key = opened.after.fingerprint
    until = NOW.replace(microsecond=0) + timedelta(days=2)
    words = ("--until", until.strftime("%Y-%m-%dT%H:%M:%S"), "--reason", "moving house")
    said = roundsman("findings", "mute", key, *words)
    assert f"muted until {until:%Y-%m-%d %H:%M} UTC" in said.out
    assert "open, muted" in roundsman("findings", "list").out
    shown = roundsman("findings", "show", key).out
    assert f"{until:%Y-%m-%d %H:%M:%S}Z" in shown
    assert "moving house" in shown
    assert roundsman("findings", "unmute", key).code == 0
    assert "muted" not in roundsman("findings", "list").out
    again = roundsman("findings", "unmute", key)
    assert (again.code, "is not muted" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ((), "give either --for 4h or --until TIME"),
        (("--for", "4h", "--until", "2099-01-01"), "give either --for 4h or --until TIME"),
        (("--for", "soon"), "--for 'soon' is no length of time"),
        (("--for", "4 h"), "--for '4 h' is no length of time"),
        (("--for", "99999w"), "--for '99999w' is no length of time"),
        (("--for", "0h"), "name a time in the future"),
        (("--for", "9999w"), "at most 366 days away"),
        (("--until", "tomorrow"), "--until 'tomorrow' is no time"),
        (("--until", "2020-01-01"), "name a time in the future"),
        (("--until", "9999-12-31T23:59:59-10:00"), "is no time"),
    ],
)
def test_a_mute_that_makes_no_sense_is_refused(roundsman, past, words, wrong):
    _, [opened] = saw(past, STALE)
    said = roundsman("findings", "mute", opened.after.fingerprint, *words)
    assert said.code == 2
    assert wrong in said.err


def test_a_run_tells_what_it_made_of_findings(roundsman, past):
    run, [opened] = saw(past, STALE)
    key = opened.after.fingerprint
    mark_told(past.ledger, past.org, run, 1, Told(key, "opened", "high", NOW))
    roundsman("findings", "ack", key, "--note", "on it")
    roundsman("findings", "mute", key, "--for", "4h", "--reason", "moving")
    roundsman("findings", "unmute", key)
    out = roundsman("show", run).out
    about = "freshness of emails-* vs analytics.emails"
    for kind, words in (
        ("finding_opened", "high  freshness stale: 81.5 minutes old"),
        ("finding_told", "opened"),
        ("finding_acknowledged", "by "),
        ("finding_muted", "until "),
        ("finding_unmuted", "by "),
    ):
        line = next(line for line in out.splitlines() if f" {kind} " in line)
        assert f"{about}  {words}" in line
    assert "on it" in out
    later, _ = saw(past, at=NOW + timedelta(hours=1))
    line = next(x for x in roundsman("show", later).out.splitlines() if "finding_resolved" in x)
    assert about in line


def test_a_silent_finding_says_why_in_its_run(roundsman, past):
    _, [opened] = saw(past, FAILED)
    roundsman("findings", "mute", opened.after.fingerprint, "--for", "4h")
    worse = FAILED.model_copy(update={"severity": "high"})
    run, _ = saw(past, worse, at=NOW + timedelta(hours=1))
    out = roundsman("show", run).out
    assert "finding_worsened" in out
    assert "not told: muted until" in out


def test_an_edited_finding_does_not_verify(roundsman, past):
    from tests.store.words import change

    saw(past, STALE)
    assert roundsman("verify-audit").code == 0
    change(past.ledger, "UPDATE findings SET severity = 'low'")
    said = roundsman("verify-audit")
    assert said.code == 1
    assert "findings" in said.out
