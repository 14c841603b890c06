"""How rows are written down as lines of JSON, which both warehouses load fastest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import IO, Any

from roundsman.errors import Refused
from roundsman.rules.windows import FieldType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_lines(
    file: IO[bytes], name: str, types: Mapping[str, FieldType], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Write each row as a line and return how many; Refused for a field that has no column."""
    count = 0
    for line in _lines(name, types, rows):
        file.write(line)
        count += 1
    file.flush()
    return count


def _lines(
    name: str, types: Mapping[str, FieldType], rows: Iterable[Mapping[str, Any]]
) -> Iterator[bytes]:
    for row in rows:
        unknown = row.keys() - types.keys()
        if unknown:
            raise Refused(
                f"warehouse table '{name}' has no column '{min(unknown)}'",
                "leave the field out, or replace the table with one that has it",
            )
        line = {field: _value(name, field, types[field], value) for field, value in row.items()}
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _value(name: str, field: str, kind: FieldType, value: Any) -> Any:
    if value is None:
        return None
    if kind == "timestamp":
        return _time(name, field, value)
    if kind in ("keyword", "text", "other") and not isinstance(value, str):
        return _text(value)
    if isinstance(value, Decimal):
        return float(value) if kind == "number" else int(value)
    return value


def _time(name: str, field: str, value: Any) -> str:
    try:
        return _instant(value).isoformat(timespec="microseconds")
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(
            f"warehouse table '{name}' refused a row: column '{field}' of type timestamp "
            f"cannot hold {value!r:.80}",
            "correct the value",
        ) from error


def _instant(value: Any) -> datetime:
    """A datetime, date, ISO text or milliseconds since 1970, as the search side takes them too."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _EPOCH + timedelta(milliseconds=value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise TypeError("is no time")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)
