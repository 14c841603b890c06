"""What of a raw mail goes into search and warehouse, however broken the mail is."""

from __future__ import annotations

import hashlib
import re
import zlib
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import NamedTuple

from roundsman.rules.windows import FieldType

# Elasticsearch refuses longer keywords and nobody reads longer subjects.
KEY_CHARACTERS_MAX = 512
TEXT_CHARACTERS_MAX = 1_000
_ADDRESS = re.compile(r"[^<>\s@]+@[^<>\s]+")
_BRACKETED = re.compile(r"<([^<>\s@]+@[^<>\s]+)>")

MAIL_FIELDS: dict[str, FieldType] = {
    "message_id": "keyword",
    "received_at": "timestamp",
    "date_header": "timestamp",
    "sender": "keyword",
    "sender_domain": "keyword",
    "recipient": "keyword",
    "subject": "text",
    "size_bytes": "integer",
    "fingerprint": "integer",
    "broken": "boolean",
    "label": "keyword",
    "subtype": "keyword",
}


class MailRow(NamedTuple):
    """One mail in both systems; the fields are those of MAIL_FIELDS, in their order."""

    message_id: str
    received_at: datetime
    date_header: datetime | None
    sender: str
    sender_domain: str
    recipient: str
    subject: str
    size_bytes: int
    fingerprint: int
    broken: bool
    label: str | None
    subtype: str | None


class RawMail(NamedTuple):
    """A mail as it was found; `broken` when even its bytes could not be had."""

    content: bytes
    label: str | None = None
    subtype: str | None = None
    broken: bool = False


def fingerprint_of(body: bytes) -> int:
    """A 32-bit CRC: sums over two million mails a bucket stay below 2**53."""
    return zlib.crc32(body)


def parse_mail(mail: RawMail, received_at: datetime | None, fallback: datetime) -> MailRow:
    """The mail's row; what cannot be read is empty, and a mail without headers is broken.

    `received_at` overrules the mail's own date; `fallback` stands where neither is known.
    """
    head, body = _split(mail.content)
    headers = BytesHeaderParser().parsebytes(head)
    sender = _address(headers, "From")
    date = _date(headers)
    return MailRow(
        message_id=mail_key(headers, mail.content),
        received_at=received_at or date or fallback,
        date_header=date,
        sender=sender,
        sender_domain=sender.rpartition("@")[2] if "@" in sender else "",
        recipient=_address(headers, "To"),
        subject=_text(headers, "Subject"),
        size_bytes=len(mail.content),
        fingerprint=fingerprint_of(body),
        broken=mail.broken or not headers.keys(),
        label=mail.label,
        subtype=mail.subtype,
    )


def mail_key(headers: Message, content: bytes) -> str:
    """A key that stays the same at every import: the Message-ID, else the content's sha256."""
    given = _text(headers, "Message-ID").strip("<> ")
    if given and len(given) <= KEY_CHARACTERS_MAX and " " not in given:
        return given
    return hashlib.sha256(content).hexdigest()


def _split(content: bytes) -> tuple[bytes, bytes]:
    cuts = [(content.find(gap), len(gap)) for gap in (b"\r\n\r\n", b"\n\n")]
    found = [cut for cut in cuts if cut[0] >= 0]
    if not found:
        return content, b""
    at, length = min(found)
    return content[: at + length], content[at + length :]


def _text(headers: Message, name: str) -> str:
    """The header's decoded text; unknown charsets and broken encodings become visible marks."""
    raw = headers.get(name)
    if raw is None:
        return ""
    try:
        parts = decode_header(raw)
    except (HeaderParseError, ValueError):
        parts = [(str(raw), None)]
    joined = "".join(_decode(part, charset) for part, charset in parts)
    clean = " ".join(joined.replace("\x00", "").split())
    return clean.encode("utf-8", "replace").decode("utf-8")[:TEXT_CHARACTERS_MAX]


def _decode(part: str | bytes, charset: str | None) -> str:
    if isinstance(part, str):
        return part
    for name in (charset, "utf-8"):
        try:
            return part.decode(name or "utf-8")
        except (LookupError, ValueError):
            continue
    return part.decode("latin-1")


def _address(headers: Message, name: str) -> str:
    """The first address; senders of phishing leave commas in names, so names alone do not count."""
    text = _text(headers, name)
    try:
        found = [address for _, address in getaddresses([text]) if _ADDRESS.fullmatch(address)]
    except (ValueError, IndexError):
        found = []
    found = found or _BRACKETED.findall(text)
    return found[0].lower()[:KEY_CHARACTERS_MAX] if found else ""


def _date(headers: Message) -> datetime | None:
    try:
        date = parsedate_to_datetime(_text(headers, "Date"))
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
