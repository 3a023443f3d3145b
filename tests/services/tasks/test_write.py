"""Writing tasks: what creating, updating and cancelling one leaves behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import make_project
from sqlalchemy import func, select

from taskbadger.domain import ids
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Action, Firing, Task, TaskTag
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.tasks import MAX_TAGS
from taskbadger.services.tasks import history, reads, write

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EMAIL = {"trigger": "success", "integration": "email", "config": {"to": "ops@example.org"}}
GONE = {"trigger": "success", "integration": "webhook:gone", "config": {}}
NO_SUCH_CHANNEL = FieldError(
    "does_not_exist",
    "There is no channel “webhook:gone” in this organization.",
    "actions.0.integration",
)


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def create(project: ProjectRef, *, at: float = 0, **data: Any) -> TaskState:
    task = write.create_task(project, {"name": "Job", **data}, now=later(at), actor=CI)
    db.session.commit()
    return task


def update(
    project: ProjectRef, task: TaskState, *, at: float = 1, replace_tags: bool = False, **data: Any
) -> TaskState:
    changed = write.update_task(
        project, task.id, data, now=later(at), actor=CI, replace_tags=replace_tags
    )
    db.session.commit()
    return changed


def cancel(project: ProjectRef, task: TaskState, *, at: float = 1) -> TaskState | None:
    cancelled = write.cancel_task(project, task.id, now=later(at), actor=CI)
    db.session.commit()
    return cancelled


def stored(project: ProjectRef, task: TaskState) -> TaskState:
    """Return the task as the database has it."""
    state = reads.lock_task(project, task.id)
    db.session.rollback()
    return state


def tags_of(task: TaskState) -> dict[str, str]:
    """Return the rows of the task's tags."""
    query = select(TaskTag).where(TaskTag.task_id == task.id)
    return {tag.name: tag.value for tag in db.session.scalars(query)}


