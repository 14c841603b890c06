"""Keys to the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Frozen here on purpose: a migration must not change when the tables of the code do.
MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Create what access needs."""
    op.create_table(
        "api_keys",
        *map(_text, ("org_id", "key_id", "name")),
        sa.Column("permissions", DOCUMENT, nullable=False),
        *map(_text, ("sha256", "last_four")),
        sa.Column("created_at", MOMENT, nullable=False),
        _text("created_by"),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        _text("revoked_by", nullable=True),
        sa.PrimaryKeyConstraint("org_id", "key_id", name="api_keys_pkey"),
    )
    op.create_index("api_keys_sha256", "api_keys", ["sha256"], unique=True)


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)
