"""How the days of both sides look beside each other: a picture as SVG text, the same each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

from roundsman.rules.parity import DayParity

WIDTH, HEIGHT = 1000, 420
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 96, 64
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
FLOOR = TOP + PLOT_HEIGHT
TICKS = 5
# Of a day's width, so much is bars; the rest separates the days.
BARS_SHARE = 0.76
DAY_LABELS_MAX = 16
# Of the bold 12 px letters above a bad day: what does not fit is left to the table.
LETTER_WIDTH = 7.0
FONT = "font-family=\"'DejaVu Sans', Verdana, Arial, sans-serif\""

# Dark and full against light and outlined: told apart in grey and by any eye.
INK, SOFT, GRID = "#22272e", "#57606a", "#d8dee4"
SEARCH, WAREHOUSE, WAREHOUSE_EDGE = "#1f4e79", "#c6dcf0", "#4f81ad"
BAD, BAD_GROUND = "#b42318", "#fdecea"


class Slot(NamedTuple):
    """The place of one day on the axis."""

    day: DayParity
    left: float
    width: float

    @property
    def middle(self) -> float:
        """Where its label stands."""
        return self.left + self.width / 2


def draw_days(days: Sequence[DayParity], title: str, names: tuple[str, str]) -> str:
    """Daily bars of both sides from zero, bad days on red ground with their difference.

    `names` are what search and warehouse are called in the legend. A side that was not read has
    no bars. The text refers to nothing outside of itself.
    """
    largest = max((count for day in days for count in _counts(day)), default=0)
    step = tick_step(largest)
    top = max(step * ceil(largest / step), step)
    width = PLOT_WIDTH / max(len(days), 1)
    slots = [Slot(day, LEFT + i * width, width) for i, day in enumerate(days)]
    parts = [
        *_head(title, names),
        *(part for slot in slots for part in _ground(slot)),
        *_axis(step, top),
        *(part for slot in slots for part in _bars(slot, top)),
        *_day_labels(slots),
        *_remark(days, largest),
    ]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" {FONT}>\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def tick_step(largest: int) -> int:
    """A round distance between about five grid lines: 1, 2, 2.5 or 5 times a power of ten."""
    rough = largest / TICKS
    if rough <= 1:
        return 1
    power = 10 ** floor(log10(rough))
    steps = [power, 2 * power, 5 * power, 10 * power]
    if power >= 10:
        steps.insert(2, power * 5 // 2)
    return next(step for step in steps if step >= rough)


def _counts(day: DayParity) -> Iterable[int]:
    return (count for count in (day.es_count, day.bq_count) if count is not None)


def _head(title: str, names: tuple[str, str]) -> Iterator[str]:
    yield _text(LEFT, 30, title, f'font-size="17" font-weight="bold" fill="{INK}"')
    looks = (f'fill="{SEARCH}"', f'fill="{WAREHOUSE}" stroke="{WAREHOUSE_EDGE}"')
    left = float(LEFT)
    for look, name in zip(looks, names, strict=True):
        yield _box(left, 45, (13, 13), look)
        yield _text(left + 19, 56, name, f'font-size="13" fill="{INK}"')
        left += 44 + 7.6 * len(name)
    yield _box(left, 45, (13, 13), f'fill="{BAD_GROUND}" stroke="{BAD}"')
    yield _text(left + 19, 56, "bad day", f'font-size="13" fill="{INK}"')


def _ground(slot: Slot) -> Iterator[str]:
    if slot.day.status != "bad":
        return
    yield _box(slot.left, TOP, (slot.width, PLOT_HEIGHT), f'fill="{BAD_GROUND}"')
    yield _box(slot.left, TOP, (slot.width, 3), f'fill="{BAD}"')
    look = f'font-size="12" font-weight="bold" text-anchor="middle" fill="{BAD}"'
    difference = f"{max(slot.day.difference or 0, slot.day.differing_keys):,}"
    for said in (f"{difference} differ", difference):
        if len(said) * LETTER_WIDTH <= slot.width:
            yield _text(slot.middle, TOP - 7, said, look)
            return


def _axis(step: int, top: int) -> Iterator[str]:
    for value in range(0, top + 1, step):
        y = FLOOR - PLOT_HEIGHT * value / top
        color = SOFT if value == 0 else GRID
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{color}"/>'
        look = f'font-size="12" text-anchor="end" fill="{SOFT}"'
        yield _text(LEFT - 8, y + 4, f"{value:,}", look)
    yield _text(LEFT - 8, TOP - 14, "rows", f'font-size="12" text-anchor="end" fill="{SOFT}"')


def _bars(slot: Slot, top: int) -> Iterator[str]:
    width = slot.width * BARS_SHARE / 2
    left = slot.left + slot.width * (1 - BARS_SHARE) / 2
    looks = (f'fill="{SEARCH}"', f'fill="{WAREHOUSE}" stroke="{WAREHOUSE_EDGE}"')
    sides = (("search", slot.day.es_count), ("warehouse", slot.day.bq_count))
    for i, ((side, count), look) in enumerate(zip(sides, looks, strict=True)):
        if count:
            # A single row among millions is still not nothing.
            height = max(PLOT_HEIGHT * count / top, 1.0)
            hint = f"<title>{slot.day.date}: {count:,} rows in the {side}</title>"
            yield _box(left + i * width, FLOOR - height, (width, height), look, hint)


def _day_labels(slots: Sequence[Slot]) -> Iterator[str]:
    every = ceil(len(slots) / DAY_LABELS_MAX)
    month = 0
    for i, slot in enumerate(slots):
        day = slot.day
        if i % every:
            continue
        look = f'font-size="12" text-anchor="middle" fill="{INK}"'
        yield _text(slot.middle, FLOOR + 18, _day_name(day.date), look)
        small = f'font-size="11" text-anchor="middle" fill="{SOFT}"'
        notes = [] if day.date.month == month else [f"{day.date:%b %Y}"]
        notes += [] if day.whole else ["part"]
        for line, note in enumerate(notes):
            yield _text(slot.middle, FLOOR + 33 + 15 * line, note, small)
        month = day.date.month


def _day_name(day: date) -> str:
    return f"{day:%a} {day.day}"


def _remark(days: Sequence[DayParity], largest: int) -> Iterator[str]:
    unread = [
        name
        for name, counts in (
            ("search", [day.es_count for day in days]),
            ("warehouse", [day.bq_count for day in days]),
        )
        if days and all(count is None for count in counts)
    ]
    said = " and ".join(f"the {name} was not read" for name in unread)
    if not unread and not largest:
        said = "no data"
    if said:
        look = f'font-size="15" font-weight="bold" text-anchor="end" fill="{BAD}"'
        yield _text(WIDTH - RIGHT, 30, said, look)


def _text(x: float, y: float, said: str, look: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(said)}</text>'


def _box(x: float, y: float, size: tuple[float, float], look: str, inside: str = "") -> str:
    width, height = size
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}'
    return f"{rect}>{inside}</rect>" if inside else f"{rect}/>"
