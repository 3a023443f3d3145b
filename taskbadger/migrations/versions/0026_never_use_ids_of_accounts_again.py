"""Note what is being deleted, and never use ids of organizations, projects and users again."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
TABLES = ("organization", "project", "user_account")
IS_DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    _rebuild(autoincrement=True)
    for column in _added():
        op.add_column("organization", column)
    # What an older version was left with: no other slug begins like this.
    op.execute(
        "UPDATE organization SET deleted_at = created, deleted_as = name WHERE slug LIKE '~%'"
    )
    op.create_index(
        op.f("ix_organization_deleted_at"),
        "organization",
        ["deleted_at"],
        sqlite_where=IS_DELETED,
        postgresql_where=IS_DELETED,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_organization_deleted_at"), table_name="organization")
    for column in _added():
        op.drop_column("organization", column.name)
    _rebuild(autoincrement=False)


def _rebuild(*, autoincrement: bool) -> None:
    """Let SQLite remember the highest id; PostgreSQL always does."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in TABLES:
        with op.batch_alter_table(
            table, recreate="always", table_kwargs={"sqlite_autoincrement": autoincrement}
        ):
            pass


def _added() -> tuple[sa.Column, ...]:
    return (
        sa.Column("deleted_at", TIME, nullable=True),
        sa.Column("deleted_as", sa.String(length=101), nullable=True),
        sa.Column("deleted_from", sa.Integer(), nullable=True),
    )
