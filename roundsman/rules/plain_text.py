"""How words that others wrote are made harmless before they are shown or sent: plain and short."""

from __future__ import annotations

import json
import re
import unicodedata

# Letters that turn the reading direction round, and invisible ones that hide words in words.
_UNSEEN = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# What JSON may hold as it is, and no terminal should be given.
_ESCAPED = re.compile(f"[\x7f-\x9f\u2028\u2029\ud800-\udfff]|{_UNSEEN.pattern}")
_CUT = "... (cut, {count} characters)"


def harmless(text: str) -> str:
    """The text without control characters but line ends, and without letters that nobody sees."""
    if text.isascii() and text.isprintable():
        return text
    plain = _UNSEEN.sub("", _LINE_ENDS.sub("\n", text))
    return "".join(letter for letter in plain if letter in "\n\t" or not _is_control(letter))


def harmless_json(text: str) -> str:
    """JSON text that means the same, with those letters escaped that `harmless` takes away."""
    return text if text.isascii() else _ESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def clean_text(text: str, characters_max: int) -> str:
    """Lines of text without control characters or letters that nobody sees; bounded."""
    # Looking at every letter of what is cut anyway would let a long text take long.
    head = text[: 2 * characters_max]
    kept = harmless(head).strip()
    if len(head) == len(text) and len(kept) <= characters_max:
        return kept
    return _shorten(kept, characters_max, len(text))


def clean_line(text: str, characters_max: int) -> str:
    """The same, as one line."""
    one = " ".join(clean_text(text, 2 * characters_max).split())
    return one if len(one) <= characters_max else _shorten(one, characters_max, len(text))


def cut(text: str, characters_max: int) -> str:
    """The text, or its beginning and how long it was."""
    return text if len(text) <= characters_max else _shorten(text, characters_max, len(text))


def _shorten(text: str, characters_max: int, count: int) -> str:
    note = _CUT.format(count=count)
    return text[: max(0, characters_max - len(note))].rstrip() + note


def _is_control(letter: str) -> bool:
    # Surrogates without a partner (Cs) cannot even be encoded.
    return unicodedata.category(letter) in ("Cc", "Cs")
