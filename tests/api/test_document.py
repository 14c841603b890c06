"""The API's own document: whole, with an example of every answer, and true of every question."""

from __future__ import annotations

from typing import Any

import pytest

from roundsman.api.app import make_app
from roundsman.settings import Settings

DOCUMENT: dict[str, Any] = make_app(Settings()).openapi()
ROUTES = [
    (method, path, route) for path, of in DOCUMENT["paths"].items() for method, route in of.items()
]


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def test_every_route_of_the_specification_is_there() -> None:
    assert {(method, path) for method, path, _ in ROUTES} >= {
        ("get", "/"),
        ("get", "/health"),
        ("get", "/ready"),
        ("get", "/metrics"),
        ("get", "/agents"),
        ("get", "/agents/{agent}"),
        ("post", "/agents/execute"),
        ("get", "/agents/events"),
        ("get", "/agents/history"),
        ("get", "/agents/runs/{run_id}"),
        ("get", "/agents/runs/{run_id}/timeline"),
        ("post", "/agents/runs/{run_id}/cancel"),
        ("get", "/agents/artifacts/{agent}"),
        ("get", "/agents/artifacts/{agent}/{file}"),
        ("get", "/approvals"),
        ("post", "/approvals/{action_id}/approve"),
        ("post", "/approvals/{action_id}/deny"),
        ("get", "/findings"),
        ("get", "/rounds"),
        ("post", "/session"),
        ("post", "/findings/{fingerprint}/ack"),
        ("post", "/findings/{fingerprint}/mute"),
        ("get", "/actions"),
        ("get", "/actions/{action_id}"),
        ("post", "/actions/{action_id}/settle"),
        ("get", "/actions/stop"),
        ("post", "/actions/stop"),
        ("post", "/actions/resume"),
        ("post", "/approvals/{action_id}/reopen"),
        ("get", "/agents/runs/{run_id}/undo"),
        ("post", "/agents/runs/{run_id}/undo"),
    }


@pytest.mark.parametrize(("method", "path", "route"), ROUTES, ids=_name)
def test_every_route_shows_an_answer_and_says_what_it_does(
    method: str, path: str, route: dict[str, Any]
) -> None:
    assert route.get("description"), "its docstring is what a caller reads"
    good = [answer for status, answer in route["responses"].items() if status.startswith("2")]
    shown = [kind for answer in good for kind in answer.get("content", {}).values()]
    assert any("example" in kind for kind in shown)
    if method == "post":
        schema = str(route.get("requestBody", {}))
        assert "$ref" in schema, "a body is refused for a field it does not know"


@pytest.mark.parametrize(
    "name", ["Execution", "Mute", "Note", "Problem", "Reason", "Settlement", "Undo"]
)
def test_every_body_and_the_problem_have_an_example(name: str) -> None:
    assert DOCUMENT["components"]["schemas"][name]["example"]


def test_examples_of_bodies_are_accepted() -> None:
    from roundsman.api.actions import Settlement
    from roundsman.api.findings import Mute
    from roundsman.api.orders import Execution
    from roundsman.api.problems import Problem
    from roundsman.api.undo import Undo
    from roundsman.api.words import Note, Reason

    for model in (Execution, Mute, Note, Problem, Reason, Settlement, Undo):
        model.model_validate(DOCUMENT["components"]["schemas"][model.__name__]["example"])


def test_the_way_to_show_a_key_is_documented() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    without = [path for _, path, route in ROUTES if not route.get("security")]
    assert sorted(set(without)) == ["/", "/health", "/ready", "/session"]
