"""Which columns a finding has: what was seen, since when, who knows of it, what is untold."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from roundsman.store.keyed import keyed
from roundsman.store.tables import LEDGER, Document, Moment

findings = Table(
    "findings",
    LEDGER,
    Column("org_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    # What is wrong with what.
    Column("agent", Text, nullable=False),
    Column("round", Text),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("reasons", Document, nullable=False),
    # Its life: `opened_at` is of the latest opening, `looked_at` of the newest look that counts.
    Column("state", Text, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("opened_run", Text, nullable=False),
    Column("last_seen_at", Moment, nullable=False),
    Column("last_run", Text, nullable=False),
    Column("times_seen", Integer, nullable=False),
    Column("reopened", Integer, nullable=False),
    Column("looked_at", Moment, nullable=False),
    Column("good_runs", Integer, nullable=False),
    Column("good_run", Text),
    # What the runs that saw it were looking at: only such a run can find it gone.
    Column("scopes", Document, nullable=False),
    Column("resolved_at", Moment),
    Column("resolved_run", Text),
    # What people said.
    Column("acknowledged_by", Text),
    Column("acknowledged_at", Moment),
    Column("note", Text),
    Column("muted_until", Moment),
    Column("muted_by", Text),
    Column("mute_reason", Text),
    # Who is told, what is still to be told, and what was told last.
    Column("owner", Text),
    Column("channel", Text),
    Column("untold", Text),
    Column("why_silent", Text),
    Column("told_event", Text),
    Column("told_severity", Text),
    Column("told_at", Moment),
    Column("told_run", Text),
    PrimaryKeyConstraint("org_id", "fingerprint", name="findings_pkey"),
    Index("findings_by_state", "org_id", "state", "last_seen_at"),
    Index("findings_by_round", "org_id", "agent", "round"),
)

FINDINGS = keyed(
    findings,
    (
        "finding_opened",
        "finding_reopened",
        "finding_worsened",
        "finding_eased",
        "finding_seen",
        "finding_good",
        "finding_resolved",
        "finding_told",
        "finding_acknowledged",
        "finding_muted",
        "finding_unmuted",
        "finding_erased",
    ),
    blanks={
        "subject": "",
        "said": "",
        "reasons": [],
        "acknowledged_by": None,
        "note": None,
        "muted_by": None,
        "mute_reason": None,
        "owner": None,
    },
)
