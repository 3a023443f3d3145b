"""Which messages were not delivered in the period of a digest."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import func, literal_column, select

from taskbadger.channels.text import counted
from taskbadger.domain.digests import Entry, Section
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import DEAD, DROPPED, TEST, WAITING
from taskbadger.models.types import Condition
from taskbadger.services.delivery.lists import LONGEST_HEAD, read_title
from taskbadger.services.digests.sections import COUNT_CAP, Scope, section, shown

# A literal, as in the index: planners do not use it for a parameter.
_IS_UNDELIVERED = Delivery.state != literal_column("'delivered'")


class DeadRow(NamedTuple):
    """A delivery that was given up."""

    id: str
    integration: str
    attempts: int
    error: str | None
    finished: datetime
    head: str
    """The beginning of its message."""


def read_dead(scope: Scope) -> Section:
    """Return the deliveries that were given up in the period, the latest first.

    Those that someone dismissed are left out, and tests: whoever sent one has seen the outcome.
    """
    columns: tuple[Any, ...] = (
        Delivery.id,
        Delivery.integration,
        Delivery.attempts,
        Delivery.error,
        Delivery.finished,
        func.substr(Delivery.message, 1, LONGEST_HEAD).label("head"),
    )
    are_dead = (*_finished(scope, DEAD), Delivery.kind != TEST)
    query = select(*columns).where(*are_dead).order_by(Delivery.finished.desc()).limit(COUNT_CAP)
    rows = cast(Sequence[DeadRow], db.session.execute(query).all())
    return section("Undelivered alerts", rows, lambda row: _dead_entry(scope, row))


def _dead_entry(scope: Scope, row: DeadRow) -> Entry:
    tries = "1 try" if row.attempts == 1 else f"{row.attempts:,} tries"
    detail = f"{row.integration}, given up {scope.moment(row.finished)} after {tries}"
    if row.error:
        detail += f": {row.error}"
    url = scope.url(f"alerts/deliveries/{row.id}/")
    return Entry(shown(read_title(row.head) or row.id), shown(detail), url)


def read_held(scope: Scope) -> Section:
    """Return how many messages were dropped in the period, and how many are held back now."""
    held = (
        Delivery.organization_id == scope.organization_id,
        Delivery.state == WAITING,
        Delivery.held_by.is_not(None),
    )
    numbers = (_count(_finished(scope, DROPPED)), _count(held))
    dropped, waiting = db.session.execute(select(*numbers)).one()
    found = []
    if dropped:
        found.append(("dropped", dropped, "not sent, because there was no reason to any more"))
    if waiting:
        found.append(("waiting", waiting, "sent when nothing holds them back any more"))

    def show(row: tuple[str, int, str]) -> Entry:
        state, number, detail = row
        word = "held back" if state == WAITING else state
        or_more = " or more" if number >= COUNT_CAP else ""
        title = f"{counted(number, 'message')}{or_more} {word}"
        return Entry(title, detail, scope.url("alerts/deliveries/", state=state))

    return section("Held back", found, show)


def _finished(scope: Scope, state: str) -> tuple[Condition, ...]:
    return (
        Delivery.organization_id == scope.organization_id,
        Delivery.state == state,
        _IS_UNDELIVERED,
        Delivery.finished >= scope.period.start,
        Delivery.finished < scope.period.end,
    )


def _count(conditions: Sequence[Condition]) -> Any:
    some = select(Delivery.id).where(*conditions).limit(COUNT_CAP).subquery()
    return select(func.count()).select_from(some).scalar_subquery()
