"""Prefect starts, retries and shows; the ledger remembers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kills.scene import CLI, Scene
from tests.servers.prefect_server import run_server

pytestmark = pytest.mark.engine


def test_deleting_prefects_database_loses_no_fact(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with run_server(tmp_path / "prefect") as server:
        scene = Scene(tmp_path, server.url)
        run = json.loads(scene.run_agent(home).stdout)
        before = scene.roundsman(home, "show", run["run_id"], "--json").stdout
    shutil.rmtree(tmp_path / "prefect")

    history = json.loads(scene.roundsman(home, "history", "--json").stdout)
    assert [(one["run_id"], one["status"]) for one in history["runs"]] == [
        (run["run_id"], "success")
    ]
    assert scene.roundsman(home, "show", run["run_id"], "--json").stdout == before
    told = json.loads(before)
    assert [step["name"] for step in told["steps"]] == ["first", "second", "third"]
    assert scene.roundsman(home, "verify-audit").returncode == 0


def test_the_record_is_read_without_loading_prefect(tmp_path: Path) -> None:
    code = (
        f"{CLI[-1]}".replace("main()", "").rstrip("; ") + "; import sys; sys.argv=['r','history']"
    )
    code += "\ntry: main()\nexcept SystemExit: pass\nassert 'prefect' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        env={"ROUNDSMAN_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
