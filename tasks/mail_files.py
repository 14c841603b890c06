"""Reading mails from files and writing their rows into a search and a warehouse."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import mailbox
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from blocks.dataset import DatasetBlock
from blocks.systems import load_system
from roundsman.agent import step
from roundsman.errors import Mistake, Refused
from roundsman.rules.mail import MAIL_FIELDS, MailRow, RawMail, parse_mail
from roundsman.rules.windows import Dataset, FieldType
from tasks.sandbox import Sandbox

BATCH_ROWS = 500
MAIL_BYTES_MAX = 64 << 20
KINDS = "mbox, Maildir, a folder of .eml, one .eml, .jsonl or .jsonl.gz"


class MailSource(BaseModel):
    """Which files are read, and when their mails shall have arrived."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...]
    now: datetime
    arrive_over: timedelta | None = None
    total: int = 0


class Counted(BaseModel):
    """What the files hold: mails of their own key, broken ones among them, and repetitions."""

    mails: int = 0
    broken: int = 0
    duplicates: int = 0


def kind_of(path: Path) -> str:
    """Which of the readable kinds a path is; a Mistake when it is none or does not exist."""
    if not path.exists():
        raise Mistake(f"'{path}' does not exist", f"name {KINDS}")
    if path.is_dir():
        is_maildir = (path / "cur").is_dir() or (path / "new").is_dir()
        return "maildir" if is_maildir else "folder"
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        return "lines"
    if name.endswith(".eml"):
        return "one"
    with path.open("rb") as file:
        begins = file.read(5)
    if begins == b"From " or name.endswith((".mbox", ".mbx")):
        return "mbox"
    raise Mistake(f"'{path}' is no mail that can be read", f"name {KINDS}")


def read_mails(paths: Iterable[str]) -> Iterator[RawMail]:
    """Every mail of every path, always in the same order; undecodable ones come as broken."""
    for path in map(Path, paths):
        yield from READERS[kind_of(path)](path)


def _read_one(path: Path) -> Iterator[RawMail]:
    with path.open("rb") as file:
        content = file.read(MAIL_BYTES_MAX + 1)
    yield RawMail(content[:MAIL_BYTES_MAX], broken=len(content) > MAIL_BYTES_MAX)


def _read_folder(path: Path) -> Iterator[RawMail]:
    for file in sorted(path.rglob("*.eml")):
        yield from _read_one(file)


def _read_maildir(path: Path) -> Iterator[RawMail]:
    files = [file for part in ("cur", "new") for file in path.rglob(f"{part}/*") if file.is_file()]
    for file in sorted(files):
        yield from _read_one(file)


def _read_mbox(path: Path) -> Iterator[RawMail]:
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            yield RawMail(box.get_bytes(key))
    finally:
        box.close()


def _read_lines(path: Path) -> Iterator[RawMail]:
    with path.open("rb") as file:
        packed = path.name.lower().endswith(".gz")
        lines = gzip.GzipFile(fileobj=file) if packed else file
        while line := lines.readline(2 * MAIL_BYTES_MAX):
            if line.strip():
                yield _from_line(line)


