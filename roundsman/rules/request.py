"""How a request for an action reads: what exactly is asked for, and under which conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast


def payload_words(payload: Mapping[str, Any]) -> str:
    """What will be done, exactly: each argument as JSON has it; "" where there is none."""
    return ", ".join(f"{name} {_exact(value)}" for name, value in payload.items())


def precondition_words(precondition: Mapping[str, Any]) -> list[str]:
    """Under which conditions it is still done when the answer comes."""
    return [
        f"only while {name.replace('_', ' ')} is {'none' if value is None else _exact(value)}"
        for name, value in precondition.items()
    ]


def wanted_as(action_id: str, artifacts: Mapping[str, Any]) -> list[str]:
    """What the run that proposed an action had seen that it wants it for, in its own words."""
    told = artifacts.get("remediation")
    remediation = cast("dict[str, Any]", told) if isinstance(told, dict) else dict[str, Any]()
    if remediation.get("action_id") != action_id:
        return []
    return [str(reason["quote"]) for reason in remediation.get("reasons") or ()]


def _exact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
