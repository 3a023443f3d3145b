"""Note which projects may have failed tasks without a kind, for the worker."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TASK_ID = sa.LargeBinary(length=16).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "failure_backfill",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("before", TASK_ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_failure_backfill_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "status", name=op.f("pk_failure_backfill")),
    )
    op.execute(
        "INSERT INTO failure_backfill (project_id, status)"
        " SELECT id, 'error' FROM project UNION ALL SELECT id, 'stale' FROM project"
    )


def downgrade() -> None:
    op.drop_table("failure_backfill")
