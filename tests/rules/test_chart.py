"""The picture: honest axis, every bar, bad days marked, nothing from outside."""

from __future__ import annotations

import re
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.chart import FLOOR, PLOT_HEIGHT, TICKS, draw_days, tick_step
from roundsman.rules.parity import DayParity

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("search local, emails-*", "warehouse <prod> & co")


def day(number: int, es: int | None, bq: int | None, status: str = "ok") -> DayParity:
    apart = None if es is None or bq is None else abs(es - bq)
    return DayParity(
        date=date(2026, 11, 7) + timedelta(days=number),
        es_count=es,
        bq_count=bq,
        difference=apart,
        status=status,  # pyright: ignore
    )


def draw(*days: DayParity) -> ElementTree.Element:
    return ElementTree.fromstring(draw_days(days, "rows per day", NAMES))


def bars(picture: ElementTree.Element) -> dict[str, float]:
    return {
        (box.findtext(f"{SVG}title") or ""): float(box.get("height") or 0)
        for box in picture.iter(f"{SVG}rect")
        if box.find(f"{SVG}title") is not None
    }


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def test_bars_stand_on_zero_and_are_as_high_as_their_counts() -> None:
    found = bars(draw(day(0, 300, 150), day(1, 75, 0)))
    assert set(found) == {
        "2026-11-07: 300 rows in the search",
        "2026-11-07: 150 rows in the warehouse",
        "2026-11-08: 75 rows in the search",
    }
    heights = list(found.values())
    assert heights[0] == PLOT_HEIGHT
    assert heights[1] == pytest.approx(PLOT_HEIGHT / 2)
    assert heights[2] == pytest.approx(PLOT_HEIGHT / 4)


def test_a_bad_day_is_marked_with_its_difference() -> None:
    assert "37 differ" in texts(draw(day(0, 300, 300), day(1, 300, 263, "bad")))
    assert not any("differ" in text for text in texts(draw(day(0, 300, 300))))


def test_two_narrow_bad_days_do_not_write_over_each_other() -> None:
    many = [day(i, 300, 263, "bad" if i in (9, 10) else "ok") for i in range(92)]
    assert not any("differ" in text for text in texts(draw(*many)))


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([day(0, 5, None)], "the warehouse was not read"),
        ([day(0, None, 5)], "the search was not read"),
        ([day(0, 0, 0)], "no data"),
        ([], "no data"),
    ],
)
def test_what_is_not_shown_is_said(days: list[DayParity], said: str) -> None:
    assert said in texts(draw(*days))


def test_names_are_escaped_and_nothing_refers_to_the_outside() -> None:
    picture = draw_days([day(0, 5, 4)], "rows", NAMES)
    assert "&lt;prod&gt; &amp; co" in picture
    assert "<script" not in picture
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]
    assert picture == draw_days([day(0, 5, 4)], "rows", NAMES)


@given(st.integers(0, 10**12))
def test_the_axis_has_a_handful_of_round_steps(largest: int) -> None:
    step = tick_step(largest)
    assert step * TICKS >= largest
    assert str(step).rstrip("0") in {"1", "2", "5", "25"}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=92))
def test_no_bar_leaves_the_picture(counts: list[int]) -> None:
    picture = draw(*[day(i, count, count) for i, count in enumerate(counts)])
    for box in picture.iter(f"{SVG}rect"):
        if box.find(f"{SVG}title") is not None:
            bottom = float(box.get("y") or 0) + float(box.get("height") or 0)
            assert bottom == pytest.approx(FLOOR, abs=0.2)
            assert 0 < float(box.get("height") or 0) <= PLOT_HEIGHT
