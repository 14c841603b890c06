"""Whatever is asked by the document, or beside it, the API neither breaks nor shows a stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from roundsman.api.app import make_app
from roundsman.settings import Settings, get_settings
from tests.api.served import Api, make_settings, serving

EXAMPLES = 8
SECONDS_MAX = 10
SCHEMA = schemathesis.openapi.from_dict(make_app(Settings()).openapi())
OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in SCHEMA.get_all_operations()
}
# It goes on until its reader leaves.
ENDLESS = "GET /agents/events"
# A route that takes nothing cannot be asked wrongly.
WITHOUT_INPUT = {
    "GET /",
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /agents",
    "GET /actions/stop",
}
# They name nothing that could be missing: a good question turns the org's switch.
SWITCH = {"POST /actions/stop", "POST /actions/resume"}
QUESTIONS = [
    (name, mode)
    for name in sorted(OPERATIONS.keys() - {ENDLESS})
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or name not in WITHOUT_INPUT
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        made = make_settings(folder)
        patch.setenv("ROUNDSMAN_ROUNDS", str(made.rounds))
        get_settings.cache_clear()
        with serving(made) as api:
            yield api
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def admin(shared: Api) -> str:
    return shared.key("admin")


@pytest.mark.parametrize(("name", "mode"), QUESTIONS)
def test_no_question_breaks_it(shared: Api, admin: str, name: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[name]
    cases = operation.as_strategy(generation_mode=mode)
    before = shared.events()

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def ask(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("agent_type"), str):
            # Each run of an agent that exists would take seconds.
            case.body["agent_type"] += "?"
        headers = {"Authorization": f"Bearer {admin}"}
        answer = case.call(base_url=shared.url, headers=headers, timeout=SECONDS_MAX)
        assert answer.status_code < 500, answer.text
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"]
            assert answer.json()["error"]

    ask()
    # None of these names anything that exists: whatever was asked, nothing was written.
    assert shared.events() == before or (name in SWITCH and mode is GenerationMode.POSITIVE)


@given(path=st.text(max_size=40), query=st.text(max_size=40))
@settings(
    max_examples=50,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_address_breaks_it(shared: Api, path: str, query: str) -> None:
    from urllib.parse import quote

    where = "/" + quote(path.encode("utf-8", "replace"))
    answer = shared.get(f"{where}?{quote(query.encode('utf-8', 'replace'))}")
    assert answer.status_code < 500
