"""A finding is kept from run to run, told once, and cannot be edited behind the ledger's back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roundsman.errors import Fenced, Mistake
from roundsman.rules.finding import Change, FindingRules, Look, Seen, fingerprint
from roundsman.rules.reasons import Reason
from roundsman.store import Ledger, findings, runs
from roundsman.store.approvals import Review
from roundsman.store.erasure import erase_run
from roundsman.store.events import read_events
from roundsman.store.findings import Told, Wanted, record_look
from roundsman.store.verify import verify
from tests.store.words import ORG, Home, begin, change, child, finish, opening, rows, said

AT = datetime(2026, 11, 21, 6, tzinfo=UTC)
RULES = FindingRules(channel="ops", owner="data team")
ADA, BOB = Review("ada@example.com", "on it"), Review("bob@example.com")
REASON = Reason(signal="side_stale", value=81.5, threshold=30, quote="81.5 minutes old")


def stale(subject: str = "emails", severity: Any = "high", **more: Any) -> Seen:
    """A problem as a look sees it."""
    told = {"said": f"{subject} is stale", "reasons": (REASON,)} | more
    return Seen(kind="freshness", subject=subject, severity=severity, **told)


def look(run: str, *seen: Seen, hours: float = 0, **more: Any) -> Look:
    """What a run saw, so many hours after the first."""
    fields: dict[str, Any] = {
        "agent": "warehouse_health",
        "round": "emails-prod",
        "run_id": run,
        "at": AT + timedelta(hours=hours),
        "seen": seen,
        "looked": frozenset({"freshness"}),
    }
    return Look(**(fields | more))


def see(ledger: Ledger, *seen: Seen, hours: float = 0, **more: Any) -> list[Change]:
    """A whole run that looks."""
    run = begin(ledger)
    changes = record_look(ledger, ORG, 1, look(run, *seen, hours=hours, **more), RULES)
    finish(ledger, run)
    return changes


def kinds(ledger: Ledger, org: str = ORG) -> list[str]:
    told = read_events(ledger, org)
    return [event.kind for event in told if event.kind.startswith("finding_")]


def tell(ledger: Ledger, run: str, changed: Change, at: datetime = AT) -> None:
    assert changed.event is not None
    told = Told(changed.after.fingerprint, changed.event, changed.after.severity, at)
    findings.mark_told(ledger, ORG, run, 1, told)


def test_a_finding_lives_over_runs_and_each_change_is_an_event(ledger: Ledger) -> None:
    first = begin(ledger)
    [opened] = record_look(ledger, ORG, 1, look(first, stale()), RULES)
    assert (opened.change, opened.tell) == ("opened", True)
    kept = findings.get_finding(ledger, ORG, opened.after.fingerprint)
    assert kept == opened.after
    assert (kept.reasons, kept.owner, kept.channel) == ((REASON,), "data team", "ops")
    tell(ledger, first, opened)
    finish(ledger, first)

    assert [c.change for c in see(ledger, stale(severity="medium"), hours=1)] == ["eased"]
    assert [c.change for c in see(ledger, stale(), hours=2)] == ["worsened"]
    assert [c.change for c in see(ledger, looked=frozenset({"parity"}), hours=3)] == ["worsened"]
    [ended] = see(ledger, hours=4)
    assert (ended.change, ended.event, ended.after.times_seen) == ("resolved", "resolved", 3)
    assert [c.change for c in see(ledger, stale(), hours=5)] == ["reopened"]
    assert kinds(ledger) == [
        *("finding_opened", "finding_told", "finding_eased", "finding_worsened"),
        *("finding_resolved", "finding_reopened"),
    ]
    assert verify(ledger, ORG).ok


def test_the_same_look_again_changes_nothing_and_gives_what_was_not_told(ledger: Ledger) -> None:
    run = begin(ledger)
    seen = look(run, stale(), stale("orders"))
    first = record_look(ledger, ORG, 1, seen, RULES)
    kept, told = findings.list_findings(ledger, ORG), read_events(ledger, ORG)
    tell(ledger, run, first[0])
    [again] = record_look(ledger, ORG, 1, seen, RULES)
    assert (again.tell, again.event, again.after) == (True, "opened", first[1].after)
    tell(ledger, run, first[1])
    assert record_look(ledger, ORG, 1, seen, RULES) == []
    assert len(kept) == len(findings.list_findings(ledger, ORG)) == 2
    assert [event.kind for event in read_events(ledger, ORG)[len(told) :]] == ["finding_told"] * 2
    assert verify(ledger, ORG).ok


def test_two_looks_of_one_run_around_a_remediation(ledger: Ledger) -> None:
    run = begin(ledger)
    record_look(ledger, ORG, 1, look(run, stale()), RULES)
    [ended] = record_look(ledger, ORG, 1, look(run, hours=0.1), RULES)
    assert (ended.change, ended.tell) == ("resolved", True)
    tell(ledger, run, ended)
    assert findings.get_finding(ledger, ORG, ended.after.fingerprint).told_event == "resolved"
    assert record_look(ledger, ORG, 1, look(run, hours=0.2), RULES) == []


def test_what_is_marked_as_told_twice_or_late_counts_once(ledger: Ledger) -> None:
    run = begin(ledger)
    [opened] = record_look(ledger, ORG, 1, look(run, stale(severity="low")), RULES)
    key = opened.after.fingerprint
    tell(ledger, run, opened, AT + timedelta(hours=1))
    tell(ledger, run, opened, AT + timedelta(hours=1))
    [worse] = record_look(ledger, ORG, 1, look(run, stale(), hours=2), RULES)
    tell(ledger, run, opened, AT)
    kept = findings.get_finding(ledger, ORG, key)
    assert (kept.untold, kept.told_severity, kept.told_at) == (
        *("worsened", "low", AT + timedelta(hours=1)),
    )
    tell(ledger, run, worse, AT + timedelta(hours=3))
    kept = findings.get_finding(ledger, ORG, key)
    assert (kept.untold, kept.told_event, kept.told_severity, kept.told_run) == (
        *(None, "worsened", "high", run),
    )
    assert kinds(ledger).count("finding_told") == 2


def test_a_run_that_is_over_or_was_taken_over_writes_nothing(ledger: Ledger) -> None:
    run = begin(ledger)
    [opened] = record_look(ledger, ORG, 1, look(run, stale()), RULES)
    assert runs.open_attempt(ledger, ORG, run, opening(), runs.this_holder()) == 2
    with pytest.raises(Fenced):
        record_look(ledger, ORG, 1, look(run, hours=1), RULES)
    with pytest.raises(Fenced):
        tell(ledger, run, opened)
    [again] = record_look(ledger, ORG, 2, look(run, stale(), hours=1), RULES)
    assert (again.event, again.after.times_seen) == ("opened", 1)


def test_rounds_and_orgs_do_not_see_each_others_findings(ledger: Ledger) -> None:
    see(ledger, stale())
    see(ledger, hours=1, round=None)
    see(ledger, hours=1, round="other")
    run = begin(ledger, "other-org")
    record_look(ledger, "other-org", 1, look(run, hours=1), RULES)
    assert [item.state for item in findings.list_findings(ledger, ORG)] == ["open"]
    assert findings.list_findings(ledger, "other-org") == []
    key = findings.list_findings(ledger, ORG)[0].fingerprint
    for ask in (findings.get_finding, lambda *a: findings.acknowledge(*a, ADA)):
        with pytest.raises(Mistake, match="not in the ledger"):
            ask(ledger, "other-org", key)


def test_a_round_without_a_name_has_findings_of_its_own(ledger: Ledger) -> None:
    see(ledger, stale(), round=None)
    [ended] = see(ledger, round=None, hours=1)
    assert (ended.change, ended.after.round) == ("resolved", None)


def test_people_acknowledge_mute_and_unmute_and_it_stays_in_the_ledger(ledger: Ledger) -> None:
    [opened] = see(ledger, stale())
    key = opened.after.fingerprint
    taken = findings.acknowledge(ledger, ORG, key, ADA)
    assert (taken.state, taken.acknowledged_by, taken.note) == ("acknowledged", *ADA)
    with pytest.raises(Mistake, match=r"is acknowledged by ada@example\.com, not open"):
        findings.acknowledge(ledger, ORG, key, BOB)
    until = datetime.now(UTC) + timedelta(hours=4)
    quiet = findings.mute(ledger, ORG, key, until, Review("bob@example.com", "moving"))
    assert (quiet.muted_until, quiet.muted_by, quiet.mute_reason) == (
        *(until, "bob@example.com", "moving"),
    )
    loud = findings.unmute(ledger, ORG, key, BOB)
    assert loud.muted_until is None
    with pytest.raises(Mistake, match="is not muted"):
        findings.unmute(ledger, ORG, key, BOB)
    with pytest.raises(Mistake, match="in the future"):
        findings.mute(ledger, ORG, key, AT - timedelta(days=9999), BOB)
    told = read_events(ledger, ORG)[-3:]
    assert [event.kind for event in told] == [
        *("finding_acknowledged", "finding_muted", "finding_unmuted"),
    ]
    assert (told[2].payload or {})["who"] == "bob@example.com"
    assert verify(ledger, ORG).ok


def test_a_muted_finding_is_recorded_and_not_told(ledger: Ledger) -> None:
    soon = datetime.now(UTC)
    [opened] = see(ledger, stale(severity="low"), at=soon)
    findings.mute(ledger, ORG, opened.after.fingerprint, soon + timedelta(hours=4), BOB)
    [worse] = see(ledger, stale(), at=soon + timedelta(hours=1))
    assert (worse.change, worse.tell) == ("worsened", False)
    assert str(worse.why_silent).startswith("muted until")
    [late] = see(ledger, stale(), at=soon + timedelta(hours=5))
    assert (late.change, late.tell) == ("seen", True)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("severity", "'info'"),
        ("state", "'resolved'"),
        ("reasons", "'[]'"),
        ("muted_until", "'2099-01-01T00:00:00.000000Z'"),
        ("times_seen", "7"),
    ],
)
def test_a_finding_that_was_edited_is_noticed(ledger: Ledger, column: str, value: str) -> None:
    [opened] = see(ledger, stale())
    change(ledger, f"UPDATE findings SET {column} = {value}")
    report = verify(ledger, ORG)
    assert not report.ok
    assert f"findings, '{opened.after.fingerprint}'" in str(report)
    assert column in str(report)


@pytest.mark.parametrize(
    "edit", ["DELETE FROM findings", "UPDATE findings SET fingerprint = 'ffffffffffffffff'"]
)
def test_a_finding_that_was_removed_or_invented_is_noticed(ledger: Ledger, edit: str) -> None:
    see(ledger, stale())
    change(ledger, edit)
    assert not verify(ledger, ORG).ok


def test_erasing_a_run_takes_its_words_out_of_the_findings_that_it_saw(ledger: Ledger) -> None:
    run = begin(ledger)
    [opened] = record_look(ledger, ORG, 1, look(run, stale("ann@example.com")), RULES)
    finish(ledger, run)
    erase_run(ledger, ORG, run, "ada", "she asked")
    kept = findings.get_finding(ledger, ORG, opened.after.fingerprint)
    assert (kept.subject, kept.said, kept.reasons, kept.state) == ("", "", (), "open")
    everything = json.dumps([list(row) for row in rows(ledger, "SELECT payload FROM events")])
    assert "ann@example.com" not in everything
    assert verify(ledger, ORG).ok
    [seen] = see(ledger, stale("ann@example.com"), hours=1)
    assert (seen.change, seen.after.subject) == ("seen", "ann@example.com")
    assert verify(ledger, ORG).ok


def test_a_secret_in_a_finding_is_redacted(ledger: Ledger) -> None:
    see(ledger, stale(said="postgresql://root:hunter2@host/db does not answer"))
    assert "hunter2" not in str(rows(ledger, "SELECT said, reasons FROM findings"))
    assert "hunter2" not in str(rows(ledger, "SELECT payload FROM events"))
    see(ledger, stale(said="postgresql://root:hunter2@host/db does not answer"), hours=1)
    assert verify(ledger, ORG).ok


def test_findings_are_listed_by_state_severity_agent_and_round(ledger: Ledger) -> None:
    see(ledger, stale("a"), stale("b", "low"))
    see(ledger, stale("c", "medium"), round=None, agent="inbox_triage", hours=1)
    [gone] = [c.after for c in see(ledger, stale("b", "low"), hours=2) if c.change == "resolved"]

    def listed(**wanted: Any) -> str:
        found = findings.list_findings(ledger, ORG, Wanted(**wanted))
        return " ".join(item.subject for item in found)

    assert gone.subject == "a"
    assert listed() == "b c a"
    assert listed(states=("open",)) == "b c"
    assert listed(states=("resolved", "acknowledged")) == "a"
    assert listed(severities=("low", "medium")) == "b c"
    assert listed(agent="inbox_triage") == "c"
    assert listed(round="emails-prod") == "b a"
    assert listed(limit=1) == "b"
    found = findings.get_finding(ledger, ORG, gone.fingerprint[:6].upper())
    assert found.fingerprint == gone.fingerprint


@pytest.mark.parametrize("key", ["abc", "%%%%%%%%", "zzzzzzzz"])
def test_a_wrong_name_lists_what_there_is(ledger: Ledger, key: str) -> None:
    with pytest.raises(Mistake, match="there are none yet"):
        findings.get_finding(ledger, ORG, key)
    [opened] = see(ledger, stale())
    with pytest.raises(Mistake, match=rf"{opened.after.fingerprint} \(freshness of emails\)"):
        findings.get_finding(ledger, ORG, key)


def test_a_name_that_could_be_several_names_them(ledger: Ledger) -> None:
    see(ledger, stale("a"), stale("b"))
    keys = [item.fingerprint for item in findings.list_findings(ledger, ORG)]
    for number, key in enumerate(keys):
        change(
            ledger,
            f"UPDATE findings SET fingerprint = 'abcdef{number}' WHERE fingerprint = '{key}'",
        )
    with pytest.raises(Mistake, match="could be any of abcdef0, abcdef1"):
        findings.get_finding(ledger, ORG, "abcdef")


def test_a_look_with_too_many_problems_is_refused_and_leaves_nothing(ledger: Ledger) -> None:
    run = begin(ledger)
    seen = [stale(str(number)) for number in range(findings.SEEN_MAX + 1)]
    with pytest.raises(Mistake, match="saw 1,001 problems"):
        record_look(ledger, ORG, 1, look(run, *seen), RULES)
    record_look(ledger, ORG, 1, look(run, *seen[:450]), RULES)
    assert len(record_look(ledger, ORG, 1, look(run, hours=1), RULES)) == 450
    again = record_look(ledger, ORG, 1, look(run, *seen[:450], hours=2), RULES)
    assert {c.change for c in again} == {"reopened"}


RACE = """
from datetime import timedelta
from roundsman.errors import Mistake
from roundsman.store import findings
from tests.store.test_findings import ADA, ORG, RULES, begin, look, record_look, stale
ledger = open_ledger(url, key, anchors)
run = begin(ledger)
print("ready", flush=True)
sys.stdin.readline()
made = record_look(ledger, ORG, 1, look(run, stale(), hours=float(arguments[0])), RULES)
try:
    findings.acknowledge(ledger, ORG, arguments[1], ADA)
    took = True
except Mistake:
    took = False
print(json.dumps([[change.change for change in made], took]), flush=True)
"""


@pytest.mark.engine
def test_processes_at_once_have_each_effect_once(ledger: Ledger, home: Home) -> None:
    key = fingerprint("warehouse_health", "emails-prod", "freshness", "emails")
    racers = [child(home, RACE, str(number), key) for number in range(6)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ended = [said(racer) for racer in racers]
    changes = [name for names, _ in ended for name in names]
    assert changes.count("opened") == 1
    assert [took for _, took in ended].count(True) == 1
    kept = findings.get_finding(ledger, ORG, key)
    assert kept.state == "acknowledged"
    assert kinds(ledger).count("finding_opened") == 1
    assert kinds(ledger).count("finding_acknowledged") == 1
    assert kinds(ledger).count("finding_seen") == kept.times_seen - 1
    assert verify(ledger, ORG).ok
