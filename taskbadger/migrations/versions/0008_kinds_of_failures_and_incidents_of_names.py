"""Add kinds of failures, incidents of names, and maintenance windows."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
TASK_ID = sa.LargeBinary(length=16).with_variant(sa.Uuid(), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

OPEN = "closed_at IS NULL"
OPEN_OF_NAME = "closed_at IS NULL AND name IS NOT NULL"
HELD_BEFORE = "((closed_at IS NULL AND NOT told) OR owes_recovery)"
HELD = f"{HELD_BEFORE} AND name IS NULL"

INCIDENT_INDEXES = (
    ("ix_incident_organization_id_id", ["organization_id", "id"], None, False),
    ("ix_incident_project_id_name_id", ["project_id", "name", "id"], None, False),
    ("ix_incident_open", ["organization_id", "id"], OPEN, False),
    ("ix_incident_quiet_at", ["quiet_at"], OPEN, False),
    ("uq_incident_open_name", ["project_id", "name"], OPEN_OF_NAME, True),
)
NEW_TABLES = ("incident_notice", "incident_event", "failure", "failure_kind", "maintenance_window")


def upgrade() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    _widen_incident()
    _create_failures()
    _create_notices()
    _create_windows()


def downgrade() -> None:
    for table in NEW_TABLES:
        op.drop_table(table)
    op.execute("DELETE FROM incident WHERE monitor_id IS NULL")
    for name, *_ in INCIDENT_INDEXES:
        op.drop_index(name, table_name="incident")
    _index_held(HELD_BEFORE)
    with op.batch_alter_table("incident") as batch:
        batch.drop_constraint(op.f("fk_incident_project_id_project"), type_="foreignkey")
        batch.drop_constraint(op.f("fk_incident_organization_id_organization"), type_="foreignkey")
        batch.alter_column("monitor_id", existing_type=sa.Uuid(), nullable=False)
        for column in _added_to_incident():
            batch.drop_column(column.name)
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name)


def _widen_incident() -> None:
    for column in _added_to_incident():
        op.add_column("incident", column)
    op.execute(
        "UPDATE incident SET project_id = project.id, organization_id = project.organization_id"
        " FROM monitor JOIN project ON project.id = monitor.project_id"
        " WHERE monitor.id = incident.monitor_id"
    )
    with op.batch_alter_table("incident", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("monitor_id", existing_type=sa.Uuid(), nullable=True)
        for column in ("organization_id", "project_id"):
            batch.alter_column(column, existing_type=sa.Integer(), nullable=False)
            table = column.removesuffix("_id")
            batch.create_foreign_key(
                op.f(f"fk_incident_{column}_{table}"), table, [column], ["id"], ondelete="CASCADE"
            )
    for name, columns, where, unique in INCIDENT_INDEXES:
        _create_index(name, "incident", columns, where, unique=unique)
    _index_held(HELD)


def _index_held(where: str) -> None:
    op.drop_index("ix_incident_held", table_name="incident")
    _create_index("ix_incident_held", "incident", ["monitor_id"], where)


def _create_failures() -> None:
    op.create_table(
        "failure_kind",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("cause", sa.String(length=25), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.Column("sample_task", TASK_ID, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("ignored_until", TIME, nullable=True),
        sa.Column("back_since", TIME, nullable=True),
        _refers("failure_kind", "project_id", "project"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure_kind")),
        sa.UniqueConstraint(
            "project_id",
            "name",
            "fingerprint",
            name=op.f("uq_failure_kind_project_id_name_fingerprint"),
        ),
    )
    _index("failure_kind", ["project_id", "last_seen", "id"])
    _index("failure_kind", ["project_id", "state", "last_seen", "id"])
    _create_index("ix_failure_kind_ignored", "failure_kind", ["id"], "state = 'ignored'")
    op.create_table(
        "failure",
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("kind_id", BIG_ID, nullable=False),
        sa.Column("failed_at", TIME, nullable=False),
        sa.Column("news", sa.String(length=5), nullable=False),
        sa.Column("superseded_by", TASK_ID, nullable=True),
        sa.Column("incident_id", BIG_ID, nullable=True),
        _refers("failure", "task_id", "task"),
        _refers("failure", "kind_id", "failure_kind"),
        _refers("failure", "incident_id", "incident", "SET NULL"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_failure")),
    )
    _index("failure", ["kind_id", "task_id"])
    _index("failure", ["incident_id", "task_id"], "incident_id IS NOT NULL")
    _index("failure", ["incident_id", "failed_at"], "incident_id IS NOT NULL")


def _create_notices() -> None:
    op.create_table(
        "incident_event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("incident_id", BIG_ID, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("task_id", TASK_ID, nullable=True),
        _refers("incident_event", "incident_id", "incident"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_event")),
    )
    _index("incident_event", ["incident_id", "id"])
    op.create_table(
        "incident_notice",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("incident_id", BIG_ID, nullable=False),
        sa.Column("global_action_id", BIG_ID, nullable=True),
        sa.Column("task_id", TASK_ID, nullable=True),
        sa.Column("told_at", TIME, nullable=True),
        sa.Column("last_told_at", TIME, nullable=True),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("targets", sa.Text(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("steps_from", TIME, nullable=True),
        sa.Column("paused_at", TIME, nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("told_kinds", sa.Text(), nullable=False),
        sa.Column("news_at", TIME, nullable=True),
        sa.Column("is_over", sa.Boolean(), nullable=False),
        sa.Column("next_at", TIME, nullable=True),
        _refers("incident_notice", "incident_id", "incident"),
        _refers("incident_notice", "global_action_id", "global_action"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_notice")),
        sa.UniqueConstraint(
            "incident_id",
            "global_action_id",
            name=op.f("uq_incident_notice_incident_id_global_action_id"),
        ),
        sqlite_autoincrement=True,
    )
    _index("incident_notice", ["next_at"], "next_at IS NOT NULL")
    _index("incident_notice", ["global_action_id"])


def _create_windows() -> None:
    op.create_table(
        "maintenance_window",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("monitor_id", sa.Uuid(), nullable=True),
        sa.Column("name_pattern", sa.String(length=255), nullable=False),
        sa.Column("starts", TIME, nullable=True),
        sa.Column("ends", TIME, nullable=True),
        sa.Column("schedule", sa.String(length=255), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("ends_at", TIME, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("updated", TIME, nullable=False),
        _refers("maintenance_window", "organization_id", "organization"),
        _refers("maintenance_window", "project_id", "project"),
        _refers("maintenance_window", "monitor_id", "monitor"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_window")),
    )
    _index("maintenance_window", ["organization_id", "id"])
    _index("maintenance_window", ["project_id"])
    _index("maintenance_window", ["monitor_id"])
    _index("maintenance_window", ["ends_at"], "ends_at IS NOT NULL")
    _create_index(
        "ix_maintenance_window_current",
        "maintenance_window",
        ["organization_id", "id"],
        "ends_at IS NOT NULL",
    )


def _refers(table: str, column: str, to: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"), ondelete=ondelete
    )


def _index(table: str, columns: list[str], where: str | None = None) -> None:
    _create_index(op.f("_".join(("ix", table, *columns))), table, columns, where)


def _create_index(
    name: str, table: str, columns: list[str], where: str | None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _added() -> dict[str, tuple[sa.Column, ...]]:
    return {
        "delivery": (
            sa.Column("waits_for_retry", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("held_by", sa.Text(), nullable=True),
        ),
        "global_action": (
            sa.Column("mode", sa.String(length=10), server_default="every", nullable=False),
            sa.Column("wait_for_retry", sa.Integer(), server_default=sa.text("0"), nullable=False),
            sa.Column("remind_after", sa.Integer(), server_default=sa.text("0"), nullable=False),
            sa.Column("escalation", sa.Text(), server_default="[]", nullable=False),
            sa.Column("at_least", sa.Integer(), nullable=True),
            sa.Column("within", sa.Integer(), nullable=True),
            sa.Column("rate", sa.Text(), server_default="[]", nullable=False),
            sa.Column("rate_reached", sa.Boolean(), server_default=sa.false(), nullable=False),
        ),
        "monitor": (
            sa.Column("remind_after", sa.Integer(), server_default=sa.text("0"), nullable=False),
            sa.Column("escalation", sa.Text(), server_default="[]", nullable=False),
        ),
        "run_stat": (
            sa.Column("retried", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        ),
    }


def _added_to_incident() -> tuple[sa.Column, ...]:
    return (
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("runs", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_failed_at", TIME, nullable=True),
        sa.Column("quiet_at", TIME, nullable=True),
        sa.Column("acknowledged_at", TIME, nullable=True),
        sa.Column("acknowledged_by", sa.String(length=255), nullable=True),
        sa.Column("snoozed_at", TIME, nullable=True),
        sa.Column("snoozed_until", TIME, nullable=True),
    )
