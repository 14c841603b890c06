"""Which rows differ, by their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.keys import KeyDifferences, add_unnamed, compare_keys, join_keys
from roundsman.rules.narrowing import Difference
from roundsman.rules.windows import Listing, Row

DAY = datetime(2026, 11, 16, tzinfo=UTC)


def row(key: str, second: float = 0, fingerprint: int | None = None) -> Row:
    return Row(key, DAY + timedelta(seconds=second), fingerprint)


def listing(*rows: Row, cut: bool = False) -> Listing:
    return Listing(sorted(rows, key=lambda item: (item.at, item.key)), cut)


def kinds(found: KeyDifferences) -> dict[str, str]:
    return {item.key: item.kind for item in found.listed}


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ([row("a")], [row("a")], None),
        ([row("a")], [], "missing"),
        ([], [row("a")], "extra"),
        ([row("a", fingerprint=1)], [row("a", fingerprint=2)], "changed"),
        ([row("a", fingerprint=1)], [row("a")], "changed"),
        ([row("a")], [row("a", fingerprint=1)], "changed"),
        ([row("a", 0)], [row("a", 0.9)], None),
        ([row("a", 0)], [row("a", 1)], "changed"),
        ([row("a"), row("a")], [row("a")], "duplicate"),
        ([row("a"), row("a")], [row("a"), row("a")], "duplicate"),
        ([row("a"), row("a")], [], "missing"),
    ],
)
def test_a_key_is_judged_by_how_often_and_how_it_is_on_each_side(
    ours: list[Row], theirs: list[Row], kind: str | None
) -> None:
    found = compare_keys(listing(*ours), listing(*theirs))
    assert kinds(found) == ({"a": kind} if kind else {})
    assert found.total == (1 if kind else 0)
    assert found.rows_read == len(ours) + len(theirs)


def test_rows_without_a_key_are_counted_and_never_called_missing() -> None:
    found = compare_keys(listing(row(""), row(""), row("a")), listing(row(""), row("a")))
    assert (found.rows_without_key, found.total) == (3, 0)


def test_beyond_the_last_row_of_a_cut_listing_nothing_is_called_missing() -> None:
    ours = listing(row("a", 0), row("b", 10), row("c", 20))
    found = compare_keys(ours, listing(row("a", 0), row("b", 10), cut=True))
    assert found.total == 0
    assert found.cut


def test_every_difference_is_counted_however_few_are_named() -> None:
    found = compare_keys(listing(*(row(f"{i:02}", i) for i in range(9))), listing(), most=2)
    assert [item.key for item in found.listed] == ["00", "01"]
    assert found.found["missing"] == 9


def test_a_row_that_moved_from_one_part_to_another_is_changed() -> None:
    parts = [
        compare_keys(listing(row("a", 0), row("x", 1)), listing()),
        compare_keys(listing(), listing(row("a", 3600))),
    ]
    joined = join_keys(parts, 10)
    assert kinds(joined) == {"a": "changed", "x": "missing"}
    assert joined.found == {"missing": 1, "extra": 0, "changed": 1, "duplicate": 0}
    assert "01:00:00Z in the warehouse" in joined.of("changed")[0].detail


def test_joined_parts_name_at_most_as_many_keys_as_were_asked_for() -> None:
    parts = [compare_keys(listing(row(f"{i}", i)), listing()) for i in range(5)]
    joined = join_keys(parts, 3)
    assert [item.key for item in joined.listed] == ["0", "1", "2"]
    assert (joined.total, joined.rows_read) == (5, 5)


def test_a_key_that_is_missing_in_two_parts_is_one_key_and_two_rows() -> None:
    parts = [compare_keys(listing(row("a", at)), listing()) for at in (0, 90_000)]
    joined = join_keys(parts, 10)
    assert (joined.found["missing"], len(joined.listed)) == (1, 1)
    assert joined.by_date == {DAY.date(): 1, DAY.date() + timedelta(days=1): 1}


@pytest.mark.parametrize("most", [0, 3, 100])
def test_days_are_counted_before_any_limit_names_fewer(most: int) -> None:
    rows = [row(f"{day}-{i}", day * 86_400 + i) for day in range(2) for i in range(9)]
    found = compare_keys(listing(*rows), listing(), "Europe/Berlin", most)
    joined = join_keys([found], 1, "Europe/Berlin")
    assert len(joined.listed) <= 1
    assert joined.by_date == {DAY.date(): 9, DAY.date() + timedelta(days=1): 9}


def test_a_row_that_moved_to_another_day_differs_on_its_own_day_only() -> None:
    parts = [
        compare_keys(listing(row("a", 0)), listing()),
        compare_keys(listing(), listing(row("a", 86_400))),
    ]
    joined = join_keys(parts, 10)
    assert joined.by_date == {DAY.date(): 1}


def test_a_duplicate_is_no_difference_of_a_day_but_explains_its_minute() -> None:
    found = compare_keys(listing(row("a", 61), row("a", 62)), listing(row("a", 130)))
    assert found.by_date == {}
    assert found.minutes == {DAY + timedelta(minutes=1), DAY + timedelta(minutes=2)}


def test_buckets_whose_rows_are_not_named_weigh_as_many_rows_as_are_certain() -> None:
    minute = timedelta(minutes=1)
    left_out = [Difference(DAY, 9, 2), Difference(DAY + minute, 0, 3)]
    dark = [Difference(DAY + 2 * minute, 5, 5, balanced=True)]
    found = add_unnamed(compare_keys(listing(row("a")), listing()), left_out, dark, "UTC")
    # Three of the seven may only have moved to where the three are.
    assert found.by_date == {DAY.date(): 1 + 7 + 1}
    assert (found.buckets_left_out, found.buckets_unexplained) == (2, 1)


keys = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 3))


@given(keys, keys)
def test_what_is_compared_in_one_piece_or_in_many_is_the_same(
    ours: dict[str, int], theirs: dict[str, int]
) -> None:
    search = [row(key, fingerprint=mark) for key, mark in ours.items()]
    warehouse = [row(key, fingerprint=mark) for key, mark in theirs.items()]
    whole = compare_keys(listing(*search), listing(*warehouse))
    assert kinds(whole) == {
        **dict.fromkeys(ours.keys() - theirs.keys(), "missing"),
        **dict.fromkeys(theirs.keys() - ours.keys(), "extra"),
        **{key: "changed" for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]},
    }
    parts = [
        compare_keys(
            listing(
                *(r for r in search if r.key < "c") if low else (r for r in search if r.key >= "c")
            ),
            listing(
                *(r for r in warehouse if r.key < "c")
                if low
                else (r for r in warehouse if r.key >= "c")
            ),
        )
        for low in (True, False)
    ]
    assert join_keys(parts, 1_000).listed == whole.listed
