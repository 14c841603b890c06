"""`roundsman serve` as a process: it says where, answers, and ends when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from roundsman.settings import Settings
from roundsman.store import keys, open_ledger
from roundsman.store.keys import NewKey
from tests.copies import ROOT

END_SECONDS = 10
COMMAND = "from roundsman.cli import main; main()"


@contextmanager
def serve(home: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "ROUNDSMAN_HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving http://"), process.communicate()
    return line.split()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with serve(tmp_path / "home") as process:
        url = address(process)
        assert httpx.get(f"{url}/health").json() == {"status": "ok", "service": "roundsman"}
        with httpx.stream("GET", f"{url}/agents/events", timeout=END_SECONDS) as stream:
            next(stream.iter_lines())
            process.send_signal(number)
            assert process.wait(END_SECONDS) == 0


def test_other_addresses_are_served_once_there_is_a_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    ledger = open_ledger(settings.ledger_url, settings.chain_key, settings.anchor)
    _, secret = keys.create_key(ledger, "acme", NewKey("ci", ("read",), None, "ada"))
    ledger.close()
    with serve(settings.home, "--host", "0.0.0.0") as process:
        port = address(process).rpartition(":")[2]
        url = f"http://127.0.0.1:{port}"
        allowed = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{url}/agents/history", headers=allowed).json()["total"] == 0
        strange = httpx.get(f"{url}/health", headers={"Host": f"elsewhere.example:{port}"})
        assert strange.status_code == 421


def test_no_key_stands_in_the_log(tmp_path: Path) -> None:
    with serve(tmp_path / "home", ROUNDSMAN_LOG_FORMAT="json") as process:
        url = address(process)
        secret = "rm_" + "A" * 43
        headers = {"Authorization": f"Bearer {secret}", "X-Request-ID": "job-17"}
        assert httpx.get(f"{url}/agents/history?key={secret}", headers=headers).status_code == 401
        process.terminate()
        out, err = process.communicate(timeout=END_SECONDS)
    assert "GET /agents/history 401" in err
    assert '"correlation_id": "job-17"' in err
    assert secret not in out + err


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve(tmp_path / "home", "--port", port) as process:
            _, err = process.communicate(timeout=END_SECONDS * 3)
            assert process.returncode == 2
            assert f"cannot listen on '127.0.0.1' port {port}" in err
