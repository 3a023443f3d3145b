"""Failures are added to their kinds, of which a name has only so many."""

from datetime import timedelta

from alerting import KEY, NOW, after, create, update
from services.failures.failing import (
    Kind,
    Noted,
    data,
    fail,
    fill,
    kinds,
    latest,
    noted,
    set_state,
)
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind
from taskbadger.models.failure import IGNORED, OPEN, RESOLVED
from taskbadger.services.failures import counting, recording
from taskbadger.services.tasks import write


def test_task_that_fails_again_counts_again_with_its_latest_kind(project: ProjectRef) -> None:
    task_id = fail(project, "first")
    db.session.execute(Failure.__table__.update().values(superseded_by=task_id))
    update(project, task_id, after(seconds=1), status="processing")
    update(project, task_id, after(seconds=2), status="error", data=data("second"))

    assert [(kind.title, kind.count) for kind in kinds()] == [("first", 1), ("second", 1)]
    assert noted() == {task_id: Noted("second", after(seconds=2), "new")}
    assert db.session.scalars(select(Failure.superseded_by)).one() == task_id


def test_resolved_kind_is_back_once_it_fails_again(project: ProjectRef) -> None:
    fail(project)
    set_state("boom", RESOLVED)
    back = fail(project, now=after(hours=1))
    later = fail(project, now=after(hours=2))

    states = db.session.execute(select(FailureKind.state, FailureKind.back_since)).all()
    assert states == [(OPEN, after(hours=1))]
    assert [noted()[task_id].news for task_id in (back, later)] == ["back", ""]


def test_ignored_kind_is_counted_until_its_time_is_over(project: ProjectRef) -> None:
    fail(project)
    set_state("boom", IGNORED, after(hours=1))
    fail(project, now=after(minutes=59))
    assert [(kind.count, kind.state) for kind in kinds()] == [(2, IGNORED)]

    fail(project, now=after(hours=1))
    states = select(FailureKind.count, FailureKind.state, FailureKind.ignored_until)
    assert db.session.execute(states).all() == [(3, OPEN, None)]


def test_failures_beyond_the_last_kind_of_a_name_are_others(project: ProjectRef) -> None:
    fill(project, counting.MAX_KINDS - 1)
    fail(project, "last")
    first, second = fail(project, "beyond"), fail(project, "far beyond", now=after(seconds=1))
    fail(project, "last")
    fail(project, "elsewhere", name="other job")

    assert [row[1:] for row in latest()] == [("last", 2), ("other failures", 2), ("elsewhere", 1)]
    assert latest()[1][0] == "other"
    assert noted()[first] == Noted("other failures", NOW, "new")
    assert noted()[second] == Noted("other failures", after(seconds=1), "")


def test_others_have_a_kind_for_each_cause(project: ProjectRef) -> None:
    fill(project, counting.MAX_KINDS)
    limits = {"stale_timeout": 60, "max_runtime": 120}
    running = [create(project, status="processing", data=data(text), **limits) for text in "abcd"]
    write.mark_stale(project, running[:2], now=after(seconds=61))
    write.mark_overdue(project, running[2:], now=after(seconds=121))
    fail(project, "boom", now=after(seconds=122))

    others = [kind[1:4] for kind in kinds() if "other failures" in kind.title]
    assert others == [
        ("stale: other failures", "stale", 2),
        ("max runtime exceeded: other failures", "max_runtime_exceeded", 2),
        ("other failures", "error", 1),
    ]


def test_old_failures_are_counted_without_news(project: ProjectRef) -> None:
    later = fail(project, now=after(days=2))
    set_state("boom", RESOLVED)
    task = write.create_task(
        project, {"name": "job", "data": data("boom")}, now=NOW, actor=KEY
    )._replace(status="error", updated=NOW + timedelta(days=1))

    outcome = recording.record(project.id, [recording.Failed(task, "error")], is_news=False)
    db.session.commit()

    [kind] = kinds()
    assert kind == Kind("job", "boom", "error", 2, after(days=1), after(days=2), later, RESOLVED)
    assert [each.news for each in outcome] == [""]
