"""Open tasks, as a scrape shows them."""

from datetime import timedelta

import pytest
from conftest import make_project
from plans import plan_of
from services.stats.counting import NOW, run
from services.stats.queueing import queued

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.metrics.scope import Place, Scope, read_places
from taskbadger.services.metrics.tasks import OPEN, OpenTasks, read_open_tasks

WEB = Place("acme", "web")


def read(max_queues: int = 200) -> OpenTasks:
    places = read_places(Scope())
    return read_open_tasks(Scope(), places, max_queues=max_queues, now=NOW)


def test_open_tasks_are_counted_by_status(project: ProjectRef) -> None:
    make_project("globex", "api")
    queued(project, ago=5)
    run(project)
    run(project, status="stale")
    run(project, status="success")

    none = dict.fromkeys(OPEN, 0)
    assert OPEN == ("pending", "pre_processing", "processing", "post_processing", "stale")
    assert read().numbers == {
        **{(WEB, status): none[status] for status in OPEN},
        **{(Place("globex", "api"), status): none[status] for status in OPEN},
        **{(WEB, status): 1 for status in ("pending", "processing", "stale")},
    }


def test_oldest_pending_task_of_each_queue_says_how_long_it_has_waited(
    project: ProjectRef,
) -> None:
    queued(project, ago=300)
    queued(project, ago=20)
    queued(project, ago=900, started=800)
    queued(project, "reports", ago=60, started=50)
    queued(project, "late", ago=-60)

    waits = read().oldest_pending
    assert waits == {
        (WEB, "mail"): pytest.approx(300, abs=0.001),
        (WEB, ""): 0,
        (WEB, "late"): 0,
    }


def test_queues_above_the_limit_are_one(project: ProjectRef) -> None:
    for number in range(1, 5):
        queued(project, f"q{number}", ago=number * 10)
    queued(project, "", ago=7)

    assert read(max_queues=2).oldest_pending == {
        (WEB, "q4"): pytest.approx(40, abs=0.001),
        (WEB, "q3"): pytest.approx(30, abs=0.001),
        (WEB, "other"): pytest.approx(20, abs=0.001),
        (WEB, ""): pytest.approx(7, abs=0.001),
    }


def test_queue_named_other_is_one_of_the_others(project: ProjectRef) -> None:
    queued(project, "other", ago=50)
    queued(project, "mail", ago=40)

    assert read(max_queues=1).oldest_pending == {
        (WEB, "other"): pytest.approx(50, abs=0.001),
        (WEB, ""): 0,
    }


def test_tasks_that_have_ended_are_not_read(project: ProjectRef) -> None:
    run(project, status="success")

    assert "ix_task_project_id_queue_status_id" in plan_of(read)


def test_oldest_is_found_to_the_millisecond(project: ProjectRef) -> None:
    queued(project, ago=0.123)

    assert read().oldest_pending[WEB, "mail"] == pytest.approx(
        timedelta(milliseconds=123).total_seconds(), abs=0.001
    )
