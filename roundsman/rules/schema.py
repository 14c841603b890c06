"""Do both sides have the same fields of the same kind; informational, never a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from roundsman.rules.reasons import Reason
from roundsman.rules.windows import Dataset, FieldType

# Kinds that hold the same values, only indexed or stored differently.
FAMILY: dict[FieldType, str] = {
    "keyword": "text",
    "text": "text",
    "integer": "number",
    "number": "number",
}


class FieldDrift(BaseModel):
    """One field that only one side has, or that is of another kind there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    kind: Literal["missing_in_search", "missing_in_warehouse", "type_differs"]
    reason: Reason


class Described(BaseModel):
    """The fields of one side and which of them carry time, key and fingerprint."""

    model_config = ConfigDict(frozen=True)

    data: Dataset
    fields: Mapping[str, FieldType]


def compare_schemas(search: Described, warehouse: Described) -> tuple[FieldDrift, ...]:
    """The drift by field name; time, key and fingerprint match by role, whatever their names."""
    ours, theirs = _by_role(search), _by_role(warehouse)
    drifts: list[FieldDrift] = []
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(name), theirs.get(name)
        if a is None:
            quote = f"field '{name}' ({b}) is in the warehouse only"
            drifts.append(_drift(name, "missing_in_search", b, quote))
        elif b is None:
            quote = f"field '{name}' ({a}) is in the search only"
            drifts.append(_drift(name, "missing_in_warehouse", a, quote))
        elif _differ(a, b):
            quote = f"field '{name}' is {a} in the search and {b} in the warehouse"
            drifts.append(_drift(name, "type_differs", f"{a}/{b}", quote))
    return tuple(drifts)


def _drift(
    name: str,
    kind: Literal["missing_in_search", "missing_in_warehouse", "type_differs"],
    value: str | None,
    quote: str,
) -> FieldDrift:
    reason = Reason(signal="schema_drift", value=value, quote=quote)
    return FieldDrift(field=name, kind=kind, reason=reason)


def _by_role(side: Described) -> dict[str, FieldType]:
    roles = {side.data.time_field: "(time)", side.data.key_field: "(key)"}
    if side.data.fingerprint_field:
        roles[side.data.fingerprint_field] = "(fingerprint)"
    return {roles.get(name, name): kind for name, kind in side.fields.items()}


def _differ(a: FieldType, b: FieldType) -> bool:
    # "other" is a kind that one of the systems has no word for: nothing can be said.
    return "other" not in (a, b) and FAMILY.get(a, a) != FAMILY.get(b, b)
