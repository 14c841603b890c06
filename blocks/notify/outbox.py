"""The twin: messages are lines of a file, where a person or another program finds them."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from blocks.notify.contract import Notify
from blocks.patience import seconds_for
from roundsman.errors import BudgetSpent, Misread, Refused, Unready
from roundsman.permits import NotSent, Permit, effect
from roundsman.rules.messages import Message, Receipt
from roundsman.rules.windows import Probe

FILE_BYTES_MAX = 100_000_000
FILE_MODE = 0o600
LOCK_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.02
TAIL_BYTES = 4_096


class OutboxNotify(Notify):
    """A file of JSON lines, one for each message."""

    _block_type_name = "Notify into a file"
    _block_type_slug = "outbox-notify"
    _description = "A file that messages are appended to, one JSON document a line."
    kind: ClassVar[str] = "outbox"
    twin: ClassVar[bool] = True

    path: Path = Field(description="The file; relative paths start at systems.yaml.")

    @property
    def place(self) -> str:
        """See the contract."""
        return f"outbox '{self.path}'"

    @effect("askable")
    def send(self, message: Message, *, permit: Permit) -> Receipt:
        """See the contract; the file says itself whether a message is in it."""
        now = datetime.now(UTC)
        told = {"sent_at": now.isoformat(), "permit": permit.key}
        line = json.dumps(told | message.model_dump(mode="json"), ensure_ascii=False)
        try:
            seconds = seconds_for(self.place, LOCK_SECONDS)
        except BudgetSpent as error:
            raise NotSent(error.said, error.remedy) from error
        with self._locked(seconds) as file:
            self._append(file, f"{line}\n".encode())
        return Receipt(place=self.place, reference=permit.key, said="written", at=now)

    def confirm(self, key: str) -> Receipt | None:
        """The receipt of the message that this permit sent, where the file has it, or one that was
        renamed beside it."""
        beside = self.path.parent.glob(f"{escape(self.path.name)}.*")
        for path in (self.path, *sorted(beside)):
            told = self._found_in(path, key) if path.exists() else None
            if told is not None:
                return self._receipt(told)
        return None

    def _found_in(self, path: Path, key: str) -> dict[str, Any] | None:
        try:
            with path.open("rb") as file:
                # A line without its end is one that was torn.
                whole = (json.loads(line) for line in file if line.endswith(b"\n"))
                return next((told for told in whole if told["permit"] == key), None)
        except OSError as error:
            raise Unready(f"outbox '{path}' cannot be read: {error.strerror}", _READABLE) from error
        except (ValueError, TypeError, KeyError) as error:
            raise Misread(f"outbox '{path}' holds a line that is no message", _LOOK) from error

    def probe(self) -> Probe:
        """See the contract."""
        if self.path.exists() and not self.path.is_file():
            raise Refused(f"{self.place} is no file", "correct 'path' in systems.yaml")
        there = self.path if self.path.exists() else _nearest(self.path.parent)
        if not os.access(there, os.W_OK):
            raise Refused(f"{self.place} is not writable", "make it writable to this user")
        return Probe(reachable=True, version="JSON lines", can_write=True)

    def _receipt(self, told: dict[str, Any]) -> Receipt:
        at = datetime.fromisoformat(told["sent_at"])
        return Receipt(place=self.place, reference=told["permit"], said="written", at=at)

    @contextmanager
    def _locked(self, seconds: float) -> Generator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
        except OSError as error:
            raise Refused(f"{self.place} cannot be opened: {error.strerror}", _READABLE) from error
        try:
            end = time.monotonic() + seconds
            while not _lock(file):
                if time.monotonic() >= end:
                    raise NotSent(f"{self.place} is in use by another process", "try again")
                time.sleep(LOCK_POLL_SECONDS)
            yield file
        finally:
            os.close(file)

    def _append(self, file: int, line: bytes) -> None:
        """The whole line or nothing of it; Unready where only the disk knows."""
        begin = _end_of_last_line(file)
        if begin + len(line) > FILE_BYTES_MAX:
            remedy = f"rename it to '{self.path.name}.1', where it is still asked what was sent"
            raise Refused(f"{self.place} would exceed {FILE_BYTES_MAX} bytes", remedy)
        try:
            os.ftruncate(file, begin)
            is_whole = os.write(file, line) == len(line)
        except OSError as error:
            os.ftruncate(file, begin)
            raise NotSent(f"{self.place} took nothing: {error.strerror}", _ROOM) from error
        if not is_whole:
            os.ftruncate(file, begin)
            raise NotSent(f"{self.place} took only a part, which was taken back", _ROOM)
        try:
            os.fsync(file)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise Unready(f"{self.place} may not last: {error.strerror}", "look at it") from error


_READABLE = "make it readable and writable to this user, or correct 'path' in systems.yaml"
_ROOM = "free some space"
# Were it moved out of sight, what it holds would be sent again.
_LOOK = "correct that line, or look for the message: roundsman actions settle ID done, or not-done"


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_of_last_line(file: int) -> int:
    """Where the next line begins: behind the last end of a line, so over what a kill has torn."""
    place = os.fstat(file).st_size
    while place > 0:
        begin = max(0, place - TAIL_BYTES)
        found = os.pread(file, place - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        place = begin
    return 0


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
