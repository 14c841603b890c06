"""What the mail wants of its reader."""

from __future__ import annotations

import re
from collections.abc import Callable

from roundsman.rules.mail.evidence import find, quote, said
from roundsman.rules.mail.message import Parsed, fold
from roundsman.rules.mail.phrases import KEYWORDS, PHRASES

MANY_KEYWORDS = 3


def _pattern(rows: str) -> re.Pattern[str]:
    phrases = {" ".join(row.split()) for line in rows.split("\n") for row in line.split("|")}
    words = [
        re.escape(one.rstrip("*")).replace(r"\ ", r"\W{1,3}") + ("" if one[-1] == "*" else r"\b")
        for one in sorted(phrases - {""}, key=len, reverse=True)
    ]
    return re.compile(rf"\b(?:{'|'.join(words)})")


_PATTERNS = {intent: _pattern(rows) for intent, rows in PHRASES.items()}
_KEYWORD = re.compile("|".join(rf"\b{word}" for word in KEYWORDS))
_MONEY = re.compile(
    r"(?:[$€£]|\busd|\beur|\br\$)\s?\d[\d.,]{2,20}|\d[\d.,]{2,20}\s?(?:[$€£]|usd\b|eur\b|euro\b)"
)
_BIG = re.compile(r"\d{1,3}(?:[.,]\d{3}){2,5}")
_SPACED = re.compile(r"\b(?:[a-z][._*\- ]){4,20}[a-z]\b")


def _intent(name: str) -> Callable[[Parsed], str]:
    def signal(mail: Parsed) -> str:
        return find(_PATTERNS[name], mail.text)

    signal.__name__ = name
    return signal


def _intent_of_subject(name: str) -> Callable[[Parsed], str]:
    def signal(mail: Parsed) -> str:
        return find(_PATTERNS[name], mail.subject)

    signal.__name__ = f"subject_{name}"
    return signal


def says_keywords(mail: Parsed) -> str:
    """At least three of the suspicious keywords of the feature list."""
    found = {match[0] for match in _KEYWORD.finditer(fold(said(mail)))}
    return find(_KEYWORD, said(mail)) if len(found) >= MANY_KEYWORDS else ""


def verify_with_account(mail: Parsed) -> str:
    """The feature list's combination: "verify" and "account"."""
    text = fold(said(mail))
    return find(re.compile(r"\bverify"), said(mail)) if "account" in text else ""


def threat_with_haste(mail: Parsed) -> str:
    """The account is threatened and time is short."""
    hurried = find(_PATTERNS["hurries"], said(mail))
    return find(_PATTERNS["threatens_the_account"], said(mail)) if hurried else ""


def names_money(mail: Parsed) -> str:
    """An amount of money."""
    return find(_MONEY, said(mail))


def names_a_fortune(mail: Parsed) -> str:
    """An amount of a million or more."""
    return find(_BIG, said(mail))


def spaces_letters(mail: Parsed) -> str:
    """Words are drawn out to pass a filter."""
    return find(_SPACED, said(mail)[:5_000])


def subject_shouts(mail: Parsed) -> str:
    """The subject is in capitals or ends in exclamation."""
    letters = [letter for letter in mail.subject if letter.isalpha()]
    capital = sum(letter.isupper() for letter in letters)
    loud = (len(letters) > 8 and capital > 0.7 * len(letters)) or "!" in mail.subject
    return quote(mail.subject) if loud else ""


def text_is_tiny(mail: Parsed) -> str:
    """Hardly any text, and a link."""
    few = 0 < len(mail.text.strip()) < 150 and bool(mail.links)
    return quote(mail.text) if few else ""


SIGNALS = (
    *(_intent(name) for name in PHRASES),
    *(_intent_of_subject(name) for name in PHRASES),
    says_keywords,
    verify_with_account,
    threat_with_haste,
    names_money,
    names_a_fortune,
    spaces_letters,
    subject_shouts,
    text_is_tiny,
)
