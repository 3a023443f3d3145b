"""Sort the audit log by kind."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NO_INGESTION = sa.text("kind != 'ingestion'")


def upgrade() -> None:
    op.add_column(
        "audit_entry", sa.Column("kind", sa.String(length=20), server_default="", nullable=False)
    )
    op.create_index(
        op.f("ix_audit_entry_organization_id_kind_id"),
        "audit_entry",
        ["organization_id", "kind", "id"],
    )
    op.create_index(
        "ix_audit_entry_no_ingestion",
        "audit_entry",
        ["organization_id", "id"],
        sqlite_where=NO_INGESTION,
        postgresql_where=NO_INGESTION,
    )


def downgrade() -> None:
    op.drop_index("ix_audit_entry_no_ingestion", table_name="audit_entry")
    op.drop_index(op.f("ix_audit_entry_organization_id_kind_id"), table_name="audit_entry")
    op.drop_column("audit_entry", "kind")
