"""Index open tasks by queue, and count what goes through each queue."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
OPEN = sa.text("status IN ('pending', 'pre_processing', 'processing', 'post_processing', 'stale')")


def upgrade() -> None:
    op.create_table(
        "queue_stat",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("departed", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_queue_stat_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "queue", "start", name=op.f("pk_queue_stat")),
    )
    op.create_index(op.f("ix_queue_stat_start"), "queue_stat", ["start"], unique=False)
    op.create_index(
        op.f("ix_task_project_id_queue_status_id"),
        "task",
        ["project_id", "queue", "status", "id"],
        unique=False,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_task_project_id_queue_status_id"), table_name="task")
    op.drop_table("queue_stat")
