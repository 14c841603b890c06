"""An API whose page is opened in a browser, with tiny agents behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import api as api
from tests.api.conftest import serve as serve
from tests.api.served import Api
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer

ROUNDS = """
deployments:
  - name: quick
    entrypoint: tests.agents.looking:looking
    description: Looks at nothing.
    schedules: [{{cron: "0 6 * * *", timezone: Europe/Berlin}}]
  - name: lines
    entrypoint: tests.agents.acting:lining
    parameters: {{params: {{path: {path}, line: hello}}}}
"""
POLICY = """
version: 1
rules:
  - id: lines
    verdict: ask
    actions: [note, undo_note]
"""


@pytest.fixture
def running(
    serve: Callable[..., Api],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Api:
    """An API whose runs find the tiny agents and a Prefect server; lines are asked for."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rounds, policy = tmp_path / "rounds.yaml", tmp_path / "policy.yaml"
    rounds.write_text(ROUNDS.format(path=tmp_path / "lines"))
    policy.write_text(POLICY)
    return serve(prefect_api_url=prefect_server.url, rounds=rounds, policy=policy)
