"""What the HTML of a mail shows, hides and links to."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

LINKS_MAX = 300
TEXT_CHARACTERS_MAX = 40_000
HIDDEN_CHARACTERS_MAX = 5_000
_HIDING = re.compile(
    r"display\s{0,3}:\s{0,3}none|visibility\s{0,3}:\s{0,3}hidden"
    r"|font-size\s{0,3}:\s{0,3}[01](?:px|pt|em|%)?\s{0,3}(?:;|!|$)|opacity\s{0,3}:\s{0,3}0\s{0,3}(?:;|$)",
    re.IGNORECASE,
)
_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"})
_BLOCK = frozenset({"br", "div", "h1", "h2", "h3", "li", "p", "table", "td", "tr"})
DEPTH_MAX = 500


class Link(NamedTuple):
    """Where a link leads and what it is called."""

    target: str
    label: str


class Markup(NamedTuple):
    """What was found in the HTML."""

    text: str
    hidden: str
    links: tuple[Link, ...]
    images: tuple[str, ...]
    forms: tuple[str, ...]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shown: list[str] = []
        self.hidden: list[str] = []
        self.links: list[Link] = []
        self.images: list[str] = []
        self.forms: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._target = ""
        self._label: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: (value or "")[:2_000] for name, value in attrs[:50]}
        if tag in _BLOCK:
            self.shown.append(" ")
        if tag in {"a", "area"} and given.get("href"):
            self._close_link()
            self._target = " ".join(given["href"].split())
        elif tag == "img" and len(self.images) < LINKS_MAX:
            self.images.append(given.get("src", "")[:500])
        elif tag == "form" or (tag == "input" and given.get("type") == "password"):
            self.forms.append((given.get("action") or tag)[:500])
        if tag not in _VOID and len(self._open) < DEPTH_MAX:
            inherited = bool(self._open and self._open[-1][1])
            self._open.append((tag, inherited or bool(_HIDING.search(given.get("style", "")))))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._close_link()
        # Only the innermost few: closing what was never opened must not cost a whole search.
        for back in range(1, min(len(self._open), 8) + 1):
            if self._open[-back][0] == tag:
                del self._open[-back:]
                return

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ("", False)
        if inside[0] in {"style", "script", "title"}:
            return
        (self.hidden if inside[1] else self.shown).append(data)
        if self._target:
            self._label.append(data)

    def _close_link(self) -> None:
        if self._target and len(self.links) < LINKS_MAX:
            self.links.append(Link(self._target, " ".join("".join(self._label).split())[:300]))
        self._target, self._label = "", []

    def found(self) -> Markup:
        self._close_link()
        text = " ".join("".join(self.shown).split())[:TEXT_CHARACTERS_MAX]
        hidden = " ".join("".join(self.hidden).split())[:HIDDEN_CHARACTERS_MAX]
        return Markup(text, hidden, tuple(self.links), tuple(self.images), tuple(self.forms))


def read_markup(markup: str) -> Markup:
    """Read what can be read; what stands before a fault that stops the parser is kept."""
    reader = _Reader()
    try:
        reader.feed(markup)
        reader.close()
    except (AssertionError, ValueError, IndexError):
        reader.forms.append("")
    return reader.found()
