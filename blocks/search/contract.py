"""What a search can be asked beyond the contract of all datasets; how indices are named."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from blocks.dataset import DatasetBlock
from roundsman.errors import Mistake, Refused
from roundsman.rules.windows import Dataset, FieldType

INDEX_NAME_BYTES_MAX = 255
FORBIDDEN_IN_NAMES = ' "*\\<|,>/?#:'


class Search(DatasetBlock, ABC):
    """Indices of documents; `Dataset.name` may be a pattern such as 'emails-*,orders'."""

    @abstractmethod
    def find(self, name: str, text: str, limit: int) -> list[dict[str, Any]]:
        """The documents whose text fields hold every word of `text`, best match first: one
        operation."""


def check_index_name(name: str) -> None:
    """Mistake unless one index can be created under this name (Elasticsearch's rules)."""
    wrong = (
        not name
        or name != name.lower()
        or name in {".", ".."}
        or name[0] in "-_+"
        or len(name.encode()) > INDEX_NAME_BYTES_MAX
        or any(letter in FORBIDDEN_IN_NAMES for letter in name)
    )
    if wrong:
        raise Mistake(
            f"'{name}' is not the name of one index",
            "use lower-case letters, digits, '-', '_' and '.', not beginning with '-' or '_'",
        )


def check_roles(data: Dataset, types: dict[str, FieldType]) -> None:
    """Refused where a field of the dataset is missing or of a type that cannot play its part."""
    _check_role(data, data.time_field, types, ("timestamp",))
    _check_role(data, data.key_field, types, ("keyword", "integer"))
    if data.fingerprint_field is not None:
        _check_role(data, data.fingerprint_field, types, ("integer",))
    for field in data.filter:
        _check_role(data, field, types, ("keyword", "integer", "number", "boolean", "timestamp"))


def _check_role(
    data: Dataset, field: str, types: dict[str, FieldType], allowed: tuple[FieldType, ...]
) -> None:
    if field not in types:
        raise Refused(
            f"search '{data.name}' has no field '{field}'",
            "name one of its fields, or map this one and index again",
        )
    if types[field] not in allowed:
        hint = f", such as '{field}.keyword'" if f"{field}.keyword" in types else ""
        raise Refused(
            f"field '{field}' of search '{data.name}' is of type {types[field]}, "
            f"and {' or '.join(allowed)} is needed",
            f"name a field of that type{hint}",
        )


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def document_json(row: Mapping[str, Any], without: frozenset[str] = frozenset()) -> str:
    """The document as JSON, times in ISO form and UTC, without the fields named."""
    kept = {field: value for field, value in row.items() if field not in without}
    return json.dumps(kept, default=_jsonable, ensure_ascii=False, separators=(",", ":"))


def _jsonable(value: Any) -> str:
    if isinstance(value, datetime):
        return as_utc(value).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
