"""Note which signed links were used, and find the failure kinds of an incident."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
IN_INCIDENT = sa.text("incident_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "used_link",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("used_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_used_link")),
    )
    op.create_index(op.f("ix_used_link_used_at"), "used_link", ["used_at"])
    op.create_index(
        op.f("ix_failure_incident_id_kind_id"),
        "failure",
        ["incident_id", "kind_id"],
        sqlite_where=IN_INCIDENT,
        postgresql_where=IN_INCIDENT,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_failure_incident_id_kind_id"), table_name="failure")
    op.drop_table("used_link")
