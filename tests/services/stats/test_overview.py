"""What the overview shows besides tasks: what fails, what runs next, and messages given up."""

import pytest
from conftest import count_queries, make_project
from delivering import queue
from incidents import make_incident
from services.stats.counting import NOW, count, run
from watching import Watch, at

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident
from taskbadger.models.delivery import DEAD, DISMISSED, WAITING
from taskbadger.services.incidents.lists import OpenIncident
from taskbadger.services.monitors.lists import ExpectedMonitor
from taskbadger.services.stats import overview
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
        incidents=[], next_runs=[], dead=[], dead_count=0
    )


def test_surroundings_are_those_of_all_projects_of_the_organization(project: ProjectRef) -> None:
    other, foreign = make_project("acme", "jobs"), make_project("globex", "web")
    for place in (project, other, foreign):
        run(place, f"import of {place.slug}", took=1, status="error")
    count()
    dead, created = give_up(other), db.session.scalar(db.select(Delivery.created))
    give_up(foreign)

    found = read_surroundings(project.organization_id, now=NOW)

    assert [(row.subject, row.project, row.is_monitor) for row in found.incidents] == [
        ("import of jobs", "jobs", False),
        ("import of web", "web", False),
    ]
    assert [tuple(row) for row in found.dead] == [(dead, "email", "Refused.", NOW, created, 1)]
    assert (found.dead_count, found.next_runs) == (1, [])


def test_surroundings_have_failing_monitors_and_the_next_runs(project: ProjectRef) -> None:
    watch = Watch(project, fields={"name": "nightly"})
    watch.run("12:00", "error")
    Watch(make_project("globex", "web"), fields={"name": "theirs"}).run("12:00", "error")
    monitor = watch.monitor
    number = db.session.scalar(db.select(Incident.id).where(Incident.monitor_id == monitor.id))

    found = read_surroundings(project.organization_id, now=at("12:01"))

    assert found.incidents == [
        OpenIncident(
            id=number or 0,
            subject="nightly",
            project="web",
            is_monitor=True,
            opened_at=at("12:00"),
            runs=1,
            acknowledged_by=None,
            is_snoozed=False,
        )
    ]
    assert [tuple(row) for row in found.next_runs] == [
        ExpectedMonitor(monitor.id, "nightly", "web", monitor.expected_at or NOW)
    ]


def test_failing_names_say_who_is_on_it(project: ProjectRef) -> None:
    number = make_incident(project, acknowledged_by="anna@example.com", snoozed_at=NOW, runs=3)

    found = read_surroundings(project.organization_id, now=NOW)

    assert [
        (row.id, row.subject, row.is_monitor, row.runs, row.acknowledged_by, row.is_snoozed)
        for row in found.incidents
    ] == [(number, "import", False, 3, "anna@example.com", True)]


def test_surroundings_are_the_first_few_of_each_kind(project: ProjectRef) -> None:
    for number in range(overview.ROWS + 2):
        run(project, f"job {number}", ago=9 - number, status="error")
        Watch(project, fields={"name": f"monitor {number}"})
    count()
    given_up = [give_up(project, f"webhook:{number}") for number in range(overview.ROWS + 2)]

    found = read_surroundings(project.organization_id, now=NOW)

    assert [row.subject for row in found.incidents] == [
        f"job {number}" for number in (6, 5, 4, 3, 2)
    ]
    assert [row.id for row in found.dead] == sorted(given_up, key=ids.to_uuid, reverse=True)[:5]
    assert (len(found.next_runs), found.dead_count) == (5, 7)


def test_messages_that_were_given_up_are_one_line_for_each_cause(project: ProjectRef) -> None:
    refused = [give_up(project) for _ in range(3)]
    other, silent = give_up(project, "webhook:ops"), give_up(project)
    db.session.get_one(Delivery, silent).error = None
    db.session.commit()

    found = read_surroundings(project.organization_id, now=NOW).dead

    assert {(row.id, row.integration, row.error, row.number) for row in found} == {
        (max(refused, key=ids.to_bytes), "email", "Refused.", 3),
        (silent, "email", None, 1),
        (other, "webhook:ops", "Refused.", 1),
    }


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

    assert taken == [4, 4]


def test_surroundings_can_be_used_after_their_session(project: ProjectRef) -> None:
    run(project, status="error")
    count()
    dead = give_up(project)

    found = read_surroundings(project.organization_id, now=NOW)
    db.session.remove()

    assert [row.subject for row in found.incidents] == ["job"]
    assert [row.id for row in found.dead] == [dead]


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
