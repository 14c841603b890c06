"""An effect happens by a permit or not at all, and the ledger says what became of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roundsman.approvals import Approvals
from roundsman.envelope import ledger_of
from roundsman.errors import Denied, Mistake, Unready
from roundsman.permits import ask_for, declared_effects
from roundsman.settings import get_settings
from roundsman.store import approvals, runs
from roundsman.store.approvals import Review, Wanted
from roundsman.store.events import read_events
from roundsman.store.records import ActionRow, AuditRow, HistoryFilter
from roundsman.store.verify import verify
from tests.agents import acting
from tests.agents.acting import Lines

pytestmark = pytest.mark.usefixtures("run_home", "policy")
ORG = "default"
LIVE = {"dry_run": False, "allow_actions": True}
POLICY = """
version: 1
rules:
  - id: lines
    verdict: allow
    actions: [shout, set_line, note, undo_note]
  - id: many
    verdict: ask
    when: [{field: items, above: 1000}]
"""


@pytest.fixture
def policy(run_home: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    monkeypatch.setenv("ROUNDSMAN_POLICY", str(file))
    get_settings.cache_clear()
    return file


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(path=tmp_path / "lines")


def ledger() -> Any:
    return ledger_of(get_settings())


def last() -> AuditRow:
    return runs.history(ledger(), ORG, HistoryFilter())[0][0]


def live(lines: Lines, **changed: Any) -> dict[str, Any]:
    """Run the agent that leaves a line; what its step told."""
    outcome = asyncio.run(acting.lining.fn({"path": str(lines.path), **LIVE, **changed}))
    return outcome.artifacts


def permits() -> list[ActionRow]:
    return approvals.list_actions(ledger(), ORG, Wanted())


def test_a_live_effect_happens_once_however_often_it_is_wanted(lines: Lines) -> None:
    assert live(lines)["state"] == "done"
    again = live(lines)
    assert (again["state"], again["said"]) == ("done", "it was done already")
    assert len(lines.lines()) == 1
    assert live(lines, occasion=2)["state"] == "done"
    assert len(lines.lines()) == 2
    assert [row.result for row in permits()] == [{"line": "hello"}] * 2
    assert verify(ledger(), ORG).ok


@pytest.mark.covers("A-016", "A-017", "A-027")
@pytest.mark.parametrize(
    "manner", [{"dry_run": True, "allow_actions": True}, {"dry_run": False, "allow_actions": False}]
)
def test_a_run_that_may_not_act_only_notes_what_policy_would_say(
    lines: Lines, manner: dict[str, bool]
) -> None:
    told = live(lines, **manner)
    assert told["state"] == "considered"
    assert "policy (lines) says allow" in told["said"]
    assert (lines.lines(), permits()) == ([], [])
    kinds = [event.kind for event in read_events(ledger(), ORG, run_id=last().run_id)]
    assert "action_considered" in kinds
    assert verify(ledger(), ORG).ok


def test_a_mutating_method_without_a_permit_is_denied(lines: Lines) -> None:
    with pytest.raises(Denied, match="was given no permit"):
        lines.shout("hello")  # type: ignore[call-arg]
    with pytest.raises(Mistake, match="no run is open here"):
        ask_for(lines.shout, None, "hello")  # type: ignore[arg-type]
    assert lines.lines() == []


def test_a_permit_is_good_for_its_own_payload_only(lines: Lines) -> None:
    told = live(lines, other_line="another")
    assert "was allowed with another payload" in told["error"]
    # Policy's word alone lasts as long as the run that it was given to.
    assert (lines.lines(), permits()[0].state) == ([], "expired")
    assert live(lines)["state"] == "done"


@pytest.mark.covers("F13", "A-078")
def test_what_asks_waits_and_the_run_that_was_approved_does_it(lines: Lines) -> None:
    told = live(lines, context={"items": 5000})
    assert told["state"] == "waiting"
    assert "5000" in told["said"]
    assert lines.lines() == []
    approvals.approve(ledger(), ORG, told["key"], Review("bob@example.com", "fine"))
    told = live(lines, context={"items": 5000})
    assert (told["state"], told["said"]) == ("done", "approved by bob@example.com: fine")
    assert len(lines.lines()) == 1
    assert live(lines, context={"items": 5000})["said"] == "it was done already"


def test_a_precondition_that_no_longer_holds_lets_the_permit_go(lines: Lines) -> None:
    told = live(lines, expected_lines=3)
    assert "'lines' was 3 when it was proposed and is 0 now" in told["error"]
    assert (lines.lines(), told["state"]) == ([], "expired")


@pytest.mark.parametrize("verb", ["shout", "set_line", "note"])
@pytest.mark.parametrize("trouble", ["refused", "not_sent", "unready", "misread"])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_the_outside_answers_decides_what_is_written(
    lines: Lines, verb: str, trouble: str, is_late: bool
) -> None:
    fatal = trouble in ("not_sent", "unready")
    wanted = {"verb": verb, "trouble": trouble, "is_late": is_late}
    # An enforced second: the step's own retries would hide what one answer does.
    if fatal:
        with pytest.raises((Unready, Denied)):
            live(lines, **wanted, budget_ms=900, budget_mode="enforce")
    else:
        live(lines, **wanted)
    state = permits()[0].state
    expected = {"refused": "failed", "not_sent": "expired"}.get(trouble, "unknown")
    assert state == expected
    assert verify(ledger(), ORG).ok


@pytest.mark.parametrize(
    ("verb", "state", "count"),
    [("shout", "unknown", 1), ("set_line", "done", 1), ("note", "done", 1)],
)
def test_after_a_lost_answer_only_what_does_no_harm_is_done_again(
    lines: Lines, verb: str, state: str, count: int
) -> None:
    live(lines, verb=verb, trouble="misread", is_late=True)
    assert permits()[0].state == "unknown"
    told = live(lines, verb=verb)
    assert (told["state"], len(lines.lines())) == (state, 1)
    if verb == "note":
        assert permits()[0].said == "found outside after its answer was lost"
    if verb == "shout":
        assert "a person must say what became of it" in told["said"]
    assert verify(ledger(), ORG).ok


def test_a_note_that_was_never_left_is_left_after_the_question(lines: Lines) -> None:
    live(lines, verb="note", trouble="misread", is_late=False)
    assert (permits()[0].state, lines.lines()) == ("unknown", [])
    assert live(lines, verb="note")["state"] == "done"
    assert len(lines.lines()) == 1


def test_an_effect_that_is_found_to_have_failed_is_not_tried_again(lines: Lines) -> None:
    live(lines, verb="note", line="bad", trouble="misread", is_late=True)
    assert "holds a bad line" in live(lines, verb="note", line="bad")["error"]
    assert (permits()[0].state, len(lines.lines())) == ("failed", 1)
    assert live(lines, verb="note", line="bad")["said"] == "it was tried and failed"


def test_what_would_undo_an_effect_is_stored_with_it(lines: Lines) -> None:
    live(lines, verb="note", line="first")
    live(lines, verb="note", line="second", occasion=2)
    newest = permits()[0]
    assert newest.undo is not None
    assert newest.undo["text"].startswith("first ")
    live(lines, verb="shout", occasion=3)
    assert permits()[0].undo is None


def test_the_mutating_methods_of_a_block_are_known_by_name() -> None:
    told = {name: declared.lost_answer for name, declared in declared_effects(Lines).items()}
    assert told == {
        "shout": "once",
        "set_line": "repeatable",
        "note": "askable",
        "undo_note": "once",
    }


@pytest.mark.covers("A-077", "A-074", "A-075", "A-116")
def test_approvals_allow_answers_as_the_contract_has_it() -> None:
    allow = Approvals.allow
    assert allow(agent_name="any", action="query", context={})
    assert allow(agent_name="any", action="shout", context={"items": 3, "anything": "free"})
    assert not allow(agent_name="any", action="shout", context={"items": 1001})
    assert not allow(agent_name="any", action="quarantine")
    assert not allow(agent_name="any", action="unheard_of", context={"risk_score": 10})
