"""A sixth agent is one flow, one entry in prefect.yaml and one test; nothing else is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.copies import copy_repository, derive_cards, environment
from tests.servers.prefect_server import PrefectServer

FLOW = '''"""Greets, when asked to."""

from __future__ import annotations

from roundsman.agent import AgentParams, Outcome, agent, current, step


class Params(AgentParams):
    """Whom to greet."""

    name: str = "you"


@step
def greet(name: str) -> str:
    """Make a greeting."""
    return f"good morning, {name}"


@agent(version="1.0.0", capabilities=("greet",), plan=("greet", "write"))
async def sixth(params: Params) -> Outcome:
    """Greet somebody."""
    said = await greet(params.name)
    path = current().write("greeting.txt", said)
    current().skip("write", "written already")
    return Outcome(verdict="healthy", artifacts={"said": said, "report": path.name})
'''
ROUND = """
  - name: daily
    entrypoint: flows.sixth:sixth
    parameters: {params: {name: Ann}}
"""
TEST = """import asyncio

from flows.sixth import sixth


def test_it_greets_whom_it_is_told_to():
    assert asyncio.run(sixth.fn({"name": "Bob"})).artifacts["said"] == "good morning, Bob"
"""


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the repository with the three files of a new agent."""
    copy = copy_repository(tmp_path / "copy")
    (copy / "flows" / "sixth.py").write_text(FLOW)
    rounds = copy / "prefect.yaml"
    rounds.write_text(rounds.read_text().rstrip() + ROUND)
    (copy / "tests" / "flows").mkdir(parents=True)
    (copy / "tests" / "flows" / "test_sixth.py").write_text(TEST)
    return copy


@pytest.mark.engine
@pytest.mark.covers("A-007", "A-013")
def test_a_sixth_agent_is_three_files_and_a_command(
    extended: Path, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    variables = environment(extended, home, ROUNDSMAN_PREFECT_API_URL=prefect_server.url)
    derive_cards(extended, variables)
    card = next(
        card
        for card in json.loads((extended / "roundsman" / "agents.json").read_text())
        if card["name"] == "sixth"
    )
    assert card["plan"] == ["greet", "write"]
    assert card["params_schema"]["properties"]["name"]["default"] == "you"

    tested = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(tested, cwd=extended, env=variables, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

    command = [str(Path(sys.executable).with_name("roundsman")), "run", "sixth/daily", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "success"
    assert told["artifacts"]["said"] == "good morning, Ann"
    assert "sixth" in _typed(["agents"], variables)
    assert (
        home / "artifacts" / "default" / "agent" / "artifacts" / "sixth" / "greeting.txt"
    ).read_text() == "good morning, Ann"


def _typed(words: list[str], variables: dict[str, str]) -> str:
    command = [str(Path(sys.executable).with_name("roundsman")), *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
