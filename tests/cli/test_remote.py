"""`roundsman --remote URL`: the same commands, asked of a machine that serves its ledger."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roundsman.settings import get_settings
from roundsman.store import actions, runs
from roundsman.store.artifacts import ArtifactStore
from roundsman.store.records import HistoryFilter, Note
from tests.api.conftest import serve
from tests.api.served import Api, until
from tests.api.test_reading import ERROR, ask, see
from tests.cli.conftest import Said
from tests.cli.test_run import Terminal
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer
from tests.store.permits import claim, keep_done, live, proposal, propose
from tests.store.words import ORG, begin, finish, queue, step

__all__ = ["serve"]
ROUNDS = """
deployments:
  - name: prod
    entrypoint: flows.warehouse_health:warehouse_health
    description: The production mails.
    parameters: {params: {days: 14}}
    schedules: [{cron: "0 6 * * *"}]
"""
HERE_ONLY = (
    *(("init",), ("doctor",), ("keys", "list"), ("policy", "show"), ("migrate",), ("serve",)),
    ("erase", "abcdef99", "--reason", "x"),
    *(("verify-audit",), ("artifacts", "path", "warehouse_health"), ("import", "mail", "x")),
)


@pytest.fixture
def api(serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.delenv("ROUNDSMAN_API_KEY", raising=False)
    return serve()


@pytest.fixture
def command() -> Callable[..., Said]:
    """Call the command at the machine that serves the API too."""
    from typer.testing import CliRunner

    from roundsman.cli.app import app

    def call(*words: str) -> Said:
        ended = CliRunner().invoke(app, list(words), prog_name="roundsman")
        return Said(ended.exit_code, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def elsewhere(
    api: Api, command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Call the command with `--remote` and a key."""

    def call(*words: str) -> Said:
        with monkeypatch.context() as patch:
            patch.setenv("ROUNDSMAN_API_KEY", api.key("admin"))
            return command("--remote", api.url, *words)

    return call


def past(api: Api) -> dict[str, str]:
    """Runs of several kinds, and what they left behind."""
    good = begin(api.ledger, user_email="ann@example.org")
    step(api.ledger, good, 0)
    finish(api.ledger, good, artifacts={"summary": {"checks_passed": 2, "total_checks": 3}})
    bad = begin(api.ledger)
    finish(api.ledger, bad, "crashed", error=ERROR, verdict=None, artifacts={})
    ArtifactStore(api.settings.artifacts, ORG).write("x.md", "# grün\n", "warehouse_health")
    return {
        "good": good,
        "bad": bad,
        "waiting": queue(api.ledger),
        "key": ask(api),
        "seen": see(api),
    }


def plain(document: Any) -> Any:
    """A document without what an API keeps to itself: how an error was classed."""
    if isinstance(document, dict):
        left = {name: plain(value) for name, value in document.items() if name != "error"}
        error = document.get("error")
        told = ("type", "message", "step")
        return left | {"error": {n: error[n] for n in told} if isinstance(error, dict) else error}
    return [plain(one) for one in document] if isinstance(document, list) else document


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "words"])
def test_what_is_read_elsewhere_is_what_is_read_there(
    api: Api,
    command: Callable[..., Said],
    elsewhere: Callable[..., Said],
    as_json: bool,
) -> None:
    told = past(api)
    api.settings.rounds.write_text(ROUNDS)
    asked = [
        *(("history",), ("history", "--status", "crashed,queued", "--limit", "1")),
        *(("show", told["good"][:8]), ("show", told["bad"]), ("watch", told["good"])),
        *(
            ("approvals", "list"),
            ("approvals", "list", "--all"),
            ("approvals", "show", told["key"]),
        ),
        *(("findings", "list", "--severity", "high"), ("findings", "show", told["seen"])),
        *(("artifacts", "list"), ("artifacts", "list", "warehouse_health"), ("agents",)),
        *(("agents", "--rounds"), ("actions", "list"), ("actions", "show", told["key"])),
        ("actions", "list", "--state", "waiting", "--run", told["good"]),
    ]
    for words in asked:
        more = ("--json",) if as_json else ()
        here, there = command(*words, *more), elsewhere(*words, *more)
        assert (there.code, there.err) == (here.code, here.err), words
        if as_json:
            assert plain(there.document) == plain(here.document), words
        else:
            assert there.out.replace(f"--remote {api.url} ", "") == here.out, words


def test_a_file_is_printed_and_a_wrong_name_lists_the_known_ones(
    api: Api, elsewhere: Callable[..., Said]
) -> None:
    past(api)
    assert elsewhere("artifacts", "show", "warehouse_health", "x.md").out == "# grün\n\n"
    wrong = elsewhere("artifacts", "show", "warehouse_health", "y.md")
    assert (wrong.code, "known are x.md" in wrong.err) == (2, True)
    wrong = elsewhere("history", "--agent", "nosuch")
    assert (wrong.code, "known are warehouse_health" in wrong.err) == (2, True)