def _from_line(line: bytes) -> RawMail:
    try:
        told = cast("dict[str, Any]", json.loads(line))
        content = base64.b64decode(told["raw_base64"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        return RawMail(line, broken=True)
    label, subtype = told.get("label"), told.get("subtype")
    return RawMail(content, str(label) if label else None, str(subtype) if subtype else None)


READERS = {
    "one": _read_one,
    "folder": _read_folder,
    "maildir": _read_maildir,
    "mbox": _read_mbox,
    "lines": _read_lines,
}


def rows_of(source: MailSource, counted: Counted | None = None) -> Iterator[MailRow]:
    """The rows of distinct mails; with `arrive_over` they arrive evenly, the last one now.

    The same mail again is a repetition and is left out; another mail under a key that is taken
    is kept under its content's hash. `counted` is told of all.
    """
    seen: dict[str, str] = {}
    count = counted or Counted()
    for mail in read_mails(source.paths):
        row = parse_mail(mail, _arrival(source, len(seen)), source.now)
        content_key = hashlib.sha256(mail.content).hexdigest()
        if row.message_id in seen and seen[row.message_id] != content_key:
            row = row._replace(message_id=content_key)
        if row.message_id in seen:
            count.duplicates += 1
            continue
        seen[row.message_id] = content_key
        count.mails += 1
        count.broken += row.broken
        yield row


def _arrival(source: MailSource, position: int) -> datetime | None:
    if source.arrive_over is None:
        return None
    left = max(source.total - position - 1, 0) / max(source.total, 1)
    return source.now - source.arrive_over * left


@step
def count_mails(source: MailSource) -> Counted:
    """Read everything once: how many mails there are to spread, and how many are broken."""
    counted = Counted()
    try:
        for _ in rows_of(source, counted):
            continue
    except (gzip.BadGzipFile, EOFError, mailbox.Error) as error:
        raise Mistake(f"the mails could not be read: {error}", f"name {KINDS}") from error
    if not counted.mails:
        raise Mistake(f"no mail in {', '.join(source.paths)}", f"name {KINDS}")
    return counted


@step
def write_search(sandbox: Sandbox, prefix: str, source: MailSource) -> int:
    """Write the mails into one index a month, `prefix-YYYY.MM`; the same mail is replaced."""
    ready: set[str] = set()
    written = 0
    for lot, batch in _batches(rows_of(source)):
        months = _by_month(prefix, batch)
        for name in months.keys() - ready:
            ensure_dataset(sandbox, name)
            ready.add(name)
        # An earlier import may have put the same mail into another month.
        sandbox.remove(mails_in(f"{prefix}-*"), lot, _keys(batch))
        written += sum(sandbox.append(name, lot, _records(rows)) for name, rows in months.items())
    return written


@step
def write_warehouse(sandbox: Sandbox, table: str, source: MailSource) -> int:
    """Write the mails into one table; the same mail is replaced."""
    ensure_dataset(sandbox, table)
    written = 0
    for lot, batch in _batches(rows_of(source)):
        sandbox.remove(mails_in(table), lot, _keys(batch))
        written += sandbox.append(table, lot, _records(batch))
    return written


def ensure_dataset(sandbox: Sandbox, name: str) -> None:
    """Create the dataset with the fields of a mail, or check that the one there has them."""
    sandbox.block.require_sandbox("import into", name)
    there = fields_there(sandbox.block, name)
    if not there:
        sandbox.replace(name, MAIL_FIELDS, [])
        return
    missing = sorted(set(MAIL_FIELDS) - set(there))
    if missing:
        raise Mistake(
            f"'{name}' has no field '{missing[0]}'", "import into a dataset of another name"
        )


def fields_there(block: DatasetBlock, name: str) -> dict[str, FieldType]:
    """The fields of a dataset of mails; none where there is no such dataset yet."""
    try:
        return block.fields(mails_in(name))
    except Refused as error:
        if error.status not in (None, 404):
            raise
        return {}


def open_dataset(role: Literal["search", "warehouse"], name: str) -> DatasetBlock:
    """The block of a search or a warehouse of systems.yaml."""
    block = load_system(role, name)
    if not isinstance(block, DatasetBlock):
        raise Mistake(f"{role} '{name}' holds no rows", "name another system")
    return block


def open_sandbox(role: Literal["search", "warehouse"], name: str) -> DatasetBlock:
    """A dataset that may be written to; a Mistake, before a run begins, where it may not."""
    block = open_dataset(role, name)
    if not (block.twin or block.sandbox):
        raise Mistake(
            f"{role} '{name}' is not marked as a sandbox and may not be written to",
            "name a twin, or set 'sandbox: true' for it in systems.yaml",
        )
    return block


def mails_in(name: str) -> Dataset:
    """How the imported mails are read."""
    return Dataset(
        name=name, time_field="received_at", key_field="message_id", fingerprint_field="fingerprint"
    )


def _records(rows: Iterable[MailRow]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]


def _keys(rows: Iterable[MailRow]) -> list[str]:
    return [row.message_id for row in rows]


def _by_month(prefix: str, rows: Iterable[MailRow]) -> dict[str, list[MailRow]]:
    months: dict[str, list[MailRow]] = {}
    for row in rows:
        months.setdefault(f"{prefix}-{row.received_at:%Y.%m}", []).append(row)
    return months


def _batches(rows: Iterator[MailRow]) -> Iterator[tuple[int, list[MailRow]]]:
    lot = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        yield lot, batch
        lot += 1
