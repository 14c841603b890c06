"""A DuckDB file that is kept before a build can be put back, and twice does no harm."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.transform import copies
from roundsman.errors import Refused

KEY = "ab" * 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "some.duckdb"
    made.write_bytes(b"before")
    return made


def kept(file: Path) -> dict[str, Any]:
    """The copy of the file, which is then built anew."""
    made = copies.keep(file, file.parent / "before", KEY)
    assert made is not None
    file.write_bytes(b"built")
    return made.model_dump(mode="json")


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


def test_a_file_that_was_put_back_by_a_run_that_died_is_fine(file: Path) -> None:
    copy, done_at = kept(file), soon()
    log = file.with_name("some.duckdb.wal")
    log.write_bytes(b"of what was built")
    copies.put_back(copy, done_at)
    assert (file.read_bytes(), log.exists()) == (b"before", False)
    # The second run comes long after the first has changed the file.
    os.utime(file, (done_at.timestamp() + 60,) * 2)
    log.write_bytes(b"left by a kill")
    copies.put_back(copy, done_at)
    assert (file.read_bytes(), log.exists()) == (b"before", False)


def test_what_putting_back_would_do_is_told_and_not_done(file: Path) -> None:
    copy, done_at = kept(file), soon()
    said = copies.preview(copy, done_at)
    assert said.startswith(f"the whole file '{file}' is put back as it was at ")
    assert f"until {done_at:%Y-%m-%d %H:%M:%S} UTC, is lost" in said
    assert file.read_bytes() == b"built"
    copies.put_back(copy, done_at)
    assert "as it was before the build already" in copies.preview(copy, done_at)


@pytest.mark.parametrize("act", [copies.preview, copies.put_back])
def test_a_file_that_was_changed_since_is_left_alone(file: Path, act: Any) -> None:
    copy = kept(file)
    with pytest.raises(Refused, match="undoing it would lose that"):
        act(copy, datetime.now(UTC) - timedelta(minutes=1))
    assert file.read_bytes() == b"built"


@pytest.mark.parametrize("act", [copies.preview, copies.put_back])
def test_without_its_copy_a_file_cannot_be_put_back(file: Path, act: Any) -> None:
    copy = kept(file)
    Path(copy["copy_of_it"]).unlink()
    with pytest.raises(Refused, match="the copy .* is gone"):
        act(copy, soon())
    assert file.read_bytes() == b"built"