def test_the_files_of_a_run_are_named_as_artifacts_show_takes_them(
    api: Api, elsewhere: Callable[..., Said]
) -> None:
    run_id = begin(api.ledger)
    # More than a page of the timeline tells.
    notes = [Note(kind="gap", payload={"said": "none"}) for _ in range(1_000)]
    file = {"path": "x.md", "bytes": 3, "sha256": "0" * 64}
    notes += [Note(kind=f"artifact_{word}", payload=file) for word in ("intended", "written")]
    for note in notes:
        runs.note(api.ledger, ORG, run_id, 1, note)
    finish(api.ledger, run_id)
    assert elsewhere("watch", run_id, "--json").document["files"] == ["warehouse_health/x.md"]
    assert "\nFiles\n  warehouse_health/x.md\n" in elsewhere("show", run_id, "--no-events").out


def test_what_people_say_is_kept_where_the_ledger_is(
    api: Api, elsewhere: Callable[..., Said]
) -> None:
    told = past(api)
    asked = elsewhere("cancel", told["waiting"], "--json")
    assert (asked.code, asked.document["cancel_requested"]) == (0, True)
    late = elsewhere("cancel", told["good"])
    assert (late.code, "has ended as success" in late.err) == (2, True)
    assert "acknowledged by ann@example.org" in elsewhere("findings", "ack", told["seen"]).out
    assert elsewhere("findings", "mute", told["seen"], "--for", "2h").code == 0
    assert elsewhere("findings", "unmute", told["seen"]).code == 0
    denied = elsewhere("approvals", "deny", told["key"], "--note", "no", "--json").document
    assert (denied["state"], denied["reviewed_by"]) == ("denied", "ann@example.org")
    again = elsewhere("approvals", "deny", told["key"], "--json")
    assert (again.code, again.document["type"]) == (2, "ValidationError")


