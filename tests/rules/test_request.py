"""How a request reads: its payload exactly, its conditions in words."""

from __future__ import annotations

import pytest

from roundsman.rules.request import payload_words, precondition_words


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, ""),
        ({"selectors": [], "full_refresh": False}, "selectors [], full_refresh false"),
        ({"selectors": ["tag:täglich"]}, 'selectors ["tag:täglich"]'),
        ({"rows": {"b": 1, "a": None}}, 'rows {"a": null, "b": 1}'),
    ],
)
def test_what_will_be_done_is_told_exactly(payload, words) -> None:
    assert payload_words(payload) == words


def test_conditions_are_sentences() -> None:
    told = precondition_words({"last_build_at": "2026-05-04T10:30:00Z", "owner": None})
    assert told == [
        'only while last build at is "2026-05-04T10:30:00Z"',
        "only while owner is none",
    ]
