"""A sixth agent is a flow, an entry in prefect.yaml and a test: those that the guide prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.copies import ROOT, copy_repository, derive_cards, environment
from tests.servers.prefect_server import PrefectServer

GUIDE = ROOT / "docs/guides/add-an-agent.md"
SYSTEMS = "search: {local: {kind: sqlite, path: search.db}}\n"


def printed() -> dict[str, str]:
    """The files of the guide, by the path in their first line."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return dict(blocks)


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the repository with the three files of a new agent."""
    copy = copy_repository(tmp_path / "copy")
    for name, text in printed().items():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.read_text().rstrip() + "\n" if target.exists() else ""
        target.write_text(before + text)
    return copy


@pytest.mark.engine
@pytest.mark.covers("A-007", "A-013")
def test_the_agent_of_the_guide_is_three_files_and_a_command(
    extended: Path, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "systems.yaml").write_text(SYSTEMS)
    variables = environment(extended, home, ROUNDSMAN_PREFECT_API_URL=prefect_server.url)
    derive_cards(extended, variables)
    cards = json.loads((extended / "roundsman" / "agents.json").read_text())
    card = next(card for card in cards if card["name"] == "quiet_sender")
    assert card["plan"] == ["find_newest"]

    tested = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(tested, cwd=extended, env=variables, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

    done = _typed(["run", "quiet_sender/hourly", "--json"], variables)
    told = json.loads(done.stdout)
    assert (told["status"], told["verdict"]) == ("success", "unknown"), done.stderr
    assert "quiet_sender" in _typed(["agents"], variables).stdout
    refused = _typed(["run", "quiet_sender", "--param", "search=nosuch"], variables)
    assert (refused.returncode, "nosuch" in refused.stderr) == (2, True)


def test_the_guides_code_is_in_order(tmp_path: Path) -> None:
    for name, text in printed().items():
        if name.endswith(".py"):
            file = tmp_path / Path(name).name
            file.write_text(text)
            checked = [str(Path(sys.executable).with_name("ruff")), "check", "--config"]
            command = [*checked, str(ROOT / "pyproject.toml"), "--ignore", "I001", str(file)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


def _typed(words: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("roundsman")), *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
