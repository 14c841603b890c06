"""How rows are written down as lines of JSON, which both warehouses load fastest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any

from roundsman.errors import Refused
from roundsman.rules.windows import FieldType

INTEGER_LIMIT = 2**63
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
    try:
        return _CONVERT.get(kind, _text)(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(
            f"warehouse table '{name}' refused a row: column '{field}' of type {kind} "
            f"cannot hold {value!r:.80}",
            "correct the value, or replace the table with a column of another type",
        ) from error


def _time(value: Any) -> str:
    """A datetime, date, ISO text or milliseconds since 1970, as the search side takes them too."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _EPOCH + timedelta(milliseconds=value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise TypeError("is no time")
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value.isoformat(timespec="microseconds")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not -INTEGER_LIMIT <= int(value) < INTEGER_LIMIT:
        raise ValueError("is no 64-bit integer")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("is no number")
    return float(value)


def _boolean(value: Any) -> bool:
    if value not in (True, False, "true", "false"):
        raise ValueError("is neither true nor false")
    return value in (True, "true")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)


_CONVERT: dict[FieldType, Callable[[Any], Any]] = {
    "timestamp": _time,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
