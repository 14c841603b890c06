"""How values become the typed columns of the twin, as Elasticsearch would take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from blocks.search.contract import as_utc
from roundsman.errors import Refused
from roundsman.rules.windows import FieldType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
INTEGER_MAX = 2**63 - 1

Convert = Callable[[Any], Any]


def micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly."""
    return (as_utc(moment) - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """The time that `micros` came from."""
    return EPOCH + timedelta(microseconds=value)


def _to_timestamp(value: Any) -> int:
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, date):
        return micros(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, int) and not isinstance(value, bool):
        return value * 1000
    if isinstance(value, str):
        return micros(datetime.fromisoformat(value))
    raise ValueError("is no date")


def _to_keyword(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError("is no single value")


def _to_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is no integer")
    number = int(value)
    if abs(number) > INTEGER_MAX:
        raise ValueError("is no 64-bit integer")
    return number


def _to_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is no number")
    return float(value)


def _to_boolean(value: Any) -> int:
    if value is True or value == "true":
        return 1
    if value is False or value in ("false", ""):
        return 0
    raise ValueError("is neither true nor false")


def _to_text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_to_keyword(part) for part in cast("list[Any]", value))
    return _to_keyword(value)


CONVERT: dict[FieldType, Convert] = {
    "timestamp": _to_timestamp,
    "keyword": _to_keyword,
    "text": _to_text,
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
}


def column_value(name: str, field: str, kind: FieldType, value: Any) -> Any:
    """One value as its column stores it; Refused when Elasticsearch would refuse it, too."""
    if value is None:
        return None
    try:
        return CONVERT[kind](value)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused(
            f"search '{name}' refused a document: field '{field}' of type {kind} cannot hold "
            f"{value!r:.80}",
            "correct the value, or map the field with another type",
        ) from error


def field_value(row: Mapping[str, Any], field: str) -> Any:
    """The value of a field, written flat ('user.name') or nested."""
    if field in row or "." not in field:
        return row.get(field)
    value: Any = row
    for part in field.split("."):
        value = cast("Mapping[str, Any]", value).get(part) if isinstance(value, Mapping) else None
    return value
