"""Taking back what a round did: what is put back, what is refused, and what is said of it."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from roundsman.cli.app import app
from roundsman.store import approvals
from roundsman.store.approvals import Review
from roundsman.store.verify import verify
from tests.flows.marts import Mart, actions, ledger, take_back, write_policy
from tests.flows.platforms import ORG, Left, last_run, mail
from tests.kills.scene import CLI, HOOK
from tests.permits import granted
from tests.store.words import ROOT, change

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("run_home")]

FREE = (
    {"id": "build", "verdict": "allow", "actions": ["build"]},
    {"id": "others", "verdict": "allow", "actions": ["undo_*", "append"]},
)
DRY = {"dry_run": True, "allow_actions": False}


@pytest.fixture
def freely(mart: Mart) -> Mart:
    """The mart, under a policy that allows builds and their undoing to everybody."""
    write_policy(mart.home, *FREE)
    return mart


def content(mart: Mart) -> bytes:
    return (mart.home / "warehouse.duckdb").read_bytes()


def write_meanwhile(mart: Mart) -> None:
    """Let somebody write a row into the file that was built in."""
    granted(mart.warehouse.append, mart.raw, [mail(99_999, mart.now - timedelta(minutes=1))])


def of_build(left: Left) -> dict[str, Any]:
    """What became of undoing the build."""
    return next(one for one in left.artifacts["undo"] if one["action"] == "build")


def typed(*words: str) -> tuple[int, str]:
    """What a person who types it sees, and the exit code."""
    ended = CliRunner().invoke(app, list(words), prog_name="roundsman")
    return ended.exit_code, ended.stdout + ended.stderr


def test_what_a_run_built_can_be_undone_once_by_a_permit_of_its_own(mart: Mart) -> None:
    before = content(mart)
    left = mart.act()
    assert content(mart) != before
    (waiting,) = [of_build(take_back(left.row.run_id))]
    assert waiting["state"] == "waiting"
    (row,) = actions("undo_build")
    assert row.undoes == waiting["action_id"]
    approvals.approve(ledger(), ORG, row.action_id, Review("bob"))
    done = take_back(left.row.run_id)
    told = {one["action"]: one for one in done.artifacts["undo"]}
    assert told["build"]["state"] == "undone"
    # What was sent is named, and is no fault of the undo.
    assert told["send"]["state"] == "impossible"
    assert "cannot be taken back" in told["send"]["said"]
    assert done.row.verdict == "healthy"
    assert content(mart) == before
    again = of_build(take_back(left.row.run_id))
    assert (again["state"], "already" in again["said"]) == ("undone", True)
    assert len(actions("undo_build")) == 1
    assert verify(ledger(), ORG).ok


def test_a_build_that_failed_half_way_can_be_undone(freely: Mart) -> None:
    (freely.home / "dbt/models/broken.sql").write_text("select nope from nowhere")
    before = content(freely)
    left = freely.act()
    assert left.artifacts["remediation"]["state"] == "failed"
    assert content(freely) != before
    done = take_back(left.row.run_id)
    assert of_build(done)["state"] == "undone"
    assert "may have been done in part" in of_build(done)["said"]
    assert (done.row.verdict, content(freely)) == ("healthy", before)


def test_a_dry_undo_names_the_action_and_what_would_be_lost(freely: Mart) -> None:
    left = freely.act()
    (build,) = actions("build")
    built = content(freely)
    told = take_back(left.row.run_id, **DRY)
    one = of_build(told)
    assert (one["state"], one["action_id"]) == ("considered", build.action_id)
    assert "the whole file" in one["said"]
    assert "all that anybody wrote to the file until" in one["said"]
    assert (told.row.verdict, content(freely)) == ("healthy", built)
    assert actions("undo_build") == []


def test_a_build_is_not_undone_over_what_came_after_it_and_a_dry_undo_says_so(
    freely: Mart,
) -> None:
    left = freely.act()
    write_meanwhile(freely)
    after = content(freely)
    code, said = typed("undo", left.row.run_id, "--dry-run")
    dry = last_run()
    assert (code, "was changed at" in said) == (1, True)
    code, said = typed("undo", left.row.run_id)
    live = last_run()
    assert (code, "was changed at" in said) == (1, True)
    assert (dry.row.dry_run, live.row.dry_run) == (True, False)
    assert of_build(dry) == of_build(live)
    assert of_build(live)["state"] == "failed"
    assert content(freely) == after


def test_a_build_that_was_found_done_later_is_not_undone_over_what_came_meanwhile(
    freely: Mart,
) -> None:
    left = freely.act()
    (build,) = actions("build")
    # As if the run had died between the effect and its settlement.
    change(ledger(), "UPDATE actions SET state = 'unknown' WHERE action = 'build'")
    write_meanwhile(freely)
    after = content(freely)
    lost = of_build(take_back(left.row.run_id))
    assert lost["state"] == "unknown"
    assert f"roundsman actions settle {build.action_id[:12]} done" in lost["said"]
    approvals.settle_by_hand(ledger(), ORG, build.action_id, True, Review("ada"))
    assert "was changed at" in of_build(take_back(left.row.run_id))["said"]
    assert content(freely) == after


def test_what_was_typed_ends_with_what_became_of_it(freely: Mart) -> None:
    left = freely.act()
    run_id, (build,) = left.row.run_id, actions("build")
    code, said = typed("undo", run_id)
    assert (code, f"undone: build {build.action_id[:12]}" in said) == (0, True)
    code, said = typed("actions", "show", build.action_id)
    assert "it was undone by" in said
    assert "undo it:" not in said
    code, said = typed("actions", "list")
    assert "undone" in said
    quiet = freely.act(**DRY).row.run_id
    code, said = typed("undo", quiet)
    assert code == 2
    assert f"run '{quiet}' did nothing outside that could be undone" in said
    # Nothing was started for it.
    assert last_run().row.run_id == quiet


@pytest.mark.parametrize("place", ["put_back", "_forget_log"])
def test_an_undo_that_was_killed_is_ended_by_the_next_one(freely: Mart, place: str) -> None:
    before = content(freely)
    run_id = freely.act().row.run_id
    kill = f"roundsman.child blocks.transform.copies:{place} enter 1"
    died = subprocess.run(
        [*CLI, "undo", run_id],
        env=os.environ | {"ROUNDSMAN_TEST_KILL": kill, "PYTHONPATH": f"{HOOK}:{ROOT}"},
        capture_output=True,
        check=False,
    )
    assert died.returncode == 1
    code, said = typed("actions", "list", "--state", "unknown")
    assert (code, "undo_build" in said) == (0, True)
    code, said = typed("undo", run_id)
    assert (code, "undone: build" in said) == (0, True)
    assert [row.state for row in actions("undo_build")] == ["done"]
    assert content(freely) == before
    assert verify(ledger(), ORG).ok


def test_a_build_that_a_person_undid_is_asked_for_before_it_is_made_again(freely: Mart) -> None:
    left = freely.act()
    assert of_build(take_back(left.row.run_id))["state"] == "undone"
    at_once = {"limits": {"cool_down_minutes": 0}}
    dry = freely.act(**at_once, **DRY).artifacts["remediation"]
    assert "was undone by" in dry["said"]
    again = freely.act(**at_once).artifacts["remediation"]
    assert again["reason"] == "waiting"
    assert "whether it is wanted again is for a person to say" in again["said"]
    assert freely.act(**at_once).artifacts["remediation"]["action_id"] == again["action_id"]
    approvals.approve(ledger(), ORG, again["action_id"], Review("bob"))
    done = freely.act(**at_once).artifacts["remediation"]
    assert (done["state"], done["helped"]) == ("done", True)
    assert verify(ledger(), ORG).ok