@pytest.mark.parametrize("words", HERE_ONLY, ids=" ".join)
def test_what_is_about_this_machine_is_not_asked_of_another(
    command: Callable[..., Said], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUNDSMAN_REMOTE", "http://127.0.0.1:1")
    said = command(*words)
    assert said.code == 2
    assert "is about this machine and cannot be asked of 'http://127.0.0.1:1'" in said.err
    assert len(said.err.splitlines()) == 1


def test_the_switch_a_lost_answer_and_a_no_are_handled_from_elsewhere(
    api: Api, elsewhere: Callable[..., Said]
) -> None:
    stopped = elsewhere("actions", "stop", "--reason", "a move")
    assert "all actions are stopped by ann@example.org (a move)" in stopped.out
    assert "ALL ACTIONS ARE STOPPED by ann@example.org: a move" in elsewhere("actions", "list").out
    resumed = elsewhere("actions", "resume", "--json").document
    assert (resumed["is_on"], resumed["was_on"], resumed["started"]) == (False, True, {})
    assert "were not stopped" in elsewhere("actions", "resume").out
    key, run_id = ask(api), live(api.ledger)
    assert elsewhere("approvals", "deny", key).code == 0
    again = elsewhere("approvals", "reopen", key[:8], "--reason", "needed", "--json").document
    assert (again["state"], again["said"]) == ("waiting", "reopened by ann@example.org: needed")
    row = claim(api.ledger, run_id, propose(api.ledger, run_id, occasion={"watermark": "later"}))
    finish(api.ledger, run_id, "crashed", verdict=None, artifacts={})
    settled = elsewhere("actions", "settle", row.action_id[:8], "not-done", "--json").document
    assert (settled["state"], settled["settled_by"]) == ("failed", "ann@example.org")
    nothing = elsewhere("undo", run_id)
    assert (nothing.code, "did nothing outside" in nothing.err) == (2, True)


def test_a_machine_that_does_not_answer_or_says_no_is_named_in_a_sentence(
    api: Api, command: Callable[..., Said]
) -> None:
    away = command("--remote", "http://127.0.0.1:1", "history")
    assert (away.code, len(away.err.splitlines())) == (1, 1)
    assert "GET 'http://127.0.0.1:1/agents/history' was not answered" in away.err
    api.key("read")
    closed = command("--remote", api.url, "history", "--json")
    assert (closed.code, closed.document["type"]) == (2, "PolicyError")
    assert "a key is needed here" in closed.err
    wrong = command("--remote", "localhost:1", "history")
    assert (wrong.code, "is no address of an API" in wrong.err) == (2, True)
    short = command("--remote", api.url, "show", "abc")
    assert (short.code, "is too short a name" in short.err) == (2, True)


def test_help_says_how_to_ask_elsewhere(command: Callable[..., Said]) -> None:
    assert "--remote" in command("--help").out
    assert get_settings().remote is None


@pytest.mark.engine
def test_a_run_is_started_elsewhere_shown_and_ends_with_its_code(
    serve: Callable[..., Api],
    command: Callable[..., Said],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("ROUNDSMAN_API_KEY", raising=False)
    api = serve(prefect_api_url=prefect_server.url)
    there = ("--remote", api.url)
    ran = command(*there, "run", "looking/quick", "-p", "operations=3")
    assert ran.code == 0, ran.err
    for words in ("starting looking/quick ...", "run finished", "success  healthy"):
        assert words in ran.out
    assert f"roundsman --remote {api.url} show" in ran.out
    document = command(*there, "run", "looking/quick", "--json").document
    assert (document["status"], document["ops_count"], document["dry_run"]) == ("success", 2, True)
    bad = ("-p", "fail_times=9", "-p", "fail_with=refused")
    failed = command(*there, "run", "looking/quick", *bad)
    assert (failed.code, "looking failed:" in failed.err) == (1, True)
    run_id = json.loads(command(*there, "history", "--status", "failed", "--json").out)["runs"][0]
    again = command(*there, "retry", run_id["run_id"], "--json")
    assert (again.code, again.document["status"]) == (1, "failed")
    refused = command(*there, "run", "looking/quick", "-p", "colour=red", "--json")
    assert (refused.code, refused.document["status"]) == (2, "refused")
    assert "unknown parameter 'colour'" in refused.err
    unknown = command(*there, "run", "nosuch")
    assert (unknown.code, "Invalid agent_type: 'nosuch'" in unknown.err) == (2, True)
    live = command(*there, "run", "looking/quick", "--live")
    assert (live.code, "needs a key with the permission 'write'" in live.err) == (2, True)


@pytest.mark.engine
def test_what_a_run_would_read_and_lose_is_looked_up_elsewhere(
    serve: Callable[..., Api],
    command: Callable[..., Said],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url)
    run_id = keep_done(api.ledger)
    monkeypatch.setenv("ROUNDSMAN_API_KEY", api.key("read", "write"))
    there = ("--remote", api.url)
    said = command(*there, "run", "looking/quick", "--explain", "--json")
    assert (said.code, said.document["plan"]) == (0, ["first", "second", "third"])
    wrong = command(*there, "run", "nosuch", "--explain")
    assert (wrong.code, "Invalid agent_type: 'nosuch'" in wrong.err) == (2, True)
    # A home without systems: the run that was started there says so.
    said = command(*there, "undo", run_id[:8], "--dry-run", "--json")
    assert (said.document["agent_type"], said.document["dry_run"]) == ("undo", True)
    assert (said.code, said.document["status"]) == (1, "failed")
    assert "systems.yaml' does not exist" in said.document["error"]["message"]


@pytest.mark.engine
def test_a_yes_given_elsewhere_starts_the_run_that_acts_there(
    serve: Callable[..., Api],
    command: Callable[..., Said],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url)
    run_id = live(api.ledger, agent_type="looking", round="looking/quick", params={})
    wish = proposal(verdict="ask", agent="looking", round="looking/quick")
    key = actions.propose(api.ledger, ORG, run_id, 1, wish).action_id
    finish(api.ledger, run_id)
    monkeypatch.setenv("ROUNDSMAN_API_KEY", api.key("read", "approve"))
    told = command("--remote", api.url, "approvals", "approve", key[:8], "--json")
    acting = runs.get_run(api.ledger, ORG, told.document["run_id"])
    assert (told.code, acting.action_id, acting.status) == (0, key, "success")
    again = command("--remote", api.url, "approvals", "approve", key)
    assert (again.code, len(again.err.splitlines())) == (2, 1)


@pytest.mark.engine
def test_ctrl_c_stops_the_run_that_goes_on_elsewhere(
    serve: Callable[..., Api],
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    api = serve(prefect_api_url=prefect_server.url)
    key = {"ROUNDSMAN_API_KEY": api.key("read", "write"), "ROUNDSMAN_REMOTE": api.url}
    terminal = Terminal(tmp_path / "desk", **key)
    process = terminal.begin("run", "looking/quick", "-p", "seconds=60")
    wanted = HistoryFilter(status="running")
    (row,) = until(lambda: runs.history(api.ledger, ORG, wanted)[0], 60)
    until(lambda: runs.steps(api.ledger, ORG, row.run_id), 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, "stopping the run" in err) == (130, True), out
    assert runs.get_run(api.ledger, ORG, row.run_id).status == "cancelled"
    assert not (tmp_path / "desk" / "ledger.db").exists()
