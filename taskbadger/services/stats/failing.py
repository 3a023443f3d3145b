"""What is failing now: the open incidents of monitors, and of names of tasks.

``services/monitors/incidents.py`` decides about monitors. ``services/incidents/following.py``
follows names as the history goes on, and lags behind as it does.
"""

from typing import Any, NamedTuple, cast

from sqlalchemy import Integer, ScalarSelect, Table, bindparam, func, select

from taskbadger.extensions import Statement
from taskbadger.models import Incident
from taskbadger.models.types import Condition
from taskbadger.services.incidents import jobs

COUNT_CAP = 1000


class Failing(NamedTuple):
    """How many monitors and names are failing, up to COUNT_CAP each, and each job once."""

    monitors: int
    names: int
    """Those whose monitors are not failing."""

    @property
    def total(self) -> int:
        """Both together."""
        return self.monitors + self.names


def _number_of(*conditions: Condition) -> ScalarSelect[int]:
    some = select(_incident.id).where(*_IS_OPEN, *conditions).limit(bindparam("cap"))
    return select(func.count()).select_from(some.subquery()).scalar_subquery()


_incident = cast(Table, Incident.__table__).c
_ORGANIZATION = bindparam("organization", type_=Integer)
_IS_OPEN = (_incident.organization_id == _ORGANIZATION, _incident.closed_at.is_(None))
# Every page counts, so the statement is built once.
_NUMBERS: list[ScalarSelect[Any]] = [
    _number_of(_incident.monitor_id.is_not(None)),
    _number_of(_incident.monitor_id.is_(None), jobs.is_only_one(_ORGANIZATION)),
]
_COUNT = Statement(select(*_NUMBERS), Failing._make)


def count_failing(organization_id: int) -> Failing:
    """Return how many monitors and names of an organization are failing, in one query."""
    [failing] = _COUNT.all({"organization": organization_id, "cap": COUNT_CAP})
    return failing
