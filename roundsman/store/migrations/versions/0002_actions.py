"""Permits with their approvals, the switch that halts them, and findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Frozen here on purpose: a migration must not change when the tables of the code do.
MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# The columns of an approval request as other tools know them (G-A5).
APPROVALS = """
CREATE VIEW approvals AS SELECT
    org_id, action_id AS request_id, agent, action, target, context, policy_rule_id, reason,
    CASE WHEN state = 'waiting' THEN 'pending'
         WHEN state IN ('denied', 'expired') THEN state
         ELSE 'approved' END AS status,
    requested_by, reviewed_by, expires_at, signature, nonce, nonce_used,
    state = 'done' AS executed, result AS execution_result
FROM actions WHERE nonce IS NOT NULL
"""


def upgrade() -> None:
    """Create what acting needs."""
    _create_actions()
    _create_switches()
    op.execute(APPROVALS)
    _create_findings()


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _create_actions() -> None:
    op.create_table(
        "actions",
        *map(_text, ("org_id", "action_id", "run_id", "agent")),
        _text("round", nullable=True),
        *map(_text, ("action", "target")),
        sa.Column("payload", DOCUMENT, nullable=False),
        _text("payload_sha256"),
        *(
            sa.Column(name, DOCUMENT, nullable=False)
            for name in ("occasion", "precondition", "context", "limits")
        ),
        _text("lost_answer"),
        _text("undoes", nullable=True),
        sa.Column("proposed_at", MOMENT, nullable=False),
        *map(_text, ("state", "policy_rule_id", "policy_hash", "reason", "requested_by")),
        sa.Column("approvers", DOCUMENT, nullable=False),
        sa.Column("four_eyes", sa.Boolean(), nullable=False),
        sa.Column("expires_at", MOMENT),
        _text("reviewed_by", nullable=True),
        sa.Column("reviewed_at", MOMENT),
        *(_text(name, nullable=True) for name in ("review_note", "nonce")),
        sa.Column("nonce_used", sa.Boolean(), nullable=False),
        *(_text(name, nullable=True) for name in ("signature", "acting_run")),
        sa.Column("attempt", sa.Integer()),
        sa.Column("claimed_at", MOMENT),
        sa.Column("settled_at", MOMENT),
        *(_text(name, nullable=True) for name in ("settled_by", "said")),
        sa.Column("result", DOCUMENT),
        sa.Column("undo", DOCUMENT),
        sa.PrimaryKeyConstraint("org_id", "action_id", name="actions_pkey"),
    )
    op.create_index("actions_by_state", "actions", ["org_id", "state", "proposed_at"])
    op.create_index("actions_by_target", "actions", ["org_id", "target", "claimed_at"])
    op.create_index("actions_by_run", "actions", ["org_id", "run_id"])
    op.create_index("actions_by_acting_run", "actions", ["org_id", "acting_run"])
    _create_partial("actions_nonce", "nonce", "nonce IS NOT NULL")
    _create_partial("actions_in_flight", "target", "state = 'attempting'")


def _create_partial(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(
        name,
        "actions",
        ["org_id", column],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _create_switches() -> None:
    op.create_table(
        "switches",
        *map(_text, ("org_id", "name")),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        *map(_text, ("who", "reason")),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name="switches_pkey"),
    )


def _create_findings() -> None:
    op.create_table(
        "findings",
        *map(_text, ("org_id", "fingerprint", "agent")),
        _text("round", nullable=True),
        *map(_text, ("kind", "subject", "severity", "said")),
        sa.Column("reasons", DOCUMENT, nullable=False),
        _text("state"),
        sa.Column("first_seen_at", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        _text("opened_run"),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        _text("last_run"),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("looked_at", MOMENT, nullable=False),
        sa.Column("good_runs", sa.Integer(), nullable=False),
        _text("good_run", nullable=True),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("resolved_at", MOMENT),
        *(_text(name, nullable=True) for name in ("resolved_run", "acknowledged_by")),
        sa.Column("acknowledged_at", MOMENT),
        _text("note", nullable=True),
        sa.Column("muted_until", MOMENT),
        *(_text(name, nullable=True) for name in ("muted_by", "mute_reason", "owner", "channel")),
        *(_text(name, nullable=True) for name in ("untold", "why_silent", "told_event")),
        _text("told_severity", nullable=True),
        sa.Column("told_at", MOMENT),
        _text("told_run", nullable=True),
        sa.PrimaryKeyConstraint("org_id", "fingerprint", name="findings_pkey"),
    )
    op.create_index("findings_by_state", "findings", ["org_id", "state", "last_seen_at"])
    op.create_index("findings_by_round", "findings", ["org_id", "agent", "round"])
