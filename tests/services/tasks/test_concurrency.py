"""Updates of one task at the same moment: none is lost, none interleaves, time goes up."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from conftest import ApiClient
from flask import Flask
from simultaneous import at_once, numbered
from sqlalchemy import select

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Task, TaskEvent, TaskTag
from taskbadger.services.tasks import reads
from taskbadger.services.tasks import write as task_writes

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_task(project: ProjectRef, **fields: Any) -> str:
    task = task_writes.create_task(project, {"name": "job", **fields}, now=START, actor=CI)
    db.session.commit()
    task_id: str = task.id
    return task_id


@pytest.mark.parametrize("writers", [2, 8])
def test_no_update_is_lost_and_time_goes_up_though_the_clock_steps_back(
    app: Flask, project: ProjectRef, writers: int
) -> None:
    task_id = make_task(project)
    rounds = 12
    moments: list[tuple[int, datetime]] = []

    def write(number: int) -> None:
        for turn in range(rounds):
            now = START + timedelta(hours=(-2) ** turn)
            changes = {"tags": {f"writer-{number}": str(turn), f"{number}-{turn % 3}": str(turn)}}
            task = task_writes.update_task(project, task_id, changes, now=now, actor=CI)
            moments.append((task.version, task.updated))
            db.session.commit()

    at_once(app, *numbered(writers, write))

    task = reads.get_wire_task(project, task_id)
    row = db.session.execute(select(Task.version, Task.tags).where(Task.id == task_id)).one()
    expected = {f"writer-{number}": str(rounds - 1) for number in range(writers)}
    for number in range(writers):
        expected |= {f"{number}-{turn % 3}": str(turn) for turn in range(rounds)}
    kept = db.session.execute(select(TaskTag.name, TaskTag.value))
    assert (row.version, {tag.name: tag.value for tag in kept}) == (1 + writers * rounds, expected)
    assert db.session.scalar(select(Task.tags)) == task.tags
    moments.sort()
    assert [version for version, _ in moments] == list(range(2, 2 + writers * rounds))
    assert all(sooner < later for (_, sooner), (_, later) in pairwise(moments))


def test_one_of_many_cancellations_changes_the_task(app: Flask, project: ProjectRef) -> None:
    task_id = make_task(project, status="processing")

    def cancel(number: int) -> None:
        now = START + timedelta(seconds=number)
        task_writes.cancel_task(project, task_id, now=now, actor=CI)
        db.session.commit()

    at_once(app, *numbered(8, cancel))

    kinds = db.session.scalars(select(TaskEvent.type).order_by(TaskEvent.id)).all()
    assert (list(kinds), db.session.scalar(select(Task.version))) == (["created", "status"], 2)


def test_children_and_a_parent_of_one_task_exclude_each_other(
    app: Flask, project: ProjectRef
) -> None:
    middle, top = make_task(project), make_task(project)
    refused: list[int] = []

    def nest(number: int) -> None:
        try:
            if number % 2:
                data = {"name": "child", "parent": middle}
                task_writes.create_task(project, data, now=START, actor=CI)
            else:
                task_writes.update_task(project, middle, {"parent": top}, now=START, actor=CI)
            db.session.commit()
        except ValidationFailed:
            refused.append(number % 2)

    at_once(app, *numbered(6, nest))

    parent = db.session.scalar(select(Task.parent).where(Task.id == middle))
    children = db.session.scalars(select(Task.id).where(Task.parent == middle)).all()
    assert (parent is None) is bool(children)
    assert set(refused) == ({0} if children else {1})


def test_tags_never_grow_over_their_number(app: Flask, project: ProjectRef) -> None:
    task_id = make_task(project, tags={f"old-{number}": "x" for number in range(44)})
    refused: list[int] = []

    def tag(number: int) -> None:
        changes = {"tags": {f"new-{number}-{n}": "x" for n in range(3)}}
        try:
            task_writes.update_task(project, task_id, changes, now=START, actor=CI)
            db.session.commit()
        except ValidationFailed:
            refused.append(number)

    at_once(app, *numbered(4, tag))

    assert len(refused) == 2
    assert len(db.session.scalars(select(TaskTag.name)).all()) == 50


def test_updates_through_the_api_are_all_there(app: Flask, api: ApiClient) -> None:
    task = api.create()

    def patch(number: int) -> None:
        headers = {"Authorization": f"Bearer {api.key}"}
        path = f"/api/acme/web/tasks/{task['id']}/"
        for turn in range(5):
            body = {"tags": {f"{number}-{turn}": "x"}}
            answer = app.test_client().patch(path, json=body, headers=headers)
            assert answer.status_code == 200

    at_once(app, *numbered(4, patch))

    shown = api.get(f"/tasks/{task['id']}/").json
    assert shown is not None
    assert shown["tags"] == {f"{number}-{turn}": "x" for number in range(4) for turn in range(5)}


def test_ids_and_times_of_one_moment_still_list_each_task_once(
    app: Flask, project: ProjectRef, api: ApiClient
) -> None:
    made = [make_task(project) for _ in range(30)]

    seen, url = [], "/tasks/?page_size=7"
    while url:
        page = api.get(url).json
        assert page is not None
        seen += [task["id"] for task in page["results"]]
        url = (page["next"] or "").removeprefix("http://localhost")

    assert seen == sorted(made, key=lambda text: ids.to_bytes(text) or b"", reverse=True)
