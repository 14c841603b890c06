"""Which columns a key to the API has; the secret itself is kept nowhere."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text

from roundsman.store.keyed import keyed
from roundsman.store.tables import LEDGER, Document, Moment

api_keys = Table(
    "api_keys",
    LEDGER,
    Column("org_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("permissions", Document, nullable=False),
    # Of 256 random bits, which nobody guesses: a slow hash would protect nothing more.
    Column("sha256", Text, nullable=False),
    Column("last_four", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("revoked_by", Text),
    PrimaryKeyConstraint("org_id", "key_id", name="api_keys_pkey"),
    Index("api_keys_sha256", "sha256", unique=True),
)

KEYS = keyed(api_keys, ("key_created", "key_revoked"))
