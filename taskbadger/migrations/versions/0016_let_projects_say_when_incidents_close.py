"""Let projects say after how long without a failure their incidents close."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "project",
        sa.Column("quiet_after", sa.Integer(), server_default=sa.text("86400"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("project", "quiet_after")
