"""`roundsman run` as a process: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("roundsman")
SECONDS = 120
SYSTEMS = """\
search:
  local: {kind: sqlite, path: search.db}
warehouse:
  local: {kind: duckdb, path: warehouse.duckdb}
"""
pytestmark = pytest.mark.engine


class Terminal:
    """Calls the real command with a home and an environment of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ROUNDSMAN_", "PREFECT_"))}
        self.environment = kept | {"ROUNDSMAN_HOME": str(home)} | environment

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the command and leave it running."""
        return subprocess.Popen(
            [COMMAND, *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.begin(*words)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def document(self, *words: str) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self(*words, "--json").stdout)


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "systems.yaml").write_text(SYSTEMS)
    return tmp_path / "home"


@pytest.fixture
def terminal(home, prefect_server) -> Terminal:
    return Terminal(home, ROUNDSMAN_PREFECT_API_URL=prefect_server.url)


def seed(terminal: Terminal, *words: str) -> subprocess.CompletedProcess[str]:
    small = ("-p", "mails_a_day=20", "-p", "days=3")
    return terminal("run", "seed_sample", "--live", *small, *words)


def test_a_run_shows_its_steps_and_what_to_type_next(terminal):
    said = seed(terminal)
    assert said.returncode == 0, said.stderr
    for words in ("step started", "seed_search", "success", "Next", "roundsman --home"):
        assert words in said.stdout
    assert said.stderr == ""


def test_json_is_one_document_and_nothing_else(terminal):
    said = seed(terminal, "--json")
    document = json.loads(said.stdout)
    assert document["status"] == "success"
    assert document["artifacts"]["missing"] > 0
    assert said.stderr == ""


@pytest.mark.covers("A-025")
def test_an_unknown_agent_is_refused_and_the_known_ones_are_listed(terminal):
    said = terminal("run", "warehouse_helth", "--json")
    document = json.loads(said.stdout)
    assert said.returncode == 2
    assert "Invalid agent_type: 'warehouse_helth'. Available:" in document["error"]
    assert terminal.document("show", document["run_id"])["status"] == "refused"
    assert len(said.stderr.strip().splitlines()) == 1


def test_an_unknown_parameter_is_refused_with_an_audit_row(terminal):
    said = terminal("run", "seed_sample", "--param", "dys=3")
    assert said.returncode == 2
    assert "dys" in said.stderr
    assert "Traceback" not in said.stderr
    assert terminal.document("history")["runs"][0]["status"] == "refused"


def test_an_unknown_system_is_refused(terminal):
    said = terminal("run", "seed_sample", "-p", "search=prod", "--live")
    assert said.returncode == 2
    assert "prod" in said.stderr
    assert "local" in said.stderr


def test_explain_says_which_steps_and_reads_nothing(terminal, home):
    document = terminal.document("run", "seed_sample", "--explain")
    assert document["plan"] == ["seed_search", "seed_warehouse"]
    assert not (home / "search.db").exists()


def test_doctor_asks_the_configured_systems(terminal):
    seed(terminal)
    document = terminal.document("doctor")
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert states["search local"] == states["warehouse local"] == "ok"
    assert document["ok"] is True


def test_import_of_an_absent_path_is_the_users_mistake(terminal):
    said = terminal("import", "mail", "/nowhere/mails.mbox")
    assert said.returncode == 2
    assert "/nowhere/mails.mbox" in said.stderr
    assert terminal.document("history")["runs"][0]["status"] == "refused"


def test_a_refused_run_can_be_retried_with_what_it_had(terminal):
    terminal("run", "seed_sample", "-p", "search=prod")
    run_id = terminal.document("history")["runs"][0]["run_id"]
    said = terminal("retry", run_id)
    assert said.returncode == 2
    assert "prod" in said.stderr


def test_ctrl_c_cancels_the_run_and_ends_with_130(terminal, tmp_path):
    # A pipe that nobody writes into: the step waits for its first line for ever.
    os.mkfifo(tmp_path / "mails.jsonl")
    process = terminal.begin("run", "import_mail", "-p", f"paths=[{tmp_path}/mails.jsonl]")
    deadline = time.monotonic() + SECONDS
    lines: list[str] = []
    assert process.stdout is not None
    while time.monotonic() < deadline and not any("step started" in line for line in lines):
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert terminal.document("history")["runs"][0]["status"] == "cancelled"


class Recorder:
    """Somebody's Prefect: answers nothing useful and keeps whoever spoke to it."""

    def __init__(self) -> None:
        seen: list[str] = []

        class Answer(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                seen.append(f"{self.command} {self.path}")
                self.send_response(500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.seen = seen
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def foreign():
    recorder = Recorder()
    yield recorder
    recorder.server.shutdown()
    recorder.server.server_close()


def test_nobody_elses_prefect_is_spoken_to(home, tmp_path, foreign):
    """Profile, variable, .env and prefect.toml all name it; a run with its own server does not."""
    profiles = tmp_path / "user" / ".prefect"
    profiles.mkdir(parents=True)
    (profiles / "profiles.toml").write_text(
        f'active = "production"\n[profiles.production]\nPREFECT_API_URL = "{foreign.url}"\n'
    )
    where = tmp_path / "cwd"
    where.mkdir()
    (where / ".env").write_text(f"PREFECT_API_URL={foreign.url}\n")
    (where / "prefect.toml").write_text(f'[api]\nurl = "{foreign.url}"\n')
    terminal = Terminal(
        home,
        HOME=str(tmp_path / "user"),
        PREFECT_API_URL=foreign.url,
        PREFECT_PROFILE="production",
        PREFECT_HOME=str(profiles),
    )
    said = subprocess.run(
        [COMMAND, "run", "seed_sample", "-p", "mails_a_day=20", "-p", "days=2", "--json"],
        env=terminal.environment,
        cwd=where,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert foreign.seen == []


def test_who_waits_for_a_server_of_the_runs_own_is_told_once(home):
    said = Terminal(home)("run", "seed_sample", "-p", "days=3", "-p", "mails_a_day=20", "--json")
    assert json.loads(said.stdout)["status"] == "success"
    assert said.stderr == "a Prefect server for this run alone is coming up (10 to 15 s) ...\n"
