"""How a DuckDB file is kept before a build, and put back when somebody wants the build undone."""

from __future__ import annotations

import filecmp
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from roundsman.errors import Refused, Unready

# A copy costs as much disk as the file; larger ones are not kept.
FILE_BYTES_MAX = 2 * 1024**3
# Of each file the newest are kept.
COPIES_MAX = 5
# So much of the disk stays free for the build itself, in sizes of the file.
FREE_SIZES_MIN = 3


class Kept(BaseModel):
    """A copy of a DuckDB file as it was before a build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    copy_of_it: Path
    bytes: int


def keep(file: Path, folder: Path, key: str) -> Kept | None:
    """Copy the file aside; None where it is too large for that, or the disk is too full.

    Raises Unready where the copy could not be written.
    """
    try:
        size = file.stat().st_size
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if size > FILE_BYTES_MAX or shutil.disk_usage(folder).free < FREE_SIZES_MIN * size:
            return None
        aside = folder / f"{key}.duckdb"
        shutil.copyfile(file, aside)
        _forget_oldest(folder)
    except FileNotFoundError:
        # Nothing is there yet: what the build makes can only be removed by hand.
        return None
    except OSError as error:
        raise Unready(f"no copy of '{file}' could be kept: {error.strerror}") from error
    return Kept(file=file, copy_of_it=aside, bytes=size)


def preview(kept: dict[str, Any], unchanged_since: datetime) -> str:
    """What putting a file back would do and lose, in words. Refused as `put_back` does."""
    known = Kept.model_validate(kept)
    if _is_back(known):
        return f"'{known.file}' is as it was before the build already"
    taken = _refuse_changed(known, unchanged_since)
    return (
        f"the whole file '{known.file}' is put back as it was at {taken:%Y-%m-%d %H:%M:%S} UTC,"
        " before the build: what the build made, and all that anybody wrote to the file until"
        f" {unchanged_since:%Y-%m-%d %H:%M:%S} UTC, is lost"
    )


def put_back(kept: dict[str, Any], unchanged_since: datetime) -> Kept:
    """Make the file what it was; the caller holds it alone.

    Refused where the copy is gone, or the file was changed after the build: that would be lost.
    A file that is the copy already, put back by a run that could not tell it any more, is fine.
    """
    known = Kept.model_validate(kept)
    if _is_back(known):
        _forget_log(known.file)
        return known
    _refuse_changed(known, unchanged_since)
    beside = known.file.with_suffix(".undo")
    try:
        shutil.copyfile(known.copy_of_it, beside)
        beside.replace(known.file)
        _forget_log(known.file)
    except FileNotFoundError as error:
        raise _gone(known) from error
    except OSError as error:
        raise Unready(f"'{known.file}' could not be put back: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return known


def _refuse_changed(known: Kept, unchanged_since: datetime) -> datetime:
    """When the copy was taken; Refused where it is gone, or the file was changed since."""
    try:
        changed = datetime.fromtimestamp(known.file.stat().st_mtime, UTC)
    except FileNotFoundError:
        changed = unchanged_since
    if changed > unchanged_since:
        raise Refused(
            f"'{known.file}' was changed at {changed:%Y-%m-%d %H:%M:%S} UTC, after the build:"
            " undoing it would lose that",
            f"compare it with the copy '{known.copy_of_it}'",
        )
    try:
        return datetime.fromtimestamp(known.copy_of_it.stat().st_mtime, UTC)
    except FileNotFoundError as error:
        raise _gone(known) from error


def _gone(known: Kept) -> Refused:
    return Refused(f"the copy '{known.copy_of_it}' is gone: only the newest {COPIES_MAX} are kept")


def _is_back(kept: Kept) -> bool:
    try:
        return filecmp.cmp(kept.file, kept.copy_of_it, shallow=False)
    except OSError:
        # Whatever hinders the look will hinder the copying, and is told there.
        return False


def _forget_log(file: Path) -> None:
    """What DuckDB wrote beside the file that was replaced."""
    file.with_name(f"{file.name}.wal").unlink(missing_ok=True)


def _forget_oldest(folder: Path) -> None:
    copies = sorted(folder.glob("*.duckdb"), key=lambda path: path.stat().st_mtime, reverse=True)
    for copy in copies[COPIES_MAX:]:
        copy.unlink(missing_ok=True)
