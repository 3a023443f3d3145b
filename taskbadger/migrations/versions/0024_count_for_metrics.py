"""Count runs and attempts to deliver for good, for metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
GOOD = sa.text("state IN ('ok', 'late')")


def upgrade() -> None:
    op.create_table(
        "run_total",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("success", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("stale", sa.BigInteger(), nullable=False),
        sa.Column("run_seconds", sa.Double(), nullable=False),
        sa.Column("run_times", sa.Text(), nullable=False),
        sa.Column("wait_seconds", sa.Double(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("last_day", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_run_total_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_run_total")),
    )
    op.create_index(op.f("ix_run_total_last_day"), "run_total", ["last_day"], unique=False)
    op.create_table(
        "delivery_total",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_delivery_total_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_total")),
        sa.UniqueConstraint(
            "organization_id",
            "kind",
            "outcome",
            name=op.f("uq_delivery_total_organization_id_kind_outcome"),
        ),
    )
    op.create_table(
        "delivery_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_cursor")),
    )
    op.add_column("worker_tick", sa.Column("turns", sa.Text(), server_default="{}", nullable=False))
    op.create_index(
        "ix_slot_good",
        "slot",
        ["monitor_id", "expected_at"],
        unique=False,
        sqlite_where=GOOD,
        postgresql_where=GOOD,
    )


def downgrade() -> None:
    op.drop_index("ix_slot_good", table_name="slot")
    op.drop_column("worker_tick", "turns")
    op.drop_table("delivery_cursor")
    op.drop_table("delivery_total")
    op.drop_index(op.f("ix_run_total_last_day"), table_name="run_total")
    op.drop_table("run_total")
