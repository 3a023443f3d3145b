"""Groups: sweeps do what is due in small transactions, for about a second."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from taskbadger.extensions import db, is_conflict, is_outage, make_checkpoint, roll_back
from taskbadger.worker.left_out import Id, LeftOut

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Group = TypeVar("Group")

SWEEP_SECONDS = 1.0
"""How long a sweep may take before it lets the other steps run, such as `tick`."""

PAUSE_SECONDS = 0.003
"""How long a sweep leaves SQLite's lock to others between transactions."""


def let_others_write(seconds: float) -> None:
    """Pause between transactions, and make SQLite's checkpoint if it is due."""
    if seconds:
        time.sleep(seconds)
    make_checkpoint()


class TimeLimit:
    """Ends SWEEP_SECONDS from now."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SWEEP_SECONDS

    def pause(self, seconds: float | None = None) -> bool:
        """Let others write between transactions, if there is time for more; say whether there is.

        Without *seconds*, only SQLite's lock is left to them: elsewhere they need not wait.
        """
        if time.monotonic() > self._until:
            return False
        if seconds is None:
            seconds = PAUSE_SECONDS if db.engine.dialect.name == "sqlite" else 0.0
        let_others_write(seconds)
        return True


def split(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return *items* in groups of *size*; the last one may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def do_groups(
    operation: Callable[[Group], int], groups: Sequence[Group], limit: TimeLimit
) -> tuple[int, bool]:
    """Do *operation* for each group, for the first one at least, as long as there is time.

    Returns the sum of its results, and whether all groups had their turn.
    """
    done = 0
    for number, group in enumerate(groups, start=1):
        done += operation(group)
        if number < len(groups) and not limit.pause():
            return done, False
    return done, True


def do_or_leave_out(
    operation: Callable[[Sequence[Id]], int],
    ids: Sequence[Id],
    left_out: LeftOut[Id],
    kind: Literal["task", "monitor", "notice"],
) -> int:
    """Do *operation* in one transaction; if that fails, for each id in its own.

    So none stops others: one that fails alone is logged, and left out for a while. Returns how
    many the next sweep will not find: those that were done, or are left out from now on.
    """
    try:
        done = operation(ids)
        db.session.commit()
    except Exception as error:
        roll_back()
        if is_outage(error) and not is_conflict(error):
            raise
        if len(ids) > 1:
            return sum(do_or_leave_out(operation, [each], left_out, kind) for each in ids)
        if is_conflict(error):
            return 0  # The next sweep comes soon.
        log.exception("%s could not be updated", kind, extra={kind: str(ids[0])})
        return int(left_out.add(ids[0]))
    return done
