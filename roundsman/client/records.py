"""What the API tells, as records; what a newer server tells besides is kept in them too."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict

Status = Literal["success", "failed", "running", "cancelled"]
Json = dict[str, Any]
OPEN: tuple[Status, ...] = ("running",)


class Told(BaseModel):
    """Something that the API told."""

    model_config = ConfigDict(frozen=True, extra="allow")


ToldT = TypeVar("ToldT", bound=Told)


class RunError(Told):
    """Why a run failed; `traceback` is told to admin keys only."""

    type: str | None = None
    message: str | None = None
    step: str | None = None
    traceback: str | None = None


class Run(Told):
    """One run; `ledger_status` and what follows it are told by `Client.run` only."""

    run_id: str
    status: Status
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    artifacts: Json = {}
    error: RunError | None = None
    agent_type: str
    round: str | None = None
    verdict: str | None = None
    dry_run: bool = True
    ops_count: int | None = None
    duration_ms: int | None = None
    budget_status: Json | None = None
    ledger_status: str | None = None
    objective: str = ""
    plan: list[str] = []
    params: Json = {}
    user_email: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.status in OPEN


class PastRun(Told):
    """One row of the history."""

    id: int
    run_id: str
    agent_type: str
    objective: str
    status: Status
    user_email: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    round: str | None = None
    verdict: str | None = None
    dry_run: bool = True
    created_at: datetime
    error_message: str | None = None


class HistoryPage(Told):
    """Some runs, newest first, and how many match in all."""

    runs: list[PastRun]
    total: int


class Round(Told):
    """One entry of the server's list of rounds."""

    name: str
    description: str = ""
    params: Json = {}
    schedules: list[Json] = []


class AgentBrief(Told):
    """What can be executed."""

    name: str
    version: str
    description: str
    capabilities: list[str]
    rounds: list[str] = []


class Agent(Told):
    """One agent with its steps, its parameters and its rounds."""

    name: str
    version: str
    description: str
    capabilities: list[str]
    plan: list[str]
    params_schema: Json
    rounds: list[Round] = []


class Timeline(Told):
    """A run's steps and events; `next_after` is where the next page begins, if there is one."""

    run_id: str
    status: Status
    steps: list[Json]
    events: list[Json]
    next_after: int | None = None


class CancelAsked(Told):
    """A run that was asked to stop."""

    run_id: str
    cancel_requested: bool


class ArtifactFile(Told):
    """A file that an agent wrote."""

    path: str
    bytes: int
    modified: datetime
    url: str


class RoundState(Round):
    """One entry of the server's list of rounds, how it went last and when it starts next."""

    agent: str
    next_start: datetime | None = None
    last_run: Json | None = None


class Action(Told):
    """What an agent did outside or was to do; `wanted_as` is told by `Client.action` only."""

    action_id: str
    run_id: str
    agent: str
    action: str
    target: str
    payload: Json
    state: str
    reason: str = ""
    requested_by: str = ""
    expires_at: datetime | None = None
    acting_run: str | None = None
    said: str | None = None
    undone: Json | None = None
    wanted_as: list[str] = []


class Approval(Action):
    """An action that was asked of a person, with exactly what would be done."""


class Switch(Told):
    """Whether all effects of the org are halted, by whom, why and since when."""

    stopped: bool
    who: str | None = None
    reason: str | None = None
    since: datetime | None = None


class Resumed(Switch):
    """That effects may begin again, and the run of each action that was started by that."""

    was_stopped: bool
    started: dict[str, str]


class Foreseen(Told):
    """What the ledger knows of taking one action back."""

    action_id: str
    action: str
    target: str
    state: str
    said: str


class UndoPreview(Told):
    """What of a run could be taken back, the last action first."""

    run_id: str
    actions: list[Foreseen]


class Undoing(Told):
    """A run that takes back what the run `undoes` did."""

    run_id: str
    undoes: str
    dry_run: bool


class Approved(Told):
    """A yes, and the run that acts upon it."""

    action_id: str
    state: str
    run_id: str


class Finding(Told):
    """A problem that rounds found."""

    fingerprint: str
    agent: str
    round: str | None = None
    kind: str
    subject: str
    severity: str
    said: str
    state: str
    opened_at: datetime
    muted_until: datetime | None = None


class Health(Told):
    """That the process answers; of readiness also the ledger's `schema`."""

    status: str


class Event(Told):
    """One event of the stream; `seq` is its number in the ledger, `kind` its name."""

    seq: int
    kind: str
    data: Json


class Wish(TypedDict, total=False):
    """What may stand beside `agent_type` when an agent is executed; see docs/guides/api.md."""

    round: str
    objective: str
    dry_run: bool
    allow_actions: bool
    config: Json
    params: Json
    budget_ms: int
    budget_ops: int
    retry_run_id: str
    wait_seconds: float


class HistoryFilter(TypedDict, total=False):
    """Which runs; both dates are UTC days that belong to the range."""

    agent_type: str
    status: Status
    ledger_status: list[str]
    user_email: str
    start_date: date
    end_date: date
    limit: int


class ApprovalFilter(TypedDict, total=False):
    """Which requests: those that wait, unless states are named or all are wanted."""

    state: list[str]
    everything: bool
    agent: str
    limit: int


class ActionFilter(TypedDict, total=False):
    """Which actions: all of them, unless something is named."""

    state: list[str]
    agent: str
    run_id: str
    limit: int


class FindingFilter(TypedDict, total=False):
    """Which findings: those not resolved, unless states are named or all are wanted."""

    state: list[str]
    everything: bool
    severity: list[str]
    agent: str
    round: str
    limit: int
