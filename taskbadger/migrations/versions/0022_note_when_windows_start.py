"""Note when the spans of windows start."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ONCE = "UPDATE maintenance_window SET starts_at = starts WHERE schedule IS NULL"
OVER = "UPDATE maintenance_window SET starts_at = NULL WHERE ends_at IS NULL"
RECURRING = {
    "postgresql": "ends_at - make_interval(secs => duration)",
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', ends_at, '-' || duration || ' seconds')",
}
"""Their spans start at whole minutes."""


def upgrade() -> None:
    start = RECURRING[op.get_bind().dialect.name]
    for statement in (
        ONCE,
        f"UPDATE maintenance_window SET starts_at = {start} WHERE schedule IS NOT NULL",  # noqa: S608
        OVER,
    ):
        op.execute(sa.text(statement))


def downgrade() -> None:
    pass
