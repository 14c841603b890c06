"""What an agent's run is, as its telemetry tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# F15: root-cause analysis needs whole texts.
TEXT_CHARACTERS_MAX = 1_048_576
NAME_CHARACTERS_MAX = 1_000
STEPS_MAX = 10_000
CALLS_MAX = 50_000
GUARDS_MAX = 10_000
SUCCESS = "success"
# By this id a report cites what the telemetry tells of the run as a whole.
RUN = "run"


def _in_utc(at: datetime) -> datetime:
    """Times without a zone are read as UTC, so that any two can be compared."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _or_empty(value: Any) -> Any:
    return "" if value is None else value


def _or_none_of(value: Any) -> Any:
    return () if value is None else value


def _or_nothing(value: Any) -> Any:
    return {} if value is None else value


def _or_zero(value: Any) -> Any:
    return 0 if value is None else value


# F18: all of these may be null, for real telemetry often lacks them.
Time = Annotated[datetime, AfterValidator(_in_utc)]
Name = Annotated[str, BeforeValidator(_or_empty), Field(max_length=NAME_CHARACTERS_MAX)]
Text = Annotated[str, BeforeValidator(_or_empty), Field(max_length=TEXT_CHARACTERS_MAX)]
Count = Annotated[int, BeforeValidator(_or_zero), Field(ge=0)]
Id = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
Facts = Annotated[dict[str, Any], BeforeValidator(_or_nothing)]


class _Record(BaseModel):
    # Exporters send more than is asked; what no rule reads is left out.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Step(_Record):
    """One turn of an agent, of a user or of what executes its calls (`kind`)."""

    step_id: Id
    name: Name = ""
    agent: Name = ""
    kind: Name = ""
    status: Name = SUCCESS
    started_at: Time | None = None
    ended_at: Time | None = None
    input_summary: Text = ""
    output_summary: Text = ""
    retries: Count = 0
    latency_ms: float | None = None


class ToolCall(_Record):
    """One call of a tool; `result_step_id` is the step that holds the answer, if it is one."""

    call_id: Id
    step_id: Name = ""
    tool_name: Name = ""
    status: Name = SUCCESS
    args_json: Facts = {}
    args_hash: Name = ""
    result_summary: Text = ""
    result_step_id: Name = ""
    error_class: Name = ""
    error_message: Text = ""
    status_code: int | None = None
    retries: Count = 0
    latency_ms: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the telemetry itself calls it failed; what stands in a result does not count."""
        told = self.status.lower() not in ("", SUCCESS, "ok", "no_data")
        return told or bool(self.error_class or self.error_message) or self.http >= 400

    @property
    def http(self) -> int:
        """The answer's status code, 0 where there is none."""
        return self.status_code or 0


class GuardrailEvent(_Record):
    """A check of the agent's own that said no."""

    event_id: Id
    type: Name = "other"
    message: Text = ""
    step_id: Name = ""
    call_id: Name = ""
    created_at: Time | None = None


class Cost(_Record):
    """What the run used."""

    tokens_prompt: Count = 0
    tokens_completion: Count = 0
    total_cost_usd: float | None = None


class AgentRun(_Record):
    """One run with all that belongs to it, in the order in which it was sent.

    `metadata` may hold `task`, `prompt_version` and `recent_runs`, what the sender knows of earlier
    runs of the same agent.
    """

    run_id: Id
    agent_name: Name = ""
    agent_version: Name = ""
    model: Name = ""
    environment: Name = ""
    started_at: Time | None = None
    ended_at: Time | None = None
    status: Name = ""
    error_type: Name = ""
    error_message: Text = ""
    trace_id: Name = ""
    correlation_ids: Annotated[tuple[Name, ...], BeforeValidator(_or_none_of)] = ()
    steps: Annotated[
        tuple[Step, ...], BeforeValidator(_or_none_of), Field(max_length=STEPS_MAX)
    ] = ()
    tool_calls: Annotated[
        tuple[ToolCall, ...], BeforeValidator(_or_none_of), Field(max_length=CALLS_MAX)
    ] = ()
    guardrail_events: Annotated[
        tuple[GuardrailEvent, ...], BeforeValidator(_or_none_of), Field(max_length=GUARDS_MAX)
    ] = ()
    cost: Annotated[Cost, BeforeValidator(_or_nothing)] = Cost()
    metadata: Facts = {}

    @property
    def succeeded(self) -> bool:
        """Whether the telemetry calls the run a success."""
        return self.status.lower() in (SUCCESS, "ok")

    @property
    def task(self) -> str:
        """What was asked of the agent, where the sender tells it or a user's first words do."""
        told = self.metadata.get("task")
        if isinstance(told, str) and told:
            return told
        asked = (step.output_summary for step in self.steps if step.kind == "user")
        return next(asked, self.steps[0].input_summary if self.steps else "")
