"""The blocks of the guide, run as they stand against a served API."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.api.served import Api
from tests.copies import ROOT
from tests.servers.prefect_server import PrefectServer

GUIDE = ROOT / "docs/guides/client.md"


@pytest.mark.engine
def test_the_guides_code_does_what_the_guide_says(
    serve: Callable[..., Api],
    prefect_server: PrefectServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("ROUNDSMAN_API_KEY", raising=False)
    api = serve(prefect_api_url=prefect_server.url)
    blocks = re.findall(r"```python\n(.+?)```", GUIDE.read_text(), re.S)
    for block in blocks:
        # The same words about an agent that takes no time.
        quick = block.replace('"warehouse_health", round="sample"', '"looking", round="quick"')
        exec(quick.replace("http://127.0.0.1:8080", api.url), globals())
    said = capsys.readouterr().out
    assert said.startswith("success healthy\n")
    assert re.search(r"\d+ run_queued\n\d+ run_started\n(.+\n)+\d+ run_finished\n", said)
    assert len(re.findall(r"^\S{36} looking \d+\.\d+$", said, re.M)) == 2
    assert "['warehouse_health']" in said
    assert "404 run '00000000' is not in the ledger" in said
    assert len(blocks) == 5


def test_the_guide_names_every_method() -> None:
    from roundsman.client import AsyncClient, Client

    own = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert own | {"close"} == {name for name in vars(AsyncClient) if not name.startswith("_")}
    table = GUIDE.read_text().partition("| method |")[2].partition("\n\n")[0]
    assert own == set(re.findall(r"`(\w+)`", table))
