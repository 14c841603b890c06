"""The list of rounds: each names an agent that exists and parameters that it takes."""

from __future__ import annotations

import importlib

import pytest

from roundsman.agent import spec_of
from roundsman.catalog import Round, rounds


@pytest.mark.parametrize("known", rounds(), ids=lambda known: known.full_name)
def test_a_round_starts_an_agent_with_parameters_that_it_takes(known: Round) -> None:
    module, function = known.entrypoint.split(":")
    spec = spec_of(getattr(importlib.import_module(module), function))
    params = spec.params.model_validate(dict(known.params))
    assert params.dry_run
    assert known.agent == spec.card.name
    assert known.description
