"""Which rows differ, by their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.rules.keys import KeyDifferences, compare_keys, join_keys
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
        ([row("a", fingerprint=1)], [row("a")], None),
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
    joined = join_keys(parts, 3, left_out=7)
    assert [item.key for item in joined.listed] == ["0", "1", "2"]
    assert (joined.total, joined.rows_read, joined.buckets_left_out) == (5, 5, 7)


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
