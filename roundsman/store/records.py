"""What is written into the ledger and what is read from it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

RunStatus = Literal[
    "queued",
    "running",
    "success",
    "failed",
    "crashed",
    "cancelled",
    "timed_out",
    "refused",
]
ClosedStatus = Literal["success", "failed", "crashed", "cancelled", "timed_out"]
StepStatus = Literal["running", "success", "failed", "skipped", "crashed", "cancelled", "timed_out"]
BudgetMode = Literal["warn", "enforce"]
Verdict = Literal["healthy", "degraded", "failed", "unknown"]
Json = dict[str, Any]

HISTORY_ROWS_MAX = 1000
HISTORY_ROWS_DEFAULT = 50
KEY_CHARACTERS_MAX = 200


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Holder(NamedTuple):
    """The process that holds a run or a file.

    `host` names machine, boot and process namespace; `started` is the process's start,
    so that a reused process id is told apart.
    """

    host: str
    pid: int
    started: str


class AskedBy(Record):
    """Through which door a run was asked for, and by whom."""

    kind: Literal["cli", "api", "schedule", "trigger", "ui", "worker"]
    name: str = ""


class Ask(Record):
    """What a door wants to have run; a `key` is spent on one run of its org only."""

    agent_type: str
    round: str | None = None
    objective: str = ""
    params: Json = {}
    plan: list[str] = []
    dry_run: bool = True
    asked_by: AskedBy
    user_email: str | None = None
    parent_run_id: str | None = None
    retry_of: str | None = None
    action_id: str | None = None
    key: str | None = Field(default=None, min_length=1, max_length=KEY_CHARACTERS_MAX)
    code_version: str = ""
    budget_ms: int | None = Field(default=None, ge=0)
    budget_ops: int | None = Field(default=None, ge=0)
    budget_mode: BudgetMode = "warn"


class Opening(Ask):
    """What an attempt really runs with; `systems` maps a block's name to its configuration hash."""

    systems: dict[str, str] = {}


class StepBegin(Record):
    """A step is about to start; `at` is None where the ledger's own time is good enough."""

    index: int = Field(ge=0)
    name: str
    tries: int = 1
    at: datetime | None = None


class StepEnd(Record):
    """A step that was begun has ended, `seconds` after it began."""

    index: int = Field(ge=0)
    status: Literal["success", "failed", "cancelled", "timed_out"]
    error: Json | None = None
    seconds: float | None = None


class StepSkip(Record):
    """A planned step that is not run, and why."""

    index: int = Field(ge=0)
    name: str
    reason: str


class Note(Record):
    """Any other event of a run.

    `step_retried` with `index` and `tries` raises the step's count of tries;
    `artifact_intended` and `artifact_written` carry `path`, `bytes` and `sha256`.
    """

    kind: str
    payload: Json = {}


class Closing(Record):
    """How a run ended; `ops` None: the lease's own count; `counted`: name, labels, value each."""

    status: ClosedStatus
    verdict: Verdict | None = None
    artifacts: Json = {}
    error: Json | None = None
    ops: int | None = None
    budget_status: Json | None = None
    duration_seconds: float | None = None
    counted: list[Json] = []


class Spent(NamedTuple):
    """The answer to one operation: `ok` is False only where an enforced budget is used up."""

    ok: bool
    ops_used: int
    ops_limit: int | None
    cancel_requested: bool = False


class Swept(NamedTuple):
    """A run that was found dead and closed."""

    org: str
    run_id: str
    attempt: int
    agent_type: str
    last_step: str | None
    reason: str


class Unsettled(NamedTuple):
    """A closed run whose state in Prefect may still say otherwise."""

    org_id: str
    run_id: str
    status: ClosedStatus
    error_message: str | None


class Event(NamedTuple):
    """One thing that happened, before it is chained; `at` None takes the database's time."""

    run_id: str
    attempt: int
    kind: str
    payload: Json
    at: str | None = None


class EventRow(NamedTuple):
    """One thing that happened, as the chain has it; an erased payload is None."""

    seq: int
    run_id: str
    attempt: int
    kind: str
    at: datetime
    payload: Json | None


