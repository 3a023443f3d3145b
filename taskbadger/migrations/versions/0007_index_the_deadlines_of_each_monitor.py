"""Index the deadlines of each monitor."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WITH_DEADLINE = sa.text("deadline_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        op.f("ix_slot_monitor_id_deadline_at"),
        "slot",
        ["monitor_id", "deadline_at"],
        unique=False,
        sqlite_where=WITH_DEADLINE,
        postgresql_where=WITH_DEADLINE,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_slot_monitor_id_deadline_at"), table_name="slot")
