"""What the commands that delete share: they say what would go, ask, and erase."""

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import click
from sqlalchemy.exc import DBAPIError

from taskbadger.clock import utcnow
from taskbadger.errors import Conflict
from taskbadger.extensions import db, is_conflict, reading, roll_back
from taskbadger.services.deletion import closing, erasing
from taskbadger.services.deletion.closing import Deletion
from taskbadger.services.deletion.counting import Count
from taskbadger.worker.groups import PAUSE_SECONDS, let_others_write

Function = TypeVar("Function", bound=Callable[..., Any])

RETRY_SECONDS = 0.5
REPORT_SECONDS = 5.0


def yes_option(function: Function) -> Function:
    """Add the option ``--yes``, which the command gets as *yes*."""
    return click.option("--yes", is_flag=True, help="Delete without asking.")(function)


def show_counts(name: str, counts: Iterable[Count]) -> None:
    """Print what the deletion of *name* deletes; leaves no transaction open."""
    db.session.rollback()
    click.echo(f"This deletes {name}, with:")
    for count in counts:
        click.echo(f"  {count.kind:20}{count.text:>20}")


def confirm(name: str, *, yes: bool) -> None:
    """Ask for the name, on a terminal; raises Conflict unless it is typed, or *yes* is given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Conflict("nothing was deleted: add --yes to delete it")
    if click.prompt(f"This cannot be undone. To delete it, type {name}") != name:
        raise Conflict("nothing was deleted: that is another name")


def erase_all(deletions: Sequence[Deletion]) -> None:
    """Erase what was deleted, beside the background workers, until nothing is left of it."""
    ids = {deletion.id for deletion in deletions}
    rows, reported = 0, time.monotonic()
    while left := [each for each in _list_deletions() if each.id in ids]:
        for number in itertools.chain.from_iterable(map(_erase, left)):
            rows += number
            let_others_write(PAUSE_SECONDS)
            if time.monotonic() > reported + REPORT_SECONDS:
                reported = time.monotonic()
                click.echo(f"{rows:,} rows are gone…", err=True)
        if _list_deletions():
            time.sleep(RETRY_SECONDS)


def _list_deletions() -> Sequence[Deletion]:
    with reading():
        return closing.list_deletions()


def _erase(deletion: Deletion) -> Iterator[int]:
    """Erase as much as can be erased now; yield how many rows after each transaction."""
    try:
        for number in erasing.erase(deletion, clock=utcnow):
            db.session.commit()
            yield number
    except DBAPIError as error:
        if not is_conflict(error):
            raise
    finally:
        roll_back()
