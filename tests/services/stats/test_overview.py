"""What the overview shows besides tasks: what fails, what runs next, and messages given up."""

from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from delivering import queue
from services.stats.counting import NOW, count, run
from watching import Watch, at

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import DEAD, DISMISSED, WAITING
from taskbadger.services.monitors.lists import ExpectedMonitor
from taskbadger.services.stats import overview
from taskbadger.services.stats.failing import FailingMonitor, FailingName
from taskbadger.services.stats.overview import Surroundings, count_dead, read_surroundings


def give_up(
    project: ProjectRef, integration: str = "email", *, kind: str = "task", state: str = DEAD
) -> str:
    """Queue a message, and give it an end; return its id."""
    delivery_id = queue(project, integration)
    row = db.session.get_one(Delivery, delivery_id)
    row.kind, row.state, row.error, row.finished = kind, state, "Refused.", NOW
    row.next_attempt_at = NOW if state == WAITING else None
    db.session.commit()
    return delivery_id


def test_nothing_surrounds_an_organization_without_anything(project: ProjectRef) -> None:
    assert read_surroundings(project.organization_id, now=NOW) == Surroundings(
        monitors=[], names=[], next_runs=[], dead=[], dead_count=0
    )


def test_surroundings_are_those_of_all_projects_of_the_organization(project: ProjectRef) -> None:
    other, foreign = make_project("acme", "jobs"), make_project("globex", "web")
    for place in (project, other, foreign):
        run(place, f"import of {place.slug}", took=1, status="error")
    count()
    dead, created = give_up(other), db.session.scalar(db.select(Delivery.created))
    give_up(foreign)

    found = read_surroundings(project.organization_id, now=NOW)

    assert [tuple(row) for row in found.names] == [
        FailingName("import of jobs", "jobs", "error", NOW),
        FailingName("import of web", "web", "error", NOW),
    ]
    assert [tuple(row) for row in found.dead] == [(dead, "email", "Refused.", NOW, created)]
    assert (found.dead_count, found.monitors, found.next_runs) == (1, [], [])


def test_surroundings_have_failing_monitors_and_the_next_runs(project: ProjectRef) -> None:
    watch = Watch(project, fields={"name": "nightly"})
    watch.run("12:00", "error")
    Watch(make_project("globex", "web"), fields={"name": "theirs"}).run("12:00", "error")
    monitor = watch.monitor

    found = read_surroundings(project.organization_id, now=at("12:01"))

    assert [tuple(row) for row in found.monitors] == [
        FailingMonitor(monitor.id, "nightly", "web", at("12:00"))
    ]
    assert [tuple(row) for row in found.next_runs] == [
        ExpectedMonitor(monitor.id, "nightly", "web", monitor.expected_at or NOW)
    ]


def test_surroundings_are_the_first_few_of_each_kind(project: ProjectRef) -> None:
    for number in range(overview.ROWS + 2):
        run(project, f"job {number}", ago=number, status="error")
        Watch(project, fields={"name": f"monitor {number}"})
    count()
    given_up = [give_up(project) for _ in range(overview.ROWS + 2)]

    found = read_surroundings(project.organization_id, now=NOW)

    assert [row.name for row in found.names] == [f"job {number}" for number in range(5)]
    assert [row.id for row in found.dead] == sorted(given_up, key=ids.to_uuid, reverse=True)[:5]
    assert (len(found.next_runs), found.dead_count) == (5, 7)


def test_surroundings_take_as_many_queries_for_one_as_for_three(project: ProjectRef) -> None:
    taken = []
    for number in (1, 3):
        for name in range(number):
            run(project, f"job {number} {name}", status="error")
            give_up(project)
        count()
        with count_queries() as statements:
            read_surroundings(project.organization_id, now=NOW)
        taken.append(len(statements))

    assert taken == [5, 5]


def test_surroundings_can_be_used_after_their_session(project: ProjectRef) -> None:
    run(project, status="error")
    count()
    dead = give_up(project)

    found = read_surroundings(project.organization_id, now=NOW)
    db.session.remove()

    assert ([row.name for row in found.names], [row.id for row in found.dead]) == (["job"], [dead])


def test_name_stops_failing_after_a_day(project: ProjectRef) -> None:
    run(project, status="error")
    count()

    shown = [
        len(read_surroundings(project.organization_id, now=NOW + timedelta(hours=hours)).names)
        for hours in (0, 24, 25)
    ]

    assert shown == [1, 1, 0]


def test_only_messages_that_were_given_up_count(project: ProjectRef) -> None:
    give_up(project)
    give_up(project, "webhook:ops")
    give_up(project, kind="test")
    give_up(project, state=DISMISSED)
    give_up(project, state=WAITING)
    give_up(make_project("globex", "web"))

    number = project.organization_id
    assert [count_dead(number, name) for name in ("", "email", "webhook:ops", "webhook:x")] == [
        2,
        1,
        1,
        0,
    ]


def test_count_of_messages_stops_at_the_cap(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "COUNT_CAP", 2)
    for _ in range(3):
        give_up(project)

    assert count_dead(project.organization_id) == 2
