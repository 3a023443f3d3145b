"""The lease of Celery's beat: however many run, the one that holds it sends."""

from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import change_rows, db
from taskbadger.models import BeatLease


class State(NamedTuple):
    """What the row says."""

    holder: str | None
    changes: int


NEVER_HELD = State(None, 0)


def read() -> State:
    """Return who holds the lease."""
    columns = select(BeatLease.holder, BeatLease.changes).where(BeatLease.id == 1)
    row = db.session.execute(columns).one_or_none()
    return NEVER_HELD if row is None else State(*row)


def replace(seen: State, holder: str | None) -> bool:
    """Give the lease to *holder*, or to nobody, if it still is as *seen*; say whether it was."""
    if seen == NEVER_HELD:
        dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
        first = dialect.insert(BeatLease).values(id=1, holder=holder, changes=1)
        made = first.on_conflict_do_nothing().returning(BeatLease.id)
        return db.session.execute(made).first() is not None
    changed = change_rows(
        update(BeatLease)
        .where(BeatLease.id == 1, BeatLease.changes == seen.changes)
        .values(holder=holder, changes=seen.changes + 1)
        .execution_options(synchronize_session=False)
    )
    return changed == 1
