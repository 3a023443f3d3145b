"""Let projects keep tasks for different times by their outcome."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COLUMNS = ("retention_days_success", "retention_days_failure", "retention_days_unfinished")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("project", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("project", name)
