"""What is attached."""

from __future__ import annotations

import re

from roundsman.rules.mail.evidence import quote
from roundsman.rules.mail.message import Parsed

_PROGRAM = re.compile(
    r"\.(?:exe|scr|pif|com|bat|cmd|vbs|vbe|js|jse|wsf|hta|lnk|jar|msi|ps1|iso|img)$"
)
_PAGE = re.compile(r"\.(?:s?html?|xhtml|svg|mht)$")
_PACKED = re.compile(r"\.(?:zip|rar|7z|gz|tar|ace|cab)$")
_MACROS = re.compile(r"\.(?:docm|xlsm|pptm|xlam|dotm|one)$")
_DOUBLE = re.compile(r"\.(?:pdf|docx?|xlsx?|jpe?g|png|txt)\.[a-z0-9]{2,4}$")
_PAPER = re.compile(r"\.(?:pdf|docx?|xlsx?|rtf)$")


def _named(mail: Parsed, pattern: re.Pattern[str]) -> str:
    found = (name for name in mail.attachments if pattern.search(name.lower()))
    return next((quote(name) for name in found), "")


def attached_program(mail: Parsed) -> str:
    """A file that runs when opened."""
    return _named(mail, _PROGRAM)


def attached_page(mail: Parsed) -> str:
    """A web page, which opens outside of the mail's protection."""
    return _named(mail, _PAGE)


def attached_archive(mail: Parsed) -> str:
    """An archive, whose content is not seen."""
    return _named(mail, _PACKED)


def attached_macros(mail: Parsed) -> str:
    """An office file with programs in it."""
    return _named(mail, _MACROS)


def attached_with_two_endings(mail: Parsed) -> str:
    """The name hides its real ending."""
    return _named(mail, _DOUBLE)


def attached_paper(mail: Parsed) -> str:
    """A document with hardly any text beside it."""
    return _named(mail, _PAPER) if len(mail.text) < 1_000 else ""


SIGNALS = (
    attached_program,
    attached_page,
    attached_archive,
    attached_macros,
    attached_with_two_endings,
    attached_paper,
)
