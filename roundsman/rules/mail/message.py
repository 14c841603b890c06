"""What a raw mail contains, read once; a broken mail has defects and never raises."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parseaddr
from typing import NamedTuple, cast

from roundsman.rules.mail.markup import Link, read_markup

# The rest of a larger mail is not read: what deceives a reader stands at its beginning.
MAIL_BYTES_MAX = 1_000_000
TEXT_CHARACTERS_MAX = 40_000
MARKUP_CHARACTERS_MAX = 200_000
HEADER_CHARACTERS_MAX = 2_000
HEADER_VALUES_MAX = 20
ADDRESS_CHARACTERS_MAX = 600
PARTS_MAX = 100
LINKS_MAX = 300
# Deep nesting costs the parser's recursion; no honest mail opens this many parts.
BOUNDARIES_MAX = 60
_BARE_LINK = re.compile(r"https?://[^\s<>\"')\]]{1,500}")
_BOUNDARY = re.compile(rb"boundary\s{0,5}=", re.IGNORECASE)
# Dots within an address that the display name breaks still name the sender's domain.
_LAST_ADDRESS = re.compile(r"([^<>\s@\"']{1,200})@([^<>\s@\"']{1,255})")
_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "net", "or", "org"})
INVISIBLE = frozenset(
    (0xAD, 0x34F, 0x61C, 0x180E, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064, 0xFEFF)
    + (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)


class _Fold(dict[int, int]):
    """One folded character for each: case, accents and styled letters fall away."""

    def __missing__(self, code: int) -> int:
        first = unicodedata.normalize("NFKD", chr(code))[:1].casefold()[:1]
        self[code] = folded = ord(first) if first else code
        return folded


_FOLD = _Fold()
_VISIBLE = dict.fromkeys(INVISIBLE)


class Parsed(NamedTuple):
    """A mail as the signals see it; `text` and `subject` are without invisible characters."""

    sender_name: str
    sender: str
    sender_header: str
    domain: str
    reply_to: str
    return_path: str
    recipient: str
    subject: str
    subject_raw: str
    text: str
    text_raw: str
    hidden: str
    links: tuple[Link, ...]
    images: tuple[str, ...]
    forms: tuple[str, ...]
    attachments: tuple[str, ...]
    authentication: str
    headers: dict[str, str]
    defects: tuple[str, ...]

    @property
    def readable(self) -> str:
        """Everything that evidence may quote."""
        parts = [self.sender_header, self.sender_name, self.sender, self.reply_to]
        parts += [self.return_path, self.recipient, self.subject, self.subject_raw, self.text]
        parts += [self.text_raw, self.hidden, self.authentication, *self.headers.values()]
        for link in self.links:
            parts += [link.target, link.label]
        parts += [*self.images, *self.forms, *self.attachments, *self.defects]
        return "\n".join(parts)


def fold(text: str) -> str:
    """The text for comparison, each character in its place."""
    return text.translate(_FOLD)


def organisation(host: str) -> str:
    """The part of a host name that somebody registered, by a rule of thumb."""
    labels = host.lower().strip(".[]> ").split(".")
    short = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS
    return ".".join(labels[-3:] if short else labels[-2:])


def read_message(content: bytes) -> Parsed:
    """Parse once, whatever it is; what cannot be read is a defect with a name."""
    defects: list[str] = []
    if len(content) > MAIL_BYTES_MAX:
        defects.append("larger than what is read")
    content = content[:MAIL_BYTES_MAX]
    if len(_BOUNDARY.findall(content)) > BOUNDARIES_MAX:
        defects.append("too many boundaries")
        content = content.replace(b"boundary", b"ignored_")
    try:
        message = message_from_bytes(content)
    except (ValueError, LookupError, RecursionError, HeaderParseError, AttributeError):
        defects.append("unreadable")
        message = Message()
    return _assemble(message, defects)


def _assemble(message: Message, defects: list[str]) -> Parsed:
    plain, markup, attachments = _bodies(message)
    read = read_markup(markup)
    text_raw = (plain + "\n" + read.text)[:TEXT_CHARACTERS_MAX] if read.text else plain
    bare = [Link(found, "") for found in _BARE_LINK.findall(plain)]
    header = header_text(message, "From")
    name, sender = _sender(header)
    subject = header_text(message, "Subject")
    names = ("Date", "In-Reply-To", "List-Id", "Message-ID", "References", "X-Gmail-Labels")
    return Parsed(
        sender_name=name.translate(_VISIBLE),
        sender=sender,
        sender_header=header,
        domain=sender.rpartition("@")[2],
        reply_to=_sender(header_text(message, "Reply-To"))[1],
        return_path=_sender(header_text(message, "Return-Path"))[1],
        recipient=header_text(message, "To"),
        subject=subject.translate(_VISIBLE),
        subject_raw=subject,
        text=text_raw.translate(_VISIBLE),
        text_raw=text_raw,
        hidden=read.hidden,
        links=tuple((list(read.links) + bare)[:LINKS_MAX]),
        images=read.images,
        forms=read.forms,
        attachments=tuple(attachments),
        authentication=header_text(message, "Authentication-Results"),
        headers={key: header_text(message, key) for key in names},
        defects=tuple(defects),
    )


def header_text(message: Message, name: str) -> str:
    """The decoded values of a header, the first ones and each cut."""
    try:
        # Raw, because the library's own text loses bytes that are plain UTF-8.
        found = [value for key, value in message.raw_items() if key.lower() == name.lower()]
        values = [str(value) for value in found[:HEADER_VALUES_MAX]]
    except (ValueError, LookupError, HeaderParseError, AttributeError):
        return ""
    return " ".join(_decoded(value[:HEADER_CHARACTERS_MAX]) for value in values)


def _decoded(value: str) -> str:
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        parts = [(value, None)]
    texts = [part if isinstance(part, str) else decode(part, name) for part, name in parts]
    joined = "".join(texts).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(joined.replace("\x00", "").split())


def decode(content: bytes, charset: str | None) -> str:
    """The text of bytes, by the first of the given charset and UTF-8 that fits."""
    for name in (charset, "utf-8"):
        try:
            text = content.decode(name or "utf-8")
        except (LookupError, ValueError):
            continue
        return text.encode("utf-8", "replace").decode("utf-8")
    return content.decode("latin-1")


def _sender(header: str) -> tuple[str, str]:
    header = header[:ADDRESS_CHARACTERS_MAX]
    try:
        name, address = parseaddr(header)
    except (ValueError, IndexError, HeaderParseError):
        name, address = "", ""
    found = _LAST_ADDRESS.findall(header)
    if found and (address.count("@") != 1 or not name):
        local, domain = found[-1]
        address = f"{local}@{domain}"
        name = header.rpartition(address)[0].strip(" <\"'") or name
    clean = "".join(address.split()).strip("<>").lower()
    return name, clean if clean in header.lower() else ""


def _walk(message: Message, depth: int = 0) -> Iterator[Message]:
    yield message
    payload: object = message.get_payload()
    if isinstance(payload, list) and depth < BOUNDARIES_MAX:
        # The parser leaves a list of messages; the library's types leave it open.
        parts = cast("list[Message]", payload)
        for part in parts[:PARTS_MAX]:
            yield from _walk(part, depth + 1)


def _bodies(message: Message) -> tuple[str, str, list[str]]:
    plain, markup, attachments = "", "", list[str]()
    for count, part in enumerate(_walk(message)):
        if count >= PARTS_MAX:
            break
        kind, name = part.get_content_type(), _filename(part)
        if name:
            attachments.append(name)
        elif kind.startswith("text/") or (kind.startswith("multipart/") and count == 0):
            text = _payload(part)
            if kind == "text/html" or "<html" in text[:2_000].lower() or "<a href" in text:
                markup = (markup + text)[:MARKUP_CHARACTERS_MAX]
            else:
                plain = (plain + text)[:TEXT_CHARACTERS_MAX]
    return plain, markup, attachments


def _filename(part: Message) -> str:
    try:
        return " ".join((part.get_filename() or "").split())[:200].encode(errors="replace").decode()
    except (ValueError, LookupError, TypeError, HeaderParseError):
        return ""


def _payload(part: Message) -> str:
    try:
        content = part.get_payload(decode=True)
        charset = part.get_content_charset()
    except (ValueError, LookupError, TypeError, AssertionError, HeaderParseError):
        return ""
    return decode(content, charset) if isinstance(content, bytes) else ""
