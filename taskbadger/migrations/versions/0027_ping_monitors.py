"""Give monitors slugs and addresses for pings, and keep the latest pings."""

import re
import unicodedata
from itertools import count
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
TASK_ID = sa.LargeBinary(length=16).with_variant(sa.Uuid(), "postgresql")
MAX_LENGTH = 100


def upgrade() -> None:
    op.add_column("monitor", sa.Column("slug", sa.String(length=MAX_LENGTH), nullable=True))
    op.add_column("monitor", sa.Column("ping_id", sa.Uuid(), nullable=True))
    op.add_column(
        "monitor", sa.Column("tags", sa.String(length=500), server_default="", nullable=False)
    )
    op.add_column("monitor", sa.Column("description", sa.Text(), server_default="", nullable=False))
    _fill()
    op.create_index(
        op.f("ix_monitor_slug_project_id"), "monitor", ["slug", "project_id"], unique=True
    )
    op.create_index(op.f("ix_monitor_ping_id"), "monitor", ["ping_id"], unique=True)
    op.create_table(
        "ping",
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("signal", sa.String(length=8), nullable=False),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", TASK_ID, nullable=True),
        sa.Column("scheme", sa.String(length=8), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.Column("has_body", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["monitor.id"],
            name=op.f("fk_ping_monitor_id_monitor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("monitor_id", "number", name=op.f("pk_ping")),
    )


def downgrade() -> None:
    op.drop_table("ping")
    op.drop_column("monitor", "description")
    op.drop_column("monitor", "tags")
    op.drop_index(op.f("ix_monitor_ping_id"), table_name="monitor")
    op.drop_column("monitor", "ping_id")
    op.drop_index(op.f("ix_monitor_slug_project_id"), table_name="monitor")
    op.drop_column("monitor", "slug")


def _fill() -> None:
    monitor = sa.table(
        "monitor",
        sa.column("id", sa.Uuid()),
        sa.column("project_id", sa.Integer()),
        sa.column("name", sa.String()),
        sa.column("slug", sa.String()),
        sa.column("ping_id", sa.Uuid()),
    )
    bind = op.get_bind()
    taken: set[tuple[int, str]] = set()
    slugs = []
    query = sa.select(monitor.c.id, monitor.c.project_id, monitor.c.name).order_by(monitor.c.id)
    for row in bind.execute(query):
        slug = _first_free(taken, row.project_id, _from_name(row.name) or "monitor")
        taken.add((row.project_id, slug))
        slugs.append({"of": row.id, "to": slug, "secret": uuid4()})
    if slugs:
        change = sa.update(monitor).where(monitor.c.id == sa.bindparam("of"))
        bind.execute(change.values(slug=sa.bindparam("to"), ping_id=sa.bindparam("secret")), slugs)


def _from_name(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_LENGTH].strip("-")


def _first_free(taken: set[tuple[int, str]], project_id: int, slug: str) -> str:
    numbered = (f"{slug[: MAX_LENGTH - 9].rstrip('-')}-{number}" for number in count(2))
    if (project_id, slug) not in taken:
        return slug
    return next(each for each in numbered if (project_id, each) not in taken)
