"""The list of rounds: each names an agent that exists and parameters that it takes."""

from __future__ import annotations

import importlib

import pytest

from roundsman.agent import spec_of
from roundsman.catalog import Round, rounds

# What a person fills in before it starts.
FORMS = {"decide/form": {"action_id": "0" * 32, "answer": "deny", "who": "ada"}}
ROUNDS = [known for known in rounds() if known.full_name not in FORMS]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_takes_what_a_person_fills_in(name: str) -> None:
    (known,) = [known for known in rounds() if known.full_name == name]
    module, function = known.entrypoint.split(":")
    spec = spec_of(getattr(importlib.import_module(module), function))
    spec.params.model_validate(dict(known.params) | FORMS[name])
    assert known.description


@pytest.mark.parametrize("known", ROUNDS, ids=lambda known: known.full_name)
def test_a_round_starts_an_agent_with_parameters_that_it_takes(known: Round) -> None:
    module, function = known.entrypoint.split(":")
    spec = spec_of(getattr(importlib.import_module(module), function))
    params = spec.params.model_validate(dict(known.params))
    assert params.dry_run
    assert known.agent == spec.card.name
    assert known.description
