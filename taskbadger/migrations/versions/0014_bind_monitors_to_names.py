"""Bind monitors to names of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("monitor", sa.Column("task_name", sa.String(length=255), nullable=True))
    op.create_index(
        op.f("ix_monitor_project_id_task_name"), "monitor", ["project_id", "task_name"], unique=True
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_monitor_project_id_task_name"), table_name="monitor")
    op.drop_column("monitor", "task_name")
