"""Text that the reader does not see, or does not see as what it is."""

from __future__ import annotations

import re
import unicodedata

from roundsman.rules.mail.evidence import quote
from roundsman.rules.mail.message import INVISIBLE, Parsed

PREVIEW_CHARACTERS = 200
_WORD = re.compile(r"\w{3,40}")
_UNREADABLE = re.compile(r"\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u0080")


def _around(text: str, at: int) -> str:
    return quote(text[max(0, at - 20) : at + 20])


def invisible_in_subject(mail: Parsed) -> str:
    """Invisible characters break the words of subject or name."""
    for text in (mail.subject_raw, mail.sender_header):
        found = next((at for at, one in enumerate(text) if ord(one) in INVISIBLE), None)
        if found is not None:
            return _around(text, found)
    return ""


def invisible_in_text(mail: Parsed) -> str:
    """Invisible characters stand inside words."""
    text = mail.text_raw[:20_000]
    inside = re.search(r"\w[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]+\w", text)
    return _around(text, inside.start()) if inside else ""


def styled_letters(mail: Parsed) -> str:
    """Mathematical or full-width letters stand for plain ones."""
    for part in (mail.subject_raw, mail.sender_header, mail.text_raw[:5_000]):
        found = re.search(r"[\U0001d400-\U0001d7ff\uff21-\uff5a]", part)
        if found:
            return _around(part, found.start())
    return ""


def scripts_mixed(mail: Parsed) -> str:
    """One word has letters of two scripts."""
    for part in (mail.sender_name, mail.subject, mail.text[:5_000]):
        if part.isascii():
            continue
        for word in _WORD.findall(part):
            scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word if one.isalpha()}
            if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN"}:
                return quote(word)
    return ""


def hidden_text(mail: Parsed) -> str:
    """More hidden text than a preview line needs."""
    return quote(mail.hidden) if len(mail.hidden) > PREVIEW_CHARACTERS else ""


def picture_signs(mail: Parsed) -> str:
    """Pictograms in the subject."""
    found = re.search(r"[\u2600-\u27bf\U0001f300-\U0001faff]", mail.subject_raw)
    return quote(mail.subject_raw) if found else ""


def bytes_without_charset(mail: Parsed) -> str:
    """Subject or name hold bytes of no declared charset."""
    both = (mail.subject_raw, mail.sender_header)
    return next((quote(text) for text in both if _UNREADABLE.search(text)), "")


SIGNALS = (
    invisible_in_subject,
    invisible_in_text,
    styled_letters,
    scripts_mixed,
    hidden_text,
    picture_signs,
    bytes_without_charset,
)
