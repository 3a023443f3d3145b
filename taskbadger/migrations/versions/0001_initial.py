"""Initial."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC_TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
TASK_ID = sa.LargeBinary(length=16).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "destination",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("hold_until", UTC_TIME, nullable=True),
        sa.Column("seen", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_destination")),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(length=50), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sa.UniqueConstraint("slug", name=op.f("uq_organization_slug")),
    )
    op.create_table(
        "request_count",
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("window", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "window", name=op.f("pk_request_count")),
    )
    with op.batch_alter_table("request_count", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_count_window"), ["window"], unique=False)

    op.create_table(
        "run_stat_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_stat_cursor")),
    )
    op.create_table(
        "user_account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("disabled", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sa.UniqueConstraint("email", name=op.f("uq_user_account_email")),
    )
    op.create_table(
        "worker_tick",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_tick")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("actor_type", sa.String(length=10), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("verb", sa.String(length=50), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_audit_entry_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_audit_entry_organization_id_id"), ["organization_id", "id"], unique=False
        )

    op.create_table(
        "channel",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("slug", sa.String(length=29), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.Column("failing_since", UTC_TIME, nullable=True),
        sa.Column("disabled", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_channel_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel")),
        sa.UniqueConstraint(
            "organization_id", "kind", "slug", name=op.f("uq_channel_organization_id_kind_slug")
        ),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_identity_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identity_issuer_subject")),
    )
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identity_user_id"), ["user_id"], unique=False)

    op.create_table(
        "invitation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("invited_by", sa.String(length=255), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("expires", UTC_TIME, nullable=False),
        sa.Column("used", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_invitation_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitation_digest")),
    )
    with op.batch_alter_table("invitation", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_invitation_organization_id"), ["organization_id"], unique=False
        )

    op.create_table(
        "membership",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_membership_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_membership_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
        sa.UniqueConstraint(
            "user_id", "organization_id", name=op.f("uq_membership_user_id_organization_id")
        ),
    )
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_membership_organization_id"), ["organization_id"], unique=False
        )

    op.create_table(
        "project",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(length=50), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("public_pages", sa.Boolean(), nullable=False),
        sa.Column("public_data", sa.Boolean(), nullable=False),
        sa.Column("public_tags", sa.Boolean(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_project_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint(
            "organization_id", "slug", name=op.f("uq_project_organization_id_slug")
        ),
    )
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("search", sa.String(length=1000), nullable=False),
        sa.Column("project", sa.String(length=50), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_saved_view_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.UniqueConstraint(
            "organization_id", "name", name=op.f("uq_saved_view_organization_id_name")
        ),
    )
    op.create_table(
        "user_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("last_seen", UTC_TIME, nullable=False),
        sa.Column("expires", UTC_TIME, nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_user_session_user_id_user_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_session")),
        sa.UniqueConstraint("digest", name=op.f("uq_user_session_digest")),
    )
    with op.batch_alter_table("user_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_user_session_expires"), ["expires"], unique=False)
        batch_op.create_index(batch_op.f("ix_user_session_user_id"), ["user_id"], unique=False)

    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=50), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("expires", UTC_TIME, nullable=True),
        sa.Column("revoked", UTC_TIME, nullable=True),
        sa.Column("last_used", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_api_key_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_api_key_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_api_key_organization_id_id"), ["organization_id", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_api_key_project_id"), ["project_id"], unique=False)

    op.create_table(
        "global_action",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("name_pattern", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=255), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("quiet_period", sa.Integer(), nullable=False),
        sa.Column("quiet_until", UTC_TIME, nullable=True),
        sa.Column("held_back", sa.Integer(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_global_action_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_global_action_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_global_action")),
    )
    with op.batch_alter_table("global_action", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_global_action_organization_id_id"),
            ["organization_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_global_action_project_id"), ["project_id"], unique=False
        )

    op.create_table(
        "idempotency_record",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_idempotency_record_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "key", name=op.f("pk_idempotency_record")),
    )
    with op.batch_alter_table("idempotency_record", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_idempotency_record_created"), ["created"], unique=False
        )

    op.create_table(
        "monitor",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("schedule", sa.String(length=255), nullable=True),
        sa.Column("interval", sa.Integer(), nullable=True),
        sa.Column("anchor", sa.String(length=5), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("start_grace", sa.Integer(), nullable=True),
        sa.Column("max_runtime", sa.Integer(), nullable=True),
        sa.Column("early_margin", sa.Integer(), nullable=True),
        sa.Column("failure_threshold", sa.Integer(), nullable=False),
        sa.Column("recovery_threshold", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("muted_until", UTC_TIME, nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("seen", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expected_at", UTC_TIME, nullable=True),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_monitor_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor")),
    )
    with op.batch_alter_table("monitor", schema=None) as batch_op:
        batch_op.create_index("ix_monitor_expected_at", ["expected_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_monitor_project_id_id"), ["project_id", "id"], unique=False
        )

    op.create_table(
        "run_stat",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("start", UTC_TIME, nullable=False),
        sa.Column("success", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("stale", sa.BigInteger(), nullable=False),
        sa.Column("last", UTC_TIME, nullable=False),
        sa.Column("run_times", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_run_stat_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "seconds", "name", "start", name=op.f("pk_run_stat")),
    )
    with op.batch_alter_table("run_stat", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_run_stat_seconds_start"), ["seconds", "start"], unique=False
        )

    op.create_table(
        "task",
        sa.Column("id", TASK_ID, nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("parent", TASK_ID, nullable=True),
        sa.Column("has_children", sa.Boolean(), nullable=False),
        sa.Column("has_actions", sa.Boolean(), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("name_folded", sa.String(length=765), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stale_from", sa.String(length=16), nullable=True),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.Column("value_max", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.Column("start_time", UTC_TIME, nullable=True),
        sa.Column("end_time", UTC_TIME, nullable=True),
        sa.Column("time_to_start", sa.BigInteger(), nullable=True),
        sa.Column("max_runtime", sa.Integer(), nullable=True),
        sa.Column("stale_timeout", sa.Integer(), nullable=True),
        sa.Column("stale_at", UTC_TIME, nullable=True),
        sa.Column("overdue_at", UTC_TIME, nullable=True),
        sa.Column("progress_event_id", sa.BigInteger(), nullable=True),
        sa.Column("progress_at", UTC_TIME, nullable=True),
        sa.Column("progress_count", sa.Integer(), nullable=False),
        sa.Column("progress_step", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent"], ["task.id"], name=op.f("fk_task_parent_task"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_task_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_task_monitor_id_created_id"),
            ["monitor_id", "created", "id"],
            unique=False,
            sqlite_where=sa.text("monitor_id IS NOT NULL"),
            postgresql_where=sa.text("monitor_id IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_task_overdue_at"),
            ["overdue_at"],
            unique=False,
            sqlite_where=sa.text("overdue_at IS NOT NULL"),
            postgresql_where=sa.text("overdue_at IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_task_parent_created_id"),
            ["parent", "created", "id"],
            unique=False,
            sqlite_where=sa.text("parent IS NOT NULL"),
            postgresql_where=sa.text("parent IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_task_project_id_created_id"),
            ["project_id", "created", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_task_project_id_external_id"),
            ["project_id", "external_id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_task_project_id_name_created_id"),
            ["project_id", "name", "created", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_task_project_id_status_created_id"),
            ["project_id", "status", "created", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_task_project_id_updated"), ["project_id", "updated"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_task_stale_at"),
            ["stale_at"],
            unique=False,
            sqlite_where=sa.text("stale_at IS NOT NULL"),
            postgresql_where=sa.text("stale_at IS NOT NULL"),
        )

    op.create_table(
        "action",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("trigger", sa.String(length=255), nullable=False),
        sa.Column("integration", sa.String(length=50), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_action_task_id_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action")),
    )
    with op.batch_alter_table("action", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_action_task_id_id"), ["task_id", "id"], unique=False)

    op.create_table(
        "incident",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("opened_at", UTC_TIME, nullable=False),
        sa.Column("closed_at", UTC_TIME, nullable=True),
        sa.Column("bad_slots", sa.Integer(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["monitor.id"],
            name=op.f("fk_incident_monitor_id_monitor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_incident_monitor_id_id"), ["monitor_id", "id"], unique=False
        )
        batch_op.create_index(
            "uq_incident_open",
            ["monitor_id"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )

    op.create_table(
        "slot",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expected_at", UTC_TIME, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_expected_at", UTC_TIME, nullable=True),
        sa.Column("deadline_at", UTC_TIME, nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        sa.Column("extra_runs", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["monitor.id"],
            name=op.f("fk_slot_monitor_id_monitor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot")),
        sa.UniqueConstraint(
            "monitor_id", "expected_at", name=op.f("uq_slot_monitor_id_expected_at")
        ),
    )
    with op.batch_alter_table("slot", schema=None) as batch_op:
        batch_op.create_index(
            "ix_slot_deadline_at",
            ["deadline_at"],
            unique=False,
            sqlite_where=sa.text("deadline_at IS NOT NULL"),
            postgresql_where=sa.text("deadline_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_slot_open",
            ["monitor_id"],
            unique=False,
            sqlite_where=sa.text("state IN ('expected', 'running')"),
            postgresql_where=sa.text("state IN ('expected', 'running')"),
        )

    op.create_table(
        "task_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.Column("value_max", sa.BigInteger(), nullable=False),
        sa.Column("actor_type", sa.String(length=10), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_task_event_task_id_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_event")),
    )
    with op.batch_alter_table("task_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_task_event_task_id_id"), ["task_id", "id"], unique=False
        )

    op.create_table(
        "task_tag",
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_task_tag_task_id_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "name", name=op.f("pk_task_tag")),
    )
    with op.batch_alter_table("task_tag", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_task_tag_project_id_name_value_task_id"),
            ["project_id", "name", "value", "task_id"],
            unique=False,
        )

    op.create_table(
        "firing",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("task_version", sa.BigInteger(), nullable=False),
        sa.Column("action_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "global_action_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("trigger", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_back", sa.Boolean(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["action.id"],
            name=op.f("fk_firing_action_id_action"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["global_action_id"],
            ["global_action.id"],
            name=op.f("fk_firing_global_action_id_global_action"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_firing_task_id_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firing")),
        sa.UniqueConstraint(
            "action_id", "task_version", name=op.f("uq_firing_action_id_task_version")
        ),
        sa.UniqueConstraint(
            "global_action_id",
            "task_id",
            "task_version",
            name=op.f("uq_firing_global_action_id_task_id_task_version"),
        ),
    )
    with op.batch_alter_table("firing", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_firing_task_id_id"), ["task_id", "id"], unique=False)

    op.create_table(
        "slot_run",
        sa.Column("task_id", TASK_ID, nullable=False),
        sa.Column("slot_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("is_extra", sa.Boolean(), nullable=False),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["slot_id"], ["slot.id"], name=op.f("fk_slot_run_slot_id_slot"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_slot_run_task_id_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_slot_run")),
    )
    with op.batch_alter_table("slot_run", schema=None) as batch_op:
        batch_op.create_index(
            "ix_slot_run_going",
            ["monitor_id"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_slot_run_slot_id"), ["slot_id"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("id", TASK_ID, nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("firing_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("integration", sa.String(length=50), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("destination", sa.String(length=255), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UTC_TIME, nullable=True),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("published_at", UTC_TIME, nullable=True),
        sa.Column("error_class", sa.String(length=50), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("finished", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["firing_id"],
            ["firing.id"],
            name=op.f("fk_delivery_firing_id_firing"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name=op.f("fk_delivery_organization_id_organization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "firing_id", "integration", name=op.f("uq_delivery_firing_id_integration")
        ),
        sa.UniqueConstraint("key", name=op.f("uq_delivery_key")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_finished"), ["finished"], unique=False)
        batch_op.create_index(
            "ix_delivery_open",
            ["destination", "next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        )
        batch_op.create_index(
            batch_op.f("ix_delivery_organization_id_id"), ["organization_id", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_delivery_organization_id_integration_state_id"),
            ["organization_id", "integration", "state", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_delivery_organization_id_state_id"),
            ["organization_id", "state", "id"],
            unique=False,
        )
        batch_op.create_index(
            "ix_delivery_sending",
            ["destination"],
            unique=False,
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )

    op.create_table(
        "delivery_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", TASK_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started", UTC_TIME, nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error_class", sa.String(length=50), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["delivery.id"],
            name=op.f("fk_delivery_attempt_delivery_id_delivery"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    with op.batch_alter_table("delivery_attempt", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_delivery_attempt_delivery_id_id"), ["delivery_id", "id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("delivery_attempt", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_attempt_delivery_id_id"))

    op.drop_table("delivery_attempt")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_sending",
            sqlite_where=sa.text("state = 'sending'"),
            postgresql_where=sa.text("state = 'sending'"),
        )
        batch_op.drop_index(batch_op.f("ix_delivery_organization_id_state_id"))
        batch_op.drop_index(batch_op.f("ix_delivery_organization_id_integration_state_id"))
        batch_op.drop_index(batch_op.f("ix_delivery_organization_id_id"))
        batch_op.drop_index(
            "ix_delivery_open",
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_delivery_finished"))

    op.drop_table("delivery")
    with op.batch_alter_table("slot_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_slot_run_slot_id"))
        batch_op.drop_index(
            "ix_slot_run_going",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.drop_table("slot_run")
    with op.batch_alter_table("firing", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_firing_task_id_id"))

    op.drop_table("firing")
    with op.batch_alter_table("task_tag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_task_tag_project_id_name_value_task_id"))

    op.drop_table("task_tag")
    with op.batch_alter_table("task_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_task_event_task_id_id"))

    op.drop_table("task_event")
    with op.batch_alter_table("slot", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_slot_open",
            sqlite_where=sa.text("state IN ('expected', 'running')"),
            postgresql_where=sa.text("state IN ('expected', 'running')"),
        )
        batch_op.drop_index(
            "ix_slot_deadline_at",
            sqlite_where=sa.text("deadline_at IS NOT NULL"),
            postgresql_where=sa.text("deadline_at IS NOT NULL"),
        )

    op.drop_table("slot")
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_incident_open",
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_incident_monitor_id_id"))

    op.drop_table("incident")
    with op.batch_alter_table("action", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_action_task_id_id"))

    op.drop_table("action")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_task_stale_at"),
            sqlite_where=sa.text("stale_at IS NOT NULL"),
            postgresql_where=sa.text("stale_at IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_task_project_id_updated"))
        batch_op.drop_index(batch_op.f("ix_task_project_id_status_created_id"))
        batch_op.drop_index(batch_op.f("ix_task_project_id_name_created_id"))
        batch_op.drop_index(batch_op.f("ix_task_project_id_external_id"))
        batch_op.drop_index(batch_op.f("ix_task_project_id_created_id"))
        batch_op.drop_index(
            batch_op.f("ix_task_parent_created_id"),
            sqlite_where=sa.text("parent IS NOT NULL"),
            postgresql_where=sa.text("parent IS NOT NULL"),
        )
        batch_op.drop_index(
            batch_op.f("ix_task_overdue_at"),
            sqlite_where=sa.text("overdue_at IS NOT NULL"),
            postgresql_where=sa.text("overdue_at IS NOT NULL"),
        )
        batch_op.drop_index(
            batch_op.f("ix_task_monitor_id_created_id"),
            sqlite_where=sa.text("monitor_id IS NOT NULL"),
            postgresql_where=sa.text("monitor_id IS NOT NULL"),
        )

    op.drop_table("task")
    with op.batch_alter_table("run_stat", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_stat_seconds_start"))

    op.drop_table("run_stat")
    with op.batch_alter_table("monitor", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_monitor_project_id_id"))
        batch_op.drop_index("ix_monitor_expected_at")

    op.drop_table("monitor")
    with op.batch_alter_table("idempotency_record", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_record_created"))

    op.drop_table("idempotency_record")
    with op.batch_alter_table("global_action", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_global_action_project_id"))
        batch_op.drop_index(batch_op.f("ix_global_action_organization_id_id"))

    op.drop_table("global_action")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_key_project_id"))
        batch_op.drop_index(batch_op.f("ix_api_key_organization_id_id"))

    op.drop_table("api_key")
    with op.batch_alter_table("user_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_user_session_user_id"))
        batch_op.drop_index(batch_op.f("ix_user_session_expires"))

    op.drop_table("user_session")
    op.drop_table("saved_view")
    op.drop_table("project")
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_membership_organization_id"))

    op.drop_table("membership")
    with op.batch_alter_table("invitation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invitation_organization_id"))

    op.drop_table("invitation")
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_identity_user_id"))

    op.drop_table("identity")
    op.drop_table("channel")
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_entry_organization_id_id"))

    op.drop_table("audit_entry")
    op.drop_table("worker_tick")
    op.drop_table("user_account")
    op.drop_table("run_stat_cursor")
    with op.batch_alter_table("request_count", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_request_count_window"))

    op.drop_table("request_count")
    op.drop_table("organization")
    op.drop_table("destination")
