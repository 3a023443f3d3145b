"""Find incidents of a project that are kept no longer."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

CLOSED = sa.text("closed_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        op.f("ix_incident_project_id_closed_at_id"),
        "incident",
        ["project_id", "closed_at", "id"],
        sqlite_where=CLOSED,
        postgresql_where=CLOSED,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_incident_project_id_closed_at_id"), table_name="incident")
