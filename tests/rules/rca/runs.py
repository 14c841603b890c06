"""Telemetry of made-up runs, as an exporter would send it."""

from __future__ import annotations

from typing import Any

from roundsman.rules.rca.records import AgentRun

Part = dict[str, Any]
DENIED = {"status": "failure", "error_class": "Forbidden", "status_code": 403}
TIMED_OUT = {"status": "failure", "error_class": "ReadTimeout", "error_message": "Read timed out."}


def step(number: int, said: str = "I look up the order now.", **more: Any) -> Part:
    return {
        "step_id": f"s{number}",
        "name": "turn",
        "agent": "clerk",
        "kind": "agent",
        "output_summary": said,
        **more,
    }


def call(number: int, **more: Any) -> Part:
    return {
        "call_id": f"c{number}",
        "step_id": f"s{number}",
        "tool_name": "find_order",
        "args_json": {"order": number},
        "result_summary": f"order {number} was sent on Monday",
        **more,
    }


def guard(number: int, kind: str, message: str, **more: Any) -> Part:
    return {
        "event_id": f"g{number}",
        "type": kind,
        "message": message,
        "step_id": f"s{number}",
        "call_id": None,
        **more,
    }


def run_of(*parts: Part, **more: Any) -> AgentRun:
    """A failed run of these steps, calls and guardrail events, told apart by their ids."""
    told = {"run_id": "run-7", "agent_name": "shop", "status": "failure", **more}
    for name, key in (("steps", "step_id"), ("tool_calls", "call_id"), ("events", "event_id")):
        own = [part for part in parts if next(iter(part)) == key]
        told["guardrail_events" if name == "events" else name] = own
    return AgentRun.model_validate(told)


def sufficient() -> AgentRun:
    """The first workflow of B: a call refused for its arguments, and a guardrail that saw it."""
    refused = call(
        1,
        call_id="call-001",
        tool_name="order_lookup_api",
        status="failure",
        result_summary=None,
        error_class="ValidationError",
        error_message="Missing required field: 'buyer_id' in the request body",
        status_code=400,
    )
    seen = guard(
        1,
        "schema_validation",
        "the arguments do not fit the schema of order_lookup_api",
        event_id="guard-001",
        call_id="call-001",
    )
    return run_of(
        step(1, "Looking up the order", status="failure"),
        refused,
        seen,
        run_id="run-001-sufficient",
        error_type="ToolError",
        error_message="order_lookup_api failed",
    )


def insufficient(**more: Any) -> AgentRun:
    """The second workflow of B: nothing but that it failed."""
    told = {"error_type": None, "error_message": None, **more}
    return run_of(step(1, "Processing the request"), run_id="run-002-insufficient", **told)
