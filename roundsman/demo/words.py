"""How the demo speaks: plain lines, at once."""

from __future__ import annotations

import sys


def say(words: str = "", end: str = "\n") -> None:
    """Print a line, or the beginning of one, at once."""
    sys.stdout.write(words + end)
    sys.stdout.flush()
