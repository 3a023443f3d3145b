"""Index what failed last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_task_project_id_end_time_id"),
        "task",
        ["project_id", "end_time", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'error'"),
        postgresql_where=sa.text("status = 'error'"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_task_project_id_end_time_id"), table_name="task")
