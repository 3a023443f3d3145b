"""A name has one open incident at most: the database says so, whoever opens it."""

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from incidents import NOW, make_incident
from services.incidents.happening import Seen, end, incidents
from simultaneous import at_once
from sqlalchemy.exc import IntegrityError

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models.incident_rows import HistoryEntry
from taskbadger.services.incidents import following
from taskbadger.services.stats import runs


@pytest.fixture
def slow_following(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows the history takes time between looking for an open incident and writing."""
    list_open = following._list_open

    def list_slowly(names: Collection[Any]) -> Any:
        found = list_open(names)
        time.sleep(0.5)
        return found

    monkeypatch.setattr(following, "_list_open", list_slowly)


def follow_or_follow_again(entry: HistoryEntry) -> None:
    """Follow one entry; start again if somebody else opened the incident meanwhile."""
    try:
        following.follow([entry], [], now=NOW)
    except IntegrityError:
        db.session.rollback()
        following.follow([entry], [], now=NOW)


def following_of(entry: HistoryEntry) -> Callable[[], None]:
    return lambda: follow_or_follow_again(entry)


@pytest.mark.usefixtures("slow_following")
def test_sessions_that_open_an_incident_of_one_name_at_once_end_with_one(
    app: Flask, project: ProjectRef
) -> None:
    for _ in range(2):
        end(project)
    batch = runs.read_batch(now=NOW + timedelta(minutes=1))
    assert batch is not None

    at_once(app, *map(following_of, batch.entries))

    assert incidents() == [Seen("job", 0, None, 2)]


def test_database_refuses_a_second_open_incident_of_a_name(project: ProjectRef) -> None:
    make_incident(project)
    make_incident(project, "another name")
    make_incident(project, closed_at=NOW)

    with pytest.raises(IntegrityError):
        make_incident(project)
    db.session.rollback()
