"""Note how the runs of each name ended last."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FAILED_DAY = "seconds = 86400 AND last_outcome IN ('error', 'stale')"


def upgrade() -> None:
    op.add_column("run_stat", sa.Column("last_outcome", sa.String(length=10), nullable=True))
    op.create_index(
        op.f("ix_run_stat_project_id_start"),
        "run_stat",
        ["project_id", "start"],
        unique=False,
        sqlite_where=sa.text(FAILED_DAY),
        postgresql_where=sa.text(FAILED_DAY),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_run_stat_project_id_start"), table_name="run_stat")
    op.drop_column("run_stat", "last_outcome")
