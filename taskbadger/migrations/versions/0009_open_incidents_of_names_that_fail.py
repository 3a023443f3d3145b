"""Open incidents of the names that are failing, by the counts of their runs."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

A_DAY_AGO = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-1 day')",
    "postgresql": "now() - interval '1 day'",
}
A_DAY_LATER = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f000Z', last, '+1 day')",
    "postgresql": "last + interval '1 day'",
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    false = "false" if dialect == "postgresql" else "0"
    op.execute(
        "INSERT INTO incident (organization_id, project_id, name, opened_at, bad_slots, runs,"  # noqa: S608 - constants
        " last_failed_at, quiet_at, told)"
        " SELECT project.organization_id, project.id, run_stat.name, last, 0, error + stale,"
        f" last, {A_DAY_LATER[dialect]}, {false}"
        " FROM run_stat JOIN project ON project.id = run_stat.project_id"
        " WHERE seconds = 86400 AND last_outcome IN ('error', 'stale')"
        f" AND last >= {A_DAY_AGO[dialect]}"
        " AND NOT EXISTS (SELECT 1 FROM run_stat AS later"
        " WHERE later.project_id = run_stat.project_id AND later.seconds = 86400"
        " AND later.name = run_stat.name AND later.start > run_stat.start"
        " AND later.last_outcome IS NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DELETE FROM incident WHERE name IS NOT NULL")
