"""Sort tasks by id, which is the order of their creation."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = (("project_id",), ("project_id", "status"), ("project_id", "name"))
PARTIAL = ("parent", "monitor_id")


def upgrade() -> None:
    _replace(("created", "id"), ("id",))


def downgrade() -> None:
    _replace(("id",), ("created", "id"))


def _replace(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Creating an index blocks writers, and dropping one waits for readers. A running server
        # of the previous version could deadlock with that, so lock out both at once.
        op.execute("LOCK TABLE task IN ACCESS EXCLUSIVE MODE")
    for columns in INDEXES:
        _create((*columns, *new))
        op.drop_index(_name((*columns, *old)), table_name="task")
    for column in PARTIAL:
        _create((column, *new), sa.text(f"{column} IS NOT NULL"))
        op.drop_index(_name((column, *old)), table_name="task")


def _create(columns: tuple[str, ...], where: sa.TextClause | None = None) -> None:
    op.create_index(
        _name(columns),
        "task",
        list(columns),
        unique=False,
        sqlite_where=where,
        postgresql_where=where,
    )


def _name(columns: tuple[str, ...]) -> str:
    return op.f("_".join(("ix_task", *columns)))
