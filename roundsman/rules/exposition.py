"""How numbers are spelled for Prometheus: its text format 0.0.4, and OpenMetrics 1.0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Format = Literal["text", "openmetrics"]

CONTENT_TYPES: dict[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
MEDIA_RANGES: dict[str, Format] = {
    "application/openmetrics-text": "openmetrics",
    "text/plain": "text",
    "text/*": "text",
    "*/*": "text",
}
# More than any client sends; the rest of a longer header is not read.
ACCEPTED_MAX = 20
TOTAL = "_total"
# Series whose labels are kept spelled out; 20,000 of them take a few megabytes.
SPELLED_MAX = 20_000


class Point(NamedTuple):
    """One number of a family; `suffix` is what its name has beyond the family's."""

    suffix: str
    labels: Mapping[str, str]
    value: float


class Spelled(NamedTuple):
    """The labels of a series: what it is sorted by, and its text."""

    rest: tuple[tuple[str, str], ...]
    text: str


class Family(NamedTuple):
    """All numbers of one name; a counter's name ends in `_total`."""

    name: str
    kind: Kind
    said: str
    points: tuple[Point, ...]


def choose_format(accept: str) -> Format:
    """The format that an Accept header likes best; plain text where it does not care."""
    liked: dict[Format, float] = {"text": 0.0, "openmetrics": 0.0}
    for entry in accept.split(",")[:ACCEPTED_MAX]:
        media, *parameters = [part.strip().lower() for part in entry.split(";")]
        chosen = MEDIA_RANGES.get(media)
        if chosen is not None and "version=0.0.1" not in parameters:
            liked[chosen] = max(liked[chosen], _quality(parameters))
    return "openmetrics" if liked["openmetrics"] > liked["text"] else "text"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def render(families: Iterable[Family], form: Format = "text") -> str:
    """The whole answer to a scrape, families by name."""
    lines = [line for family in sorted(families) for line in _family(family, form)]
    if form == "openmetrics":
        lines.append("# EOF")
    return "\n".join(lines) + "\n" if lines else ""


def _family(family: Family, form: Format) -> Iterator[str]:
    name = family.name
    if form == "openmetrics" and family.kind == "counter":
        name = name.removesuffix(TOTAL)
    if family.said:
        yield f"# HELP {name} {_escaped(family.said, quotes=form == 'openmetrics')}"
    yield f"# TYPE {name} {family.kind}"
    spelled = [(_spelled(tuple(point.labels.items())), point) for point in family.points]
    for (_, text), point in sorted(spelled, key=_order):
        yield f"{family.name}{point.suffix}{text} {_number(point.value)}"


def _order(one: tuple[Spelled, Point]) -> tuple[tuple[tuple[str, str], ...], str, float]:
    """One series after the other, its buckets upwards, then its count and its sum."""
    (rest, _), point = one
    return rest, point.suffix, float(point.labels.get("le", "0"))


@lru_cache(maxsize=SPELLED_MAX)
def _spelled(labels: tuple[tuple[str, str], ...]) -> Spelled:
    """Labels without the edge, and all of them as text: the same ones come at every scrape."""
    ordered = sorted(labels)
    rest = tuple(pair for pair in ordered if pair[0] != "le")
    # Last, as every client has it.
    last = [pair for pair in ordered if pair[0] == "le"]
    told = ",".join(f'{name}="{_escaped(_label(name, value))}"' for name, value in [*rest, *last])
    return Spelled(rest, f"{{{told}}}" if told else "")


def _label(name: str, value: str) -> str:
    # One spelling in both formats, or the same bucket would be two series: 5 is 5.0.
    return _edge(float(value)) if name == "le" else value


def _edge(value: float) -> str:
    return "+Inf" if math.isinf(value) else repr(value)


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _escaped(text: str, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
