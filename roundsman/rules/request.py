"""How a request for an action reads: what exactly is asked for, and under which conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def payload_words(payload: Mapping[str, Any]) -> str:
    """What will be done, exactly: each argument as JSON has it; "" where there is none."""
    return ", ".join(f"{name} {_exact(value)}" for name, value in payload.items())


def precondition_words(precondition: Mapping[str, Any]) -> list[str]:
    """Under which conditions it is still done when the answer comes."""
    return [
        f"only while {name.replace('_', ' ')} is {'none' if value is None else _exact(value)}"
        for name, value in precondition.items()
    ]


def _exact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
