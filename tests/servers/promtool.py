"""Prometheus' own checks of its configuration and rules; nothing is started."""

from __future__ import annotations

import shutil


def available() -> bool:
    """Whether the program is on this machine."""
    return shutil.which("promtool") is not None
