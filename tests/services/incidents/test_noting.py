"""Which global actions tell of an incident, and when they are asked next."""

from typing import Any

import pytest
from alerting import make_global_action
from services.incidents.happening import end, follow, minutes
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import IncidentNotice


def notices() -> list[tuple[int | None, str | None, float | None, float | None]]:
    """Global action, task, when news are told, and the next time of each notice."""
    db.session.rollback()
    rows = db.session.scalars(select(IncidentNotice).order_by(IncidentNotice.id)).all()
    return [
        (
            row.global_action_id,
            row.task_id,
            None if row.news_at is None else minutes(row.news_at),
            None if row.next_at is None else minutes(row.next_at),
        )
        for row in rows
    ]


def make(place: ProjectRef, **fields: Any) -> int:
    return make_global_action(place, mode="incident", **fields)


@pytest.mark.parametrize(
    ("fields", "is_noted"),
    [
        ({}, True),
        ({"trigger": "stale"}, False),
        ({"trigger": "max_runtime_exceeded"}, False),
        ({"trigger": "stale,error"}, True),
        ({"name_pattern": "^jo"}, True),
        ({"name_pattern": "^o"}, False),
        ({"enabled": False}, False),
        ({"project": "web"}, True),
    ],
)
def test_global_action_is_noted_if_a_failure_reaches_it(
    project: ProjectRef, fields: dict[str, Any], is_noted: bool
) -> None:
    number = make(project, **fields)
    task_id = end(project)
    follow()

    assert notices() == ([(number, task_id, None, 0)] if is_noted else [])


def test_global_actions_in_the_mode_every_are_not_noted(project: ProjectRef) -> None:
    make_global_action(project)
    end(project)
    follow()

    assert notices() == []


def test_new_kinds_are_news(project: ProjectRef) -> None:
    number = make(project)
    first = end(project, error="one")
    follow()
    end(project, error="one", minute=1)
    end(project, error="two", minute=2)
    end(project, error="two", minute=3)
    end(project, error="three", minute=4)
    follow(4)

    assert notices() == [(number, first, 2, 0)]


def test_kinds_that_come_at_once_are_news_but_for_the_first(project: ProjectRef) -> None:
    number = make(project)
    first = end(project, error="one")
    end(project, error="two")
    follow()

    assert notices() == [(number, first, 0, 0)]
