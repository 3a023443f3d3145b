"""The sweep that erases what was deleted, row by row."""

from collections.abc import Iterator

from taskbadger.extensions import db, is_conflict, reading, roll_back
from taskbadger.services.deletion import closing, erasing
from taskbadger.worker import steps
from taskbadger.worker.groups import TimeLimit

under_way: dict[int, Iterator[int]] = {}
"""How far the deletions have come that one run could not finish, by their ids."""


def erase_deleted() -> bool:
    """Erase what is left of deleted projects and organizations; say whether there is more."""
    with reading():
        found = closing.list_deletions()
    for gone in under_way.keys() - {deletion.id for deletion in found}:
        del under_way[gone]
    limit = TimeLimit()
    for deletion in found:
        work = under_way.pop(deletion.id, None)
        work = work or erasing.erase(deletion, clock=steps.database_now)
        try:
            for _ in work:
                db.session.commit()
                if not limit.pause():
                    under_way[deletion.id] = work
                    return True
        except Exception as error:
            roll_back()
            if not is_conflict(error):
                raise
        # It is done, or too early for its end, or another worker is at it.
        db.session.rollback()
    return False
