"""Actions over HTTP: read, settled, halted, let wait again, and what of a run can be taken back."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.store import actions, approvals
from roundsman.store.records import Kept
from roundsman.store.undone import foresee
from tests.api.served import Api
from tests.api.test_reading import ask
from tests.store.permits import claim, live, propose, settle
from tests.store.words import ORG, finish


def lost(api: Api) -> str:
    """An action whose run died in the midst of it; gives its id."""
    run_id = live(api.ledger)
    row = claim(api.ledger, run_id, propose(api.ledger, run_id))
    finish(api.ledger, run_id, "crashed", verdict=None, artifacts={})
    return row.action_id


def done(api: Api, undo: dict[str, Any] | None) -> tuple[str, str]:
    """A run that did something outside, and its action."""
    run_id = live(api.ledger)
    row = claim(api.ledger, run_id, propose(api.ledger, run_id, occasion={"watermark": "later"}))
    if undo is not None:
        kept = Kept(action_id=row.action_id, undo=undo)
        actions.keep_undo(api.ledger, ORG, run_id, 1, kept)
    settle(api.ledger, run_id, row)
    finish(api.ledger, run_id)
    return run_id, row.action_id


def test_actions_are_listed_by_state_and_run_and_shown_without_their_seal(api: Api) -> None:
    reading, waiting, (run_id, key) = api.key("read"), ask(api), done(api, None)

    def found(query: str) -> list[str]:
        told = api.get(f"/actions?{query}", reading).json()["actions"]
        return [one["action_id"] for one in told]

    assert found("") == [key, waiting]
    assert found("state=waiting") == [waiting]
    assert found(f"run_id={run_id[:8]}") == [key]
    assert found("agent=nobody") == []
    assert found("limit=1") == [key]
    shown = api.get(f"/actions/{key[:8]}", reading).json()
    assert (shown["state"], shown["undone"], shown["wanted_as"]) == ("done", None, [])
    assert not {"nonce", "signature"} & shown.keys()
    assert api.get("/actions?run_id=00000000", reading).status_code == 404
    assert api.get("/actions/abcdef99", reading).status_code == 404


def test_a_lost_answer_is_settled_once_by_who_may_approve(api: Api) -> None:
    key, body = lost(api), {"outcome": "done", "reason": "the table is there"}
    assert api.post(f"/actions/{key}/settle", api.key("write"), json=body).status_code == 403
    approver = api.key("approve")
    assert api.post(f"/actions/{key}/settle", approver, json={"outcome": "x"}).status_code == 422
    told = api.post(f"/actions/{key[:10]}/settle", approver, json=body).json()
    assert (told["state"], told["settled_by"]) == ("done", "ann@example.org")
    assert told["said"] == "the table is there"
    again = api.post(f"/actions/{key}/settle", approver, json={"outcome": "not-done"})
    assert (again.status_code, "its fate is known" in again.json()["error"]) == (409, True)


def test_all_effects_are_halted_and_let_begin_again(api: Api) -> None:
    reading, approver = api.key("read"), api.key("approve")
    nobody = {"stopped": False, "who": None, "reason": None, "since": None}
    assert api.get("/actions/stop", reading).json() == nobody
    assert api.post("/actions/stop", api.key("write")).status_code == 403
    told = api.post("/actions/stop", approver, json={"reason": "a move"}).json()
    assert told == api.get("/actions/stop", reading).json()
    assert (told["stopped"], told["who"], told["reason"]) == (True, "ann@example.org", "a move")
    assert told["since"].endswith("Z")
    refused = api.post(f"/approvals/{ask(api)}/approve", approver)
    assert (refused.status_code, "a move" in refused.json()["error"]) == (403, True)
    told = api.post("/actions/resume", approver).json()
    assert (told["stopped"], told["was_stopped"], told["started"]) == (False, True, {})
    assert api.post("/actions/resume", approver).json()["was_stopped"] is False


def test_a_switch_is_one_org_s_and_needs_a_key_on_this_machine_too(api: Api) -> None:
    assert api.post("/actions/stop").status_code == 401
    api.post("/actions/stop", api.key("approve", org="other"))
    switch = approvals.switch_of(api.ledger, ORG)
    assert switch is None


def test_a_no_is_taken_back(api: Api) -> None:
    key, approver = ask(api), api.key("approve", name="bob@example.org")
    early = api.post(f"/approvals/{key}/reopen", approver)
    assert (early.status_code, "was not turned down" in early.json()["error"]) == (409, True)
    api.post(f"/approvals/{key}/deny", approver)
    assert api.post(f"/approvals/{key}/reopen", api.key("read")).status_code == 403
    told = api.post(f"/approvals/{key}/reopen", approver, json={"reason": "needed"}).json()
    assert (told["state"], told["said"]) == ("waiting", "reopened by bob@example.org: needed")
    api.post(f"/approvals/{key}/deny", approver)
    told = api.post(f"/approvals/{key}/reopen", approver).json()
    assert told["said"] == "reopened by bob@example.org: no reason given"


@pytest.mark.parametrize(
    ("undo", "state"), [({"file": "x.duckdb"}, "undoable"), (None, "not_kept")]
)
def test_what_of_a_run_can_be_taken_back_is_said_before(
    api: Api, undo: dict[str, Any] | None, state: str
) -> None:
    run_id, key = done(api, undo)
    (told,) = api.get(f"/agents/runs/{run_id}/undo", api.key("read")).json()["actions"]
    assert (told["action_id"], told["state"]) == (key, state)
    assert (told["action"], told["target"]) == ("build", "transform/local")


def test_what_was_taken_back_or_is_unknown_is_not_to_be_tried(api: Api) -> None:
    run_id, key = done(api, {"file": "x.duckdb"})
    second = live(api.ledger)
    wish = {"action": "undo_build", "undoes": key, "occasion": {"undo_of": key}}
    row = claim(api.ledger, second, propose(api.ledger, second, **wish))
    settle(api.ledger, second, row)
    (told,) = foresee(api.ledger, ORG, run_id)
    assert (told.state, "already" in told.said) == ("undone", True)


def test_a_run_that_did_nothing_is_not_undone_and_nothing_is_started(api: Api) -> None:
    run_id, keys = live(api.ledger), {name: api.key(name) for name in ("read", "write", "approve")}
    path, before = f"/agents/runs/{run_id}/undo", api.events()
    assert api.get(path, keys["write"]).status_code == 403
    assert api.get(path, keys["read"]).json() == {"run_id": run_id, "actions": []}
    refused = api.post(path, keys["write"])
    assert (refused.status_code, "did nothing outside" in refused.json()["error"]) == (409, True)
    assert api.post(path, keys["approve"]).status_code == 403
    assert api.post("/agents/runs/00000000/undo", keys["write"]).status_code == 404
    assert api.events() == before
