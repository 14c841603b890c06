"""`make demo`, `up` and `down`, from outside: what is found, and that nothing is left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from roundsman.settings import Settings

pytestmark = pytest.mark.engine
SECONDS_MAX = 180


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ROUNDSMAN_", "PREFECT_"))}
    return subprocess.run(
        [sys.executable, "-m", "roundsman.demo", *words, str(home)],
        env=kept | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def test_the_demo_finds_what_was_planted_and_leaves_nothing_running(tmp_path):
    said = demo(tmp_path, "run")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "degraded" in said.stdout
    assert "37 missing in the warehouse" in said.stdout
    assert "crm.customers" in said.stdout
    assert "artifacts show warehouse_health report_" in said.stdout
    assert Settings(home=tmp_path).prefect_url() is None
    report = next(tmp_path.rglob("report_*.json"))
    assert len(json.loads(report.read_text())["parity"]["keys"]["missing"]) == 37


def test_up_keeps_a_server_on_loopback_until_down(tmp_path):
    said = demo(tmp_path, "up")
    assert said.returncode == 0, said.stderr
    url = Settings(home=tmp_path).prefect_url()
    assert url is not None
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{url}/health").json() is True
    again = demo(tmp_path, "up")
    assert again.returncode == 0
    assert f"already, with its UI, at {url.removesuffix('/api')}" in again.stdout
    assert "stopped the server" in demo(tmp_path, "down").stdout
    assert Settings(home=tmp_path).prefect_url() is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    assert demo(tmp_path, "down").returncode == 0


def test_a_wrong_action_lists_the_known_ones(tmp_path):
    said = demo(tmp_path, "start")
    assert said.returncode == 2
    assert "run, up, down" in said.stderr
