"""Note who gets digests, how often and when next; find what ended in a period."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
WITH_DIGEST = sa.text("next_digest_at IS NOT NULL")
CLOSED = sa.text("closed_at IS NOT NULL")
GIVEN_UP = sa.text("state != 'delivered' AND finished IS NOT NULL")


def upgrade() -> None:
    op.add_column(
        "user_account",
        sa.Column("timezone", sa.String(length=64), server_default="UTC", nullable=False),
    )
    op.add_column(
        "membership",
        sa.Column("digest", sa.String(length=10), server_default="off", nullable=False),
    )
    op.add_column("membership", sa.Column("next_digest_at", TIME, nullable=True))
    op.add_column("membership", sa.Column("last_digest_at", TIME, nullable=True))
    op.create_index(
        op.f("ix_membership_next_digest_at"),
        "membership",
        ["next_digest_at"],
        sqlite_where=WITH_DIGEST,
        postgresql_where=WITH_DIGEST,
    )
    op.create_index(
        op.f("ix_incident_organization_id_closed_at_id"),
        "incident",
        ["organization_id", "closed_at", "id"],
        sqlite_where=CLOSED,
        postgresql_where=CLOSED,
    )
    op.create_index(
        "ix_delivery_given_up",
        "delivery",
        ["organization_id", "state", "finished"],
        sqlite_where=GIVEN_UP,
        postgresql_where=GIVEN_UP,
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_given_up", table_name="delivery")
    op.drop_index(op.f("ix_incident_organization_id_closed_at_id"), table_name="incident")
    op.drop_index(op.f("ix_membership_next_digest_at"), table_name="membership")
    for column in ("last_digest_at", "next_digest_at", "digest"):
        op.drop_column("membership", column)
    op.drop_column("user_account", "timezone")