class AuditRow(Record):
    """One run, as `agent_audit_log` has it; `id` is the number of the run's first event."""

    id: int
    org_id: str
    run_id: str
    agent_type: str
    round: str | None
    objective: str
    status: RunStatus
    verdict: Verdict | None
    dry_run: bool
    plan: list[str]
    params: Json
    artifacts: Json
    error: Json | None
    error_message: str | None
    user_email: str | None
    asked_by: AskedBy | None
    parent_run_id: str | None
    retry_of: str | None
    action_id: str | None
    idempotency_key: str | None = None
    code_version: str
    systems: dict[str, str]
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    attempt: int
    ops_count: int | None
    budget: Json


class StepRow(Record):
    """One step of one attempt."""

    run_id: str
    attempt: int
    index: int
    name: str
    tries: int
    status: StepStatus
    began_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    error: Json | None


class ArtifactRow(Record):
    """One file that a run wanted to write, and whether it did."""

    run_id: str
    path: str
    state: Literal["intended", "written"]
    bytes: int | None
    sha256: str | None
    intended_at: datetime | None
    written_at: datetime | None


class HistoryFilter(Record):
    """Which runs to list; both dates are whole UTC days and belong to the range."""

    agent_type: str | None = None
    status: RunStatus | tuple[RunStatus, ...] | None = None
    user_email: str | None = None
    start_date: date | None = None
    end_date: date | None = None
    limit: int = Field(default=HISTORY_ROWS_DEFAULT, ge=1, le=HISTORY_ROWS_MAX)
    offset: int = Field(default=0, ge=0)


class Head(NamedTuple):
    """The newest event of an org: its number, its hash, its time."""

    seq: int
    hash: str
    at: str


class Verified(Record):
    """What was checked of one org's ledger.

    `first_bad` is the sentence of the first problem; `problems` holds the first ones,
    `cannot_see` what this check is blind to.
    """

    ok: bool
    org: str
    events: int
    head: Head | None
    first_bad: str | None
    problems: list[str]
    cannot_see: list[str]
    erased: int = 0


class SchemaStatus(NamedTuple):
    """Which schema a store has and which one this code wants."""

    current: str | None
    head: str
    place: str

    @property
    def is_current(self) -> bool:
        """Whether nothing has to be migrated."""
        return self.current == self.head


class Proposal(Record):
    """An effect that a run wants, and what policy said of it.

    `limits` may hold `per_window` and `window_seconds`; `facts` are told with the event.
    """

    agent: str
    round: str | None = None
    action: str
    target: str
    payload: Json
    payload_sha256: str
    occasion: Json
    precondition: Json = {}
    context: Json = {}
    limits: Json = {}
    lost_answer: Literal["repeatable", "askable", "once"]
    undoes: str | None = None
    verdict: Literal["allow", "ask", "deny"]
    policy_rule_id: str
    policy_hash: str
    reason: str
    requested_by: str
    approvers: list[str] = []
    four_eyes: bool = False
    expires_minutes: int = Field(default=1440, ge=1)
    facts: Json = {}


class Claim(Record):
    """Which permit is used with which payload."""

    action_id: str
    payload_sha256: str


class Kept(Record):
    """What would undo an effect that is about to take place."""

    action_id: str
    undo: Json


class Settlement(Record):
    """What became of a claimed permit.

    `allowed`: nothing left this machine; `expired`: its reason was past.
    """

    action_id: str
    state: Literal["done", "failed", "unknown", "allowed", "expired"]
    said: str = ""
    result: Json | None = None


class Judged(Record):
    """Whether an effect helped; None: that could not be seen."""

    action_id: str
    helped: bool | None
    said: str = ""


class ActionRow(Record):
    """One permit, as `actions` has it."""

    action_id: str
    run_id: str
    agent: str
    round: str | None
    action: str
    target: str
    payload: Json
    payload_sha256: str
    occasion: Json
    precondition: Json
    context: Json
    limits: Json
    lost_answer: Literal["repeatable", "askable", "once"]
    undoes: str | None
    proposed_at: datetime
    state: Literal[
        "waiting", "allowed", "attempting", "done", "failed", "unknown", "denied", "expired"
    ]
    policy_rule_id: str
    policy_hash: str
    reason: str
    requested_by: str
    approvers: list[str]
    four_eyes: bool
    expires_at: datetime | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    review_note: str | None
    nonce: str | None
    nonce_used: bool
    signature: str | None
    acting_run: str | None
    attempt: int | None
    claimed_at: datetime | None
    settled_at: datetime | None
    settled_by: str | None
    said: str | None
    result: Json | None
    undo: Json | None
