"""The history of a task: what is written, what is thinned, and how it is walked."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from conftest import ApiClient, make_key
from sqlalchemy import func, select

from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import TaskEvent
from taskbadger.services.tasks import history, write

START = datetime(2026, 1, 1, tzinfo=UTC)
CI = Actor("key", "ci")


def make_task(project: ProjectRef, **fields: Any) -> str:
    task = write.create_task(project, {"name": "job", **fields}, now=START, actor=CI)
    db.session.commit()
    task_id: str = task.id
    return task_id


def update(project: ProjectRef, task_id: str, at: float, actor: Actor = CI, **fields: Any) -> None:
    """Update a task *at* so many seconds after its creation."""
    now = START + timedelta(seconds=at)
    write.update_task(project, task_id, fields, now=now, actor=actor)
    db.session.commit()


def shown(task_id: str) -> list[tuple[Any, ...]]:
    """Return the history as (type, seconds since the creation, status, value, actor)."""
    return [
        (row.type, (row.created - START).total_seconds(), row.status, row.value, row.actor_name)
        for row in history.list_events(task_id, None, 1000).rows
    ]


def progress(task_id: str) -> list[tuple[float, int]]:
    return [(row[1], row[3]) for row in shown(task_id) if row[0] == "progress"]


def test_creation_and_each_change_of_state_are_kept(project: ProjectRef) -> None:
    task_id = make_task(project, value=3)

    update(project, task_id, 1, status="processing")
    update(project, task_id, 1.5, status="processing", name="other")
    update(project, task_id, 2, Actor("user", "Ann"), status="error", value=50)
    update(project, task_id, 3, SERVER, status="stale")
    update(project, task_id, 4)

    assert shown(task_id) == [
        ("created", 0, "pending", 3, "ci"),
        ("status", 1, "processing", 3, "ci"),
        ("status", 2, "error", 50, "Ann"),
        ("status", 3, "stale", 50, "server"),
        ("status", 4, "error", 50, "ci"),
    ]


def test_update_that_changes_neither_state_nor_value_leaves_nothing(project: ProjectRef) -> None:
    task_id = make_task(project, value=3)

    update(project, task_id, 1, value=3, data="[]", tags={"a": "b"})
    update(project, task_id, 2)

    assert shown(task_id) == [("created", 0, "pending", 3, "ci")]


def test_change_of_the_greatest_value_is_progress(project: ProjectRef) -> None:
    task_id = make_task(project, value=3)

    update(project, task_id, 1, value_max=10)

    rows = history.list_events(task_id, None, 10).rows
    assert [(row.value, row.value_max) for row in rows] == [(3, 100), (3, 10)]


def test_refused_update_leaves_nothing(project: ProjectRef) -> None:
    task_id = make_task(project)
    too_many = {"status": "processing", "tags": {str(number): "x" for number in range(51)}}

    with pytest.raises(ValidationFailed):
        write.update_task(project, task_id, too_many, now=START, actor=CI)
    db.session.rollback()

    assert shown(task_id) == [("created", 0, "pending", None, "ci")]


def test_cancelling_is_a_change_of_state(project: ProjectRef) -> None:
    task_id = make_task(project)

    for seconds in (1, 2):
        now = START + timedelta(seconds=seconds)
        write.cancel_task(project, task_id, now=now, actor=CI)
        db.session.commit()

    assert shown(task_id) == [
        ("created", 0, "pending", None, "ci"),
        ("status", 1, "cancelled", None, "ci"),
    ]


def test_progress_stays_once_a_second_and_the_latest_is_always_there(project: ProjectRef) -> None:
    task_id = make_task(project)

    seen = []
    for tenth in range(1, 26):
        update(project, task_id, tenth / 10, value=tenth)
        seen.append(progress(task_id))

    assert [events[0] for events in seen] == [(0.1, 1)] * 25
    assert [events[-1] for events in seen] == [(tenth / 10, tenth) for tenth in range(1, 26)]
    assert seen[-1] == [(0.1, 1), (1.1, 11), (2.1, 21), (2.5, 25)]


def test_slow_progress_is_kept_whole(project: ProjectRef) -> None:
    task_id = make_task(project)

    for minute in range(1, 101):
        update(project, task_id, 60 * minute, value=minute)

    assert progress(task_id) == [(60 * minute, minute) for minute in range(1, 101)]


def test_state_takes_the_place_of_progress_a_moment_before(project: ProjectRef) -> None:
    task_id = make_task(project)

    for moment in range(1, 20):
        update(project, task_id, moment / 100, value=moment)
        update(project, task_id, moment / 100 + 0.001, status=["processing", "pending"][moment % 2])

    types = [row[0] for row in shown(task_id)]
    assert types.count("status") == 18
    assert progress(task_id) == [(0.01, 1)]


@pytest.mark.parametrize("seconds", [0.3, 1, 7])
def test_at_most_200_are_kept_with_the_first_and_the_last(
    project: ProjectRef, seconds: float
) -> None:
    task_id = make_task(project)

    for number in range(1, 901):
        now = START + timedelta(seconds=number * seconds)
        write.update_task(project, task_id, {"value": number}, now=now, actor=CI)
        if number in (200, 201, 202, 500, 899):
            kept = progress(task_id)
            assert (kept[0][1], kept[-1][1], len(kept) <= 200) == (1, number, True)
    db.session.commit()

    kept = progress(task_id)
    times = [moment for moment, _ in kept]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert (kept[0][1], kept[-1][1]) == (1, 900)
    assert 90 <= len(kept) <= 200
    assert all(gap >= 1 for gap in gaps[:-1])


def test_history_goes_with_its_task_and_is_that_of_no_other(project: ProjectRef) -> None:
    one, other = make_task(project), make_task(project)
    update(project, one, 1, status="processing")

    assert [row[0] for row in shown(one)] == ["created", "status"]
    assert [row[0] for row in shown(other)] == ["created"]
    assert db.session.scalar(select(func.count()).select_from(TaskEvent)) == 3


def test_moments_in_the_history_go_up_when_the_clock_steps_back(project: ProjectRef) -> None:
    task_id = make_task(project)

    update(project, task_id, 5, status="processing")
    update(project, task_id, -7200, status="success")

    assert [row[1] for row in shown(task_id)] == [0, 5, 5.000001]


def test_history_tells_the_name_of_the_key(api: ApiClient) -> None:
    api.key = make_key(name="nightly")
    task = api.create(status="processing", value=1, value_max=7)

    answer = api.get(f"/tasks/{task['id']}/events/").json

    assert answer is not None
    event_id = answer["results"][0].pop("id")
    assert isinstance(event_id, int)
    assert answer == {
        "next": None,
        "previous": None,
        "results": [
            {
                "type": "created",
                "created": task["created"],
                "status": "processing",
                "value": 1,
                "value_max": 7,
                "actor": {"type": "key", "name": "nightly"},
            }
        ],
    }


def test_latest_entries_are_read_with_the_number_of_those_before(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = make_task(project)
    for at in range(1, 4):
        update(project, task_id, at * 10, status="processing", value=at)
        update(project, task_id, at * 10 + 5, status="error")

    def read(size: int) -> tuple[list[float], int, int]:
        latest = history.read_latest(task_id, size)
        seconds = [(event.created - START).total_seconds() for event in latest.events]
        return seconds, latest.earlier, latest.earlier_changes

    assert read(7) == ([0, 10, 15, 20, 25, 30, 35], 0, 0)
    assert read(2) == ([30, 35], 5, 5)
    monkeypatch.setattr(history, "MAX_COUNTED", 3)
    assert read(2) == ([30, 35], 4, 4)


def test_progress_is_counted_apart(project: ProjectRef) -> None:
    task_id = make_task(project, status="processing")
    for at in (10, 20, 30):
        update(project, task_id, at, value=at)
    update(project, task_id, 40, status="success")

    latest = history.read_latest(task_id, 1)

    assert (latest.earlier, latest.earlier_changes) == (4, 1)
