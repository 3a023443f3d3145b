"""Hold notices of muted monitors until the mute ends."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HELD = sa.text("((closed_at IS NULL AND NOT told) OR owes_recovery)")


def upgrade() -> None:
    op.add_column(
        "incident",
        sa.Column("owes_recovery", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_index(
        "ix_incident_held",
        "incident",
        ["monitor_id"],
        unique=False,
        sqlite_where=HELD,
        postgresql_where=HELD,
    )


def downgrade() -> None:
    op.drop_index("ix_incident_held", table_name="incident")
    op.drop_column("incident", "owes_recovery")
