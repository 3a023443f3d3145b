"""Let PostgreSQL walk the index of a project or an organization, not that of the primary key.

With statistics about ids, its planner sees that rows lie in the order of ids, expects a project's
rows to be spread evenly, and reads the newest rows of all projects until it has a page. That is
slow for a project whose rows are older than those of others.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("task", "delivery", "audit_entry")


def upgrade() -> None:
    _gather(0)


def downgrade() -> None:
    _gather(-1)


def _gather(target: int) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN id SET STATISTICS {target}")
