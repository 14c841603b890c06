"""Which tables the ledger has, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine


def instant_text(at: datetime) -> str:
    """Return the one spelling of a time: ISO-8601, UTC, microseconds, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Moment(TypeDecorator[datetime]):
    """An aware time: ISO text in SQLite, timestamptz in PostgreSQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the engine."""
        wide = DateTime(timezone=True) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(wide)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Spell an aware time the way the column wants it."""
        if value is None or dialect.name == "postgresql":
            return value
        return instant_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Return an aware time in UTC."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return datetime.fromisoformat(value)


LEDGER = MetaData()
Real: Double[float] = Double()
Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _org() -> Column[str]:
    return Column("org_id", Text, nullable=False)


chain_heads = Table(
    "chain_heads",
    LEDGER,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("key_id", Text, nullable=False),
)

events = Table(
    "events",
    LEDGER,
    _org(),
    Column("seq", BigInteger, nullable=False, autoincrement=False),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    # Text on both engines, because the hash is over these very characters.
    Column("at", Text, nullable=False),
    Column("payload", Text),
    Column("payload_sha256", Text, nullable=False),
    Column("hash", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "seq", name="events_pkey"),
    Index("events_by_run", "org_id", "run_id", "seq"),
    sqlite_with_rowid=False,
)

agent_audit_log = Table(
    "agent_audit_log",
    LEDGER,
    Column("id", BigInteger, nullable=False, autoincrement=False),
    _org(),
    Column("run_id", Text, nullable=False),
    Column("agent_type", Text, nullable=False),
    Column("round", Text),
    Column("objective", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("verdict", Text),
    Column("dry_run", Boolean, nullable=False),
    Column("plan", Document, nullable=False),
    Column("params", Document, nullable=False),
    Column("artifacts", Document, nullable=False),
    Column("error", Document),
    Column("error_message", Text),
    Column("user_email", Text),
    Column("asked_by", Document),
    Column("parent_run_id", Text),
    Column("retry_of", Text),
    Column("action_id", Text),
    Column("idempotency_key", Text),
    Column("code_version", Text, nullable=False),
    Column("systems", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("queued_at", Moment),
    Column("started_at", Moment),
    Column("completed_at", Moment),
    Column("duration_seconds", Real),
    Column("attempt", Integer, nullable=False),
    Column("ops_count", BigInteger),
    Column("budget", Document, nullable=False),
    PrimaryKeyConstraint("org_id", "id", name="agent_audit_log_pkey"),
    UniqueConstraint("org_id", "run_id", name="agent_audit_log_run"),
    Index("agent_audit_log_by_start", "org_id", "started_at"),
    Index("agent_audit_log_by_agent", "org_id", "agent_type", "id"),
    Index(
        "agent_audit_log_by_key",
        "org_id",
        "idempotency_key",
        unique=True,
        sqlite_where=text("idempotency_key IS NOT NULL"),
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

run_leases = Table(
    "run_leases",
    LEDGER,
    _org(),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("host", Text),
    Column("pid", Integer),
    Column("process_started", Text),
    Column("opened_at", Moment),
    Column("seen_at", Moment),
    Column("expires_at", Moment),
    Column("active_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("closed", Boolean, nullable=False, server_default=false()),
    Column("ops_used", BigInteger, nullable=False, server_default=text("0")),
    Column("ops_limit", BigInteger),
    Column("budget_mode", Text, nullable=False),
    PrimaryKeyConstraint("org_id", "run_id", name="run_leases_pkey"),
)

steps = Table(
    "steps",
    LEDGER,
    _org(),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step_index", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("began_at", Moment),
    Column("ended_at", Moment),
    Column("seconds", Real),
    Column("error", Document),
    PrimaryKeyConstraint("org_id", "run_id", "attempt", "step_index", name="steps_pkey"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    LEDGER,
    _org(),
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("bytes", BigInteger),
    Column("sha256", Text),
    Column("intended_at", Moment),
    Column("written_at", Moment),
    PrimaryKeyConstraint("org_id", "run_id", "path", name="artifacts_pkey"),
)

metrics = Table(
    "metrics",
    LEDGER,
    _org(),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("value", Real, nullable=False),
    PrimaryKeyConstraint("org_id", "name", "labels", name="metrics_pkey"),
)

file_leases = Table(
    "file_leases",
    LEDGER,
    _org(),
    Column("resource", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Text, nullable=False),
    Column("held_since", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("org_id", "resource", name="file_leases_pkey"),
)
