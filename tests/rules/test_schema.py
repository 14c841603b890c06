"""How the fields of two sides differ."""

from __future__ import annotations

import pytest

from roundsman.rules.schema import Described, compare_schemas
from roundsman.rules.windows import Dataset, FieldType


def side(name: str, fields: dict[str, FieldType], **roles: str) -> Described:
    named = {"time_field": "at", "key_field": "id"} | roles
    return Described(data=Dataset(name=name, **named), fields=fields)  # pyright: ignore


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("keyword", "text", None),
        ("integer", "number", None),
        ("other", "keyword", None),
        ("timestamp", "keyword", "type_differs"),
        ("integer", "text", "type_differs"),
        ("boolean", "integer", "type_differs"),
    ],
)
def test_kinds_that_hold_the_same_values_do_not_differ(
    ours: FieldType, theirs: FieldType, kind: str | None
) -> None:
    found = compare_schemas(side("a", {"x": ours}), side("b", {"x": theirs}))
    assert [drift.kind for drift in found] == ([kind] if kind else [])


def test_a_field_on_one_side_only_is_named_with_its_side() -> None:
    found = compare_schemas(
        side("a", {"old": "text", "same": "text"}), side("b", {"new": "number", "same": "text"})
    )
    assert [(drift.field, drift.kind) for drift in found] == [
        ("new", "missing_in_search"),
        ("old", "missing_in_warehouse"),
    ]
    assert found[0].reason.quote == "field 'new' (number) is in the warehouse only"


def test_time_key_and_fingerprint_match_by_what_they_are_for() -> None:
    ours = side(
        "orders-*",
        {"placed": "timestamp", "order": "keyword", "crc": "integer"},
        time_field="placed",
        key_field="order",
        fingerprint_field="crc",
    )
    theirs = side(
        "shop.orders",
        {"created_at": "timestamp", "order_id": "text", "fingerprint": "integer"},
        time_field="created_at",
        key_field="order_id",
        fingerprint_field="fingerprint",
    )
    assert compare_schemas(ours, theirs) == ()
