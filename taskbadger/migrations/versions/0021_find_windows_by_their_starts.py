"""Find the windows that are active by their starts."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
LONG_AGO = sa.text("'1970-01-01T00:00:00.000000Z'")
IS_CURRENT, IS_OVER = sa.text("ends_at IS NOT NULL"), sa.text("ends_at IS NULL")
CURRENT, OVER = "ix_maintenance_window_current", "ix_maintenance_window_over"


def upgrade() -> None:
    op.add_column(
        "maintenance_window", sa.Column("starts_at", TIME, server_default=LONG_AGO, nullable=True)
    )
    op.drop_index(CURRENT, table_name="maintenance_window")
    _create_index(CURRENT, ["organization_id", "starts_at", "id"], IS_CURRENT)
    _create_index(OVER, ["organization_id", "id"], IS_OVER)


def downgrade() -> None:
    op.drop_index(OVER, table_name="maintenance_window")
    op.drop_index(CURRENT, table_name="maintenance_window")
    op.drop_column("maintenance_window", "starts_at")
    _create_index(CURRENT, ["organization_id", "id"], IS_CURRENT)


def _create_index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "maintenance_window", columns, sqlite_where=where, postgresql_where=where)
