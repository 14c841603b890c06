"""Helpers by which a signal quotes the mail."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from roundsman.rules.mail.markup import Link
from roundsman.rules.mail.message import Parsed, fold

QUOTE_CHARACTERS_MAX = 120
WORD = re.compile(r"[a-z0-9]+")


def quote(text: str) -> str:
    """The beginning of the text, short enough for a report."""
    return text.strip()[:QUOTE_CHARACTERS_MAX].strip()


def find(pattern: re.Pattern[str], text: str) -> str:
    """What the pattern matches in the folded text, quoted as the mail has it."""
    found = pattern.search(fold(text))
    return quote(text[found.start() : found.end()]) if found else ""


def host_of(link: Link) -> str:
    """The link's host, or nothing."""
    if not link.target.lower().startswith(("http://", "https://", "//")):
        return ""
    try:
        return (urlsplit(link.target).hostname or "").rstrip(".")
    except ValueError:
        return ""


def first_link(mail: Parsed, hosts: frozenset[str]) -> str:
    """The first link to one of the hosts."""
    return next((quote(link.target) for link in mail.links if host_of(link) in hosts), "")


def said(mail: Parsed) -> str:
    """Subject and text: where phrases are looked for."""
    return f"{mail.subject}\n{mail.text}"
