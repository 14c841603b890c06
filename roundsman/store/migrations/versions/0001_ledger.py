"""The ledger: chained events, their projections, and the leases of those who write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen here on purpose: a migration must not change when the tables of the code do.
MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
REAL: sa.Double[float] = sa.Double()
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Create every table of the first schema."""
    _create_chain()
    _create_audit_log()
    _create_steps()
    _create_artifacts_and_metrics()
    _create_leases()


def _org() -> sa.Column[str]:
    return sa.Column("org_id", sa.Text(), nullable=False)


def _create_chain() -> None:
    op.create_table(
        "chain_heads",
        _org(),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id"),
    )
    op.create_table(
        "events",
        _org(),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text()),
        sa.Column("payload_sha256", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", name="events_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index("events_by_run", "events", ["org_id", "run_id", "seq"])


def _create_audit_log() -> None:
    op.create_table(
        "agent_audit_log",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        _org(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("agent_type", sa.Text(), nullable=False),
        sa.Column("round", sa.Text()),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("plan", DOCUMENT, nullable=False),
        sa.Column("params", DOCUMENT, nullable=False),
        sa.Column("artifacts", DOCUMENT, nullable=False),
        sa.Column("error", DOCUMENT),
        sa.Column("error_message", sa.Text()),
        sa.Column("user_email", sa.Text()),
        sa.Column("asked_by", DOCUMENT),
        sa.Column("parent_run_id", sa.Text()),
        sa.Column("retry_of", sa.Text()),
        sa.Column("action_id", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("systems", DOCUMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("queued_at", MOMENT),
        sa.Column("started_at", MOMENT),
        sa.Column("completed_at", MOMENT),
        sa.Column("duration_seconds", REAL),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ops_count", sa.BigInteger()),
        sa.Column("budget", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name="agent_audit_log_pkey"),
        sa.UniqueConstraint("org_id", "run_id", name="agent_audit_log_run"),
    )
    op.create_index("agent_audit_log_by_start", "agent_audit_log", ["org_id", "started_at"])
    op.create_index("agent_audit_log_by_agent", "agent_audit_log", ["org_id", "agent_type", "id"])
    op.create_index(
        "agent_audit_log_by_key",
        "agent_audit_log",
        ["org_id", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )


def _create_steps() -> None:
    op.create_table(
        "steps",
        _org(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("began_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("seconds", REAL),
        sa.Column("error", DOCUMENT),
        sa.PrimaryKeyConstraint("org_id", "run_id", "attempt", "step_index", name="steps_pkey"),
        sqlite_with_rowid=False,
    )


def _create_artifacts_and_metrics() -> None:
    op.create_table(
        "artifacts",
        _org(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("intended_at", MOMENT),
        sa.Column("written_at", MOMENT),
        sa.PrimaryKeyConstraint("org_id", "run_id", "path", name="artifacts_pkey"),
    )
    op.create_table(
        "metrics",
        _org(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", REAL, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", "labels", name="metrics_pkey"),
    )


def _create_leases() -> None:
    op.create_table(
        "run_leases",
        _org(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("pid", sa.Integer()),
        sa.Column("process_started", sa.Text()),
        sa.Column("opened_at", MOMENT),
        sa.Column("seen_at", MOMENT),
        sa.Column("expires_at", MOMENT),
        sa.Column("active_ms", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("closed", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("ops_used", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("ops_limit", sa.BigInteger()),
        sa.Column("budget_mode", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "run_id", name="run_leases_pkey"),
    )
    op.create_table(
        "file_leases",
        _org(),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Text(), nullable=False),
        sa.Column("held_since", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "resource", name="file_leases_pkey"),
    )
