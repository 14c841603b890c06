"""Which columns a permit has, and the one switch that halts every effect of an org."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from roundsman.store.keyed import keyed
from roundsman.store.tables import LEDGER, Document, Moment

actions = Table(
    "actions",
    LEDGER,
    Column("org_id", Text, nullable=False),
    Column("action_id", Text, nullable=False),
    # Who wants what done, and why now.
    Column("run_id", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("round", Text),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", Document, nullable=False),
    Column("payload_sha256", Text, nullable=False),
    Column("occasion", Document, nullable=False),
    Column("precondition", Document, nullable=False),
    Column("context", Document, nullable=False),
    Column("limits", Document, nullable=False),
    Column("lost_answer", Text, nullable=False),
    Column("undoes", Text),
    Column("proposed_at", Moment, nullable=False),
    # What policy and people said.
    Column("state", Text, nullable=False),
    Column("policy_rule_id", Text, nullable=False),
    Column("policy_hash", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("approvers", Document, nullable=False),
    Column("four_eyes", Boolean, nullable=False),
    Column("expires_at", Moment),
    Column("reviewed_by", Text),
    Column("reviewed_at", Moment),
    Column("review_note", Text),
    Column("nonce", Text),
    Column("nonce_used", Boolean, nullable=False),
    Column("signature", Text),
    # What was done.
    Column("acting_run", Text),
    Column("attempt", Integer),
    Column("claimed_at", Moment),
    Column("settled_at", Moment),
    Column("settled_by", Text),
    Column("said", Text),
    Column("result", Document),
    Column("undo", Document),
    PrimaryKeyConstraint("org_id", "action_id", name="actions_pkey"),
    Index("actions_by_state", "org_id", "state", "proposed_at"),
    Index("actions_by_target", "org_id", "target", "claimed_at"),
    Index("actions_by_run", "org_id", "run_id"),
    Index("actions_by_acting_run", "org_id", "acting_run"),
    Index(
        "actions_nonce",
        "org_id",
        "nonce",
        unique=True,
        sqlite_where=text("nonce IS NOT NULL"),
        postgresql_where=text("nonce IS NOT NULL"),
    ),
    # Single flight: the database itself refuses a second one.
    Index(
        "actions_in_flight",
        "org_id",
        "target",
        unique=True,
        sqlite_where=text("state = 'attempting'"),
        postgresql_where=text("state = 'attempting'"),
    ),
)

switches = Table(
    "switches",
    LEDGER,
    Column("org_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("is_on", Boolean, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    PrimaryKeyConstraint("org_id", "name", name="switches_pkey"),
)

ACTIONS = keyed(
    actions,
    (
        "action_proposed",
        "action_approved",
        "action_denied",
        "action_reopened",
        "action_expired",
        "action_claimed",
        "action_prepared",
        "action_settled",
        "action_judged",
        "action_erased",
    ),
    blanks={
        "payload": {},
        "occasion": {},
        "precondition": {},
        "context": {},
        "reason": "",
        "requested_by": "",
        "reviewed_by": None,
        "review_note": None,
        "said": None,
        "result": None,
        "undo": None,
    },
)
SWITCHES = keyed(switches, ("switch_stopped", "switch_resumed"))
