"""What dbt's own files say: run_results.json, sources.json and manifest.json as our records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from roundsman.errors import Misread
from roundsman.rules.build import BUILT_KINDS, BuildResult, judge_build
from roundsman.rules.pulse import FreshnessStatus, NodeKind, NodeResult, SourceFreshness

ARTIFACT_BYTES_MAX = 200_000_000
# Manifests of large projects take long to read, and only a note depends on them.
MANIFEST_BYTES_MAX = 50_000_000
MESSAGE_LETTERS_MAX = 500

# Commands that do something to the nodes of their results; `compile` and `docs` leave results too.
RUNNING = frozenset({"build", "run", "test", "seed", "snapshot", "retry", "clone"})
# dbt writes variables of this prefix, without it, into the metadata of what it leaves.
MARK_PREFIX = "DBT_ENV_CUSTOM_ENV_"
ACTION_MARK = "ROUNDSMAN_ACTION"
NODES_MARK = "ROUNDSMAN_NODES"
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


def _in_utc(at: datetime) -> datetime:
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time that UTC has") from None


class _Metadata(_Part):
    generated_at: Annotated[datetime, AfterValidator(_in_utc)]
    env: dict[str, str] = {}


class _Arguments(_Part):
    which: str | None = None


class _Result(_Part):
    unique_id: str
    status: str
    message: str | None = None
    failures: int | None = None
    execution_time: float = 0.0


class RunResults(_Part):
    """`run_results.json`, as far as we need it."""

    metadata: _Metadata
    args: _Arguments = _Arguments()
    results: list[_Result]
    elapsed_time: float = 0.0

    @property
    def ran_at(self) -> datetime:
        """When the command ended, in UTC."""
        return self.metadata.generated_at

    def nodes(self, chosen: frozenset[str] | None) -> tuple[NodeResult, ...]:
        """The results of these nodes; None: of all."""
        return tuple(
            NodeResult(
                name=node_name(result.unique_id),
                kind=node_kind(result.unique_id),
                status=result.status,
                message=_short(result.message),
                failures=result.failures,
                duration_seconds=result.execution_time,
            )
            for result in self.results
            if chosen is None or result.unique_id in chosen
        )

    def build_of(self, action: str) -> BuildResult | None:
        """The build that bore this mark; None where it was another one, or was broken off.

        An interrupted dbt leaves the results of what it got to, so the nodes are counted.
        """
        marks, nodes = self.metadata.env, self.nodes(None)
        wanted = marks.get(NODES_MARK) or "0"
        if marks.get(ACTION_MARK) != action or not wanted.isdecimal():
            return None
        if sum(node.kind in BUILT_KINDS for node in nodes) < int(wanted):
            return None
        return judge_build(nodes, self.ran_at, self.elapsed_time)


class _Period(_Part):
    count: int | None = None
    period: Literal["minute", "hour", "day"] | None = None

    @property
    def seconds(self) -> float | None:
        if self.count is None or self.period is None:
            return None
        return float(self.count * _SECONDS[self.period])


class _Criteria(_Part):
    warn_after: _Period | None = None
    error_after: _Period | None = None


class _Source(_Part):
    unique_id: str
    status: FreshnessStatus
    max_loaded_at: datetime | None = None
    max_loaded_at_time_ago_in_s: float | None = None
    criteria: _Criteria = _Criteria()
    error: str | None = None


class Sources(_Part):
    """`sources.json`, as far as we need it."""

    results: list[_Source]

    def freshness(self) -> tuple[SourceFreshness, ...]:
        """The age of each source that was asked."""
        return tuple(_freshness(source) for source in self.results)


def _freshness(source: _Source) -> SourceFreshness:
    warn, error = source.criteria.warn_after, source.criteria.error_after
    return SourceFreshness(
        name=".".join(source.unique_id.split(".")[2:]),
        status=source.status,
        newest=source.max_loaded_at,
        age_seconds=source.max_loaded_at_time_ago_in_s,
        warn_after_seconds=warn.seconds if warn else None,
        error_after_seconds=error.seconds if error else None,
        message=_short(source.error),
    )


Artifact = TypeVar("Artifact", bound=BaseModel)


def read_artifact(path: Path, kind: type[Artifact]) -> Artifact | None:
    """One of dbt's files; None where there is none, Misread where it is no such file."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    if size > ARTIFACT_BYTES_MAX:
        raise Misread(f"dbt's '{path}' has {size} bytes", "dbt does not write that much")
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Misread(
            f"dbt's '{path}' cannot be read: {where}: {first['msg']}", "run dbt again"
        ) from error
    except OSError as error:
        raise Misread(f"dbt's '{path}' cannot be read: {error}", "open it to this user") from error


class _NodeConfig(_Part):
    materialized: str | None = None


class _Node(_Part):
    resource_type: str
    config: _NodeConfig = _NodeConfig()


class _Loaded(_Part):
    database: str | None = None
    schema_: str = Field(default="", alias="schema")
    identifier: str = ""

    def is_named(self, table: str) -> bool:
        """Whether a name, with or without what stands before it, is this one's."""
        mine = [(self.database or "").lower(), self.schema_.lower(), self.identifier.lower()]
        parts = table.lower().split(".")
        return len(parts) <= len(mine) and mine[-len(parts) :] == parts


class Manifest(_Part):
    """`manifest.json`, as far as we need it."""

    nodes: dict[str, _Node]
    sources: dict[str, _Loaded] = {}
    child_map: dict[str, list[str]] = {}

    def is_source(self, table: str) -> bool:
        """Whether the project declares a table as one that somebody else loads."""
        return any(source.is_named(table) for source in self.sources.values())

    def to_build(self, chosen: Iterable[str]) -> frozenset[str]:
        """Those of the chosen nodes that a build makes anew; ephemeral models leave no trace."""
        found = ((unique_id, self.nodes.get(unique_id)) for unique_id in chosen)
        return frozenset(
            unique_id
            for unique_id, node in found
            if node
            and node_kind(unique_id) in BUILT_KINDS
            and node.config.materialized != "ephemeral"
        )

    def downstream(self, chosen: Iterable[str]) -> frozenset[str]:
        """Everything that is made, at whatever remove, from the chosen nodes; not those."""
        start = frozenset(chosen)
        seen, ahead = set(start), list(start)
        while ahead:
            fresh = set(self.child_map.get(ahead.pop(), ())) - seen
            seen |= fresh
            ahead.extend(fresh)
        return frozenset(seen) - start


def count_models(path: Path) -> int | None:
    """How many models the project has by its manifest; None where that is not cheaply known."""
    if not path.is_file() or path.stat().st_size > MANIFEST_BYTES_MAX:
        return None
    manifest = read_artifact(path, Manifest)
    kinds: list[Any] = [node.resource_type for node in manifest.nodes.values()] if manifest else []
    return kinds.count("model")


def node_kind(unique_id: str) -> NodeKind:
    """The kind of a node by the first word of its id."""
    word = unique_id.split(".", 1)[0]
    return next((kind for kind in get_args(NodeKind) if kind == word), "other")


def node_name(unique_id: str) -> str:
    """The name that people know a node by."""
    parts = unique_id.split(".")
    return parts[2] if len(parts) > 2 else unique_id


def _short(message: str | None) -> str | None:
    return None if message is None else " ".join(message.split())[:MESSAGE_LETTERS_MAX]