def count(model: type[Task] | type[Action] | type[TaskTag]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def changes(before: TaskState, after: TaskState) -> dict[str, Any]:
    """Return what differs in *after*, apart from what every update changes."""
    every = ("version", "updated")
    pairs = zip(TaskState._fields, before, after, strict=True)
    return {name: new for name, old, new in pairs if old != new and name not in every}


def events(task: TaskState) -> list[tuple[str, float, str, str]]:
    """Return the history as (type, seconds since START, status, actor), oldest first."""
    return [
        (row.type, (row.created - START).total_seconds(), row.status, row.actor_name)
        for row in history.list_events(task.id, None, 100).rows
    ]


def refusals(call: Callable[[], object]) -> list[FieldError]:
    with pytest.raises(ValidationFailed) as caught:
        call()
    db.session.rollback()
    return list(caught.value.errors)


def test_created_task_has_the_defaults_of_everything_left_out(project: ProjectRef) -> None:
    task = create(project)

    assert task == TaskState(
        id=task.id,
        project_id=project.id,
        parent=None,
        has_actions=False,
        monitor_id=None,
        name="Job",
        name_folded="job",
        queue="",
        external_id="",
        status="pending",
        stale_from=None,
        value=None,
        value_max=100,
        data=None,
        tags="{}",
        created=START,
        updated=START,
        start_time=None,
        end_time=None,
        time_to_start=None,
        max_runtime=None,
        stale_timeout=None,
        stale_at=None,
        overdue_at=None,
    )
    assert stored(project, task) == task
    assert events(task) == [("created", 0, "pending", "ci")]


def test_created_task_keeps_what_it_is_given(project: ProjectRef) -> None:
    parent = create(project)
    given = {
        "name": "Straße",
        "queue": "high",
        "external_id": "celery-1",
        "value_max": 8,
        "data": '{"a":1}',
        "parent": parent.id,
        "max_runtime": 60,
        "stale_timeout": 30,
    }

    task = create(project, at=1, status="processing", tags={"b": "2", "a": "1"}, **given)

    assert {name: getattr(task, name) for name in given} == given
    assert (task.name_folded, task.tags) == ("strasse", '{"a":"1","b":"2"}')
    assert (task.status, task.start_time, task.time_to_start) == (
        "processing",
        later(1),
        timedelta(),
    )
    assert (task.stale_at, task.overdue_at) == (later(31), later(61))
    assert stored(project, task) == task
    assert stored(project, parent).has_children
    assert tags_of(task) == {"a": "1", "b": "2"}


def test_ids_of_created_tasks_sort_by_time(project: ProjectRef) -> None:
    made = [create(project, at=at).id for at in (0, 1, 2)]

    assert [str(ids.to_uuid(task_id)) for task_id in made] == sorted(
        str(ids.to_uuid(task_id)) for task_id in made
    )


@pytest.mark.parametrize("status", ["success", "error", "cancelled"])
def test_task_can_be_created_at_its_end(project: ProjectRef, status: str) -> None:
    task = create(project, status=status, max_runtime=60, stale_timeout=30)

    assert (task.status, task.end_time, task.stale_at, task.overdue_at) == (
        status,
        START,
        None,
        None,
    )


def test_actions_of_a_new_task_are_kept_and_fire(project: ProjectRef) -> None:
    waiting, done = (create(project, status=to, actions=[EMAIL]) for to in ("pending", "success"))

    assert (waiting.has_actions, done.has_actions) == (True, True)
    found = db.session.execute(select(Action.task_id, Action.trigger, Action.integration)).all()
    assert sorted(map(tuple, found)) == sorted(
        [(waiting.id, "success", "email"), (done.id, "success", "email")]
    )
    assert list(db.session.scalars(select(Firing.task_id))) == [done.id]


def test_create_with_an_unknown_channel_writes_nothing(project: ProjectRef) -> None:
    errors = refusals(lambda: create(project, actions=[GONE], tags={"a": "b"}))

    assert errors == [NO_SUCH_CHANNEL]
    assert [count(model) for model in (Task, Action, TaskTag)] == [0, 0, 0]


def test_create_with_an_unknown_parent_writes_nothing(project: ProjectRef) -> None:
    foreign = create(make_project("acme", "other"))

    errors = refusals(lambda: create(project, parent=foreign.id))

    assert [(error.attr, error.code) for error in errors] == [("parent", "does_not_exist")]
    assert count(Task) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "ÉTÉ"}, {"name": "ÉTÉ", "name_folded": "été"}),
        ({"queue": "low"}, {"queue": "low"}),
        ({"external_id": "celery-2"}, {"external_id": "celery-2"}),
        ({"value_max": 7}, {"value_max": 7, "progress_count": 1, "progress_at": later(1)}),
        ({"data": '{"a":2}'}, {"data": '{"a":2}'}),
        ({"stale_timeout": 5}, {"stale_timeout": 5, "stale_at": later(6)}),
        ({"max_runtime": 5}, {"max_runtime": 5}),
        ({"tags": {"b": "2"}}, {"tags": '{"a":"1","b":"2"}'}),
        ({"tags": {"a": None}}, {"tags": "{}"}),
        ({"tags": {"a": "1"}}, {}),
        ({}, {}),
    ],
)
def test_update_changes_what_it_is_given_alone(
    project: ProjectRef, data: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = create(project, tags={"a": "1"})

    after = update(project, before, **data)

    assert changes(before, after) == expected
    assert (after.version, after.updated) == (2, later(1))
    assert stored(project, before) == after


def test_tags_are_replaced_only_on_request(project: ProjectRef) -> None:
    task = create(project, tags={"a": "1", "b": "2"})

    update(project, task, tags={"b": "3", "c": "4"})
    assert tags_of(task) == {"a": "1", "b": "3", "c": "4"}

    replaced = update(project, task, tags={"d": "5"}, replace_tags=True)
    assert (replaced.tags, tags_of(task)) == ('{"d":"5"}', {"d": "5"})


def test_update_with_too_many_tags_changes_nothing(project: ProjectRef) -> None:
    before = create(project, tags={"a": "1"})
    more = {f"tag-{number}": "x" for number in range(MAX_TAGS)}

    errors = refusals(lambda: update(project, before, name="other", tags=more))

    assert [error.attr for error in errors] == ["tags"]
    assert (stored(project, before), tags_of(before)) == (before, {"a": "1"})


def test_update_moves_the_task_through_its_states(project: ProjectRef) -> None:
    task = create(project, max_runtime=60)

    started = update(project, task, at=5, status="processing")
    ended = update(project, task, at=9, status="success")

    assert changes(task, started) == {
        "status": "processing",
        "start_time": later(5),
        "time_to_start": timedelta(seconds=5),
        "overdue_at": later(65),
    }
    assert changes(started, ended) == {
        "status": "success",
        "end_time": later(9),
        "overdue_at": None,
    }
    assert events(task) == [
        ("created", 0, "pending", "ci"),
        ("status", 5, "processing", "ci"),
        ("status", 9, "success", "ci"),
    ]


def test_each_update_is_later_than_the_last(project: ProjectRef) -> None:
    """Clocks of several servers differ, and clients compare ``updated``."""
    task = create(project, at=10)

    moments = [update(project, task, at=at).updated for at in (10, 3, 20)]

    assert moments == [later(10) + MICROSECOND, later(10) + 2 * MICROSECOND, later(20)]


def test_update_puts_off_when_a_task_goes_stale(project: ProjectRef) -> None:
    task = create(project, stale_timeout=30)

    assert [update(project, task, at=at).stale_at for at in (10, 25)] == [later(40), later(55)]
    assert update(project, task, at=26, status="success").stale_at is None


def test_stale_task_returns_to_its_former_state_on_an_update(project: ProjectRef) -> None:
    task = create(project, status="processing", stale_timeout=30)
    assert write.mark_stale(project, [task.id], now=later(30))
    db.session.commit()

    after = update(project, task, at=40, queue="low")

    assert changes(task, after) == {"queue": "low", "stale_at": later(70)}
    assert events(task) == [
        ("created", 0, "processing", "ci"),
        ("status", 30, "stale", "server"),
        ("status", 40, "processing", "ci"),
    ]


def test_action_of_an_update_fires_for_the_same_update(project: ProjectRef) -> None:
    task = create(project)

    after = update(project, task, status="success", actions=[EMAIL])

    assert (task.has_actions, after.has_actions) == (False, True)
    assert list(db.session.scalars(select(Firing.task_id))) == [task.id]


def test_update_with_an_unknown_channel_changes_nothing(project: ProjectRef) -> None:
    before = create(project)

    errors = refusals(lambda: update(project, before, name="other", actions=[GONE]))

    assert errors == [NO_SUCH_CHANNEL]
    assert (stored(project, before), count(Action)) == (before, 0)


def test_update_sets_a_parent_once(project: ProjectRef) -> None:
    parent, other, before = create(project), create(project), create(project)

    child = update(project, before, parent=parent.id)
    again = update(project, before, parent=parent.id)
    errors = refusals(lambda: update(project, before, parent=other.id))

    assert changes(before, child) == {"parent": parent.id}
    assert changes(child, again) == {}
    assert errors == [
        FieldError("invalid", "A task's parent can not be changed once set.", "parent")
    ]
    assert (stored(project, parent).has_children, stored(project, other)) == (True, other)


@pytest.mark.parametrize(
    "call",
    [
        lambda project, task_id: write.update_task(
            project, task_id, {"name": "other"}, now=later(1), actor=CI
        ),
        lambda project, task_id: write.cancel_task(project, task_id, now=later(1), actor=CI),
    ],
)
def test_writing_finds_tasks_of_its_project_only(
    project: ProjectRef, call: Callable[[ProjectRef, str], object]
) -> None:
    task = create(project)
    other = make_project("acme", "other")

    for where, task_id in ((other, task.id), (project, ids.new_id(START)), (project, "no id")):
        with pytest.raises(NotFound):
            call(where, task_id)
    assert stored(project, task) == task


def test_cancelled_task_ends_at_once(project: ProjectRef) -> None:
    task = create(project, status="processing", max_runtime=60, stale_timeout=30)

    cancelled = cancel(project, task)

    assert cancelled is not None
    assert changes(task, cancelled) == {
        "status": "cancelled",
        "end_time": later(1),
        "stale_at": None,
        "overdue_at": None,
    }
    assert stored(project, task) == cancelled
    assert events(task)[1:] == [("status", 1, "cancelled", "ci")]


def test_stale_task_can_be_cancelled(project: ProjectRef) -> None:
    task = create(project, status="stale")

    cancelled = cancel(project, task)

    assert cancelled is not None
    assert (cancelled.status, cancelled.stale_from, cancelled.end_time) == (
        "cancelled",
        None,
        later(1),
    )


@pytest.mark.parametrize("status", ["success", "error", "cancelled"])
def test_task_that_has_ended_is_not_cancelled(project: ProjectRef, status: str) -> None:
    task = create(project, status=status)

    assert cancel(project, task) is None
    assert stored(project, task) == task
    assert events(task) == [("created", 0, status, "ci")]


@pytest.mark.parametrize(
    ("mark", "limits", "status"),
    [
        (write.mark_stale, {"stale_timeout": 30}, "stale"),
        (write.mark_overdue, {"max_runtime": 30}, "error"),
    ],
)
def test_due_task_is_marked_once(
    project: ProjectRef, mark: Callable[..., int], limits: dict[str, int], status: str
) -> None:
    task = create(project, status="processing", **limits)

    marked = []
    for seconds in (29, 30, 31):
        marked.append(mark(project, [task.id], now=later(seconds)))
        db.session.commit()

    assert marked == [0, 1, 0]
    after = stored(project, task)
    assert (after.status, after.stale_at, after.overdue_at) == (status, None, None)
    assert events(task)[1:] == [("status", 30, status, SERVER.name)]


def test_task_that_resumes_after_it_was_overdue_is_not_overdue_again(project: ProjectRef) -> None:
    task = create(project, status="processing", max_runtime=30)
    assert write.mark_overdue(project, [task.id], now=later(30))
    db.session.commit()

    resumed = update(project, task, at=40, status="processing")
    extended = update(project, task, at=41, max_runtime=100)

    assert (resumed.status, resumed.overdue_at) == ("processing", None)
    assert extended.overdue_at == later(100)
