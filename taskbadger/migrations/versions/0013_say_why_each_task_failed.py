"""Say why each task failed, in one line, for lists and messages."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("failure", sa.Column("error", sa.String(length=300), nullable=True))


def downgrade() -> None:
    op.drop_column("failure", "error")
