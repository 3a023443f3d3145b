"""Retention: slots of long ago are deleted, but never the last ones of a monitor."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from plans import plan_of
from sqlalchemy import select
from watching import Watch, at

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.extensions import db
from taskbadger.models import Slot, SlotRun, Task
from taskbadger.services.monitors import retention

NOON = at("12:00")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MIN_KEPT", 2)


def add_slots(watch: Watch, *days: float) -> None:
    """Add finished slots of so many days ago."""
    for ago in days:
        at_noon = NOON - timedelta(days=ago)
        db.session.add(Slot(monitor_id=watch.monitor.id, epoch=0, expected_at=at_noon, state="ok"))
    db.session.commit()


def purge(watch: Watch, kept: Retention, *, limit: int = 10) -> int:
    old = retention.list_old(kept, watch.monitor.id, now=NOON, limit=limit)
    deleted = retention.delete_listed(watch.monitor.id, old)
    db.session.commit()
    return deleted


def left(watch: Watch) -> list[int]:
    """Return how many days ago each slot was, the current one aside."""
    query = select(Slot.expected_at).where(
        Slot.monitor_id == watch.monitor.id, Slot.state != "expected"
    )
    return sorted((NOON - one).days for one in db.session.scalars(query))


@pytest.mark.parametrize(
    ("days", "kept"),
    [(None, [99, 101, 399]), (7, [99]), (200, [99, 101]), (401, [99, 101, 399, 401])],
)
def test_slots_are_kept_as_long_as_tasks_within_limits(
    project: ProjectRef, days: int | None, kept: Sequence[int]
) -> None:
    watch, other = Watch(project), Watch(project, fields={"name": "other"})
    add_slots(watch, 99, 101, 399, 401, 402)
    add_slots(other, 1, 500)

    purge(watch, Retention(project.id, days))

    assert left(watch) == kept
    assert left(other) == [1, 500]


def test_last_slots_stay_whatever_their_age(project: ProjectRef) -> None:
    watch = Watch(project)
    add_slots(watch, 501, 502, 503)

    assert purge(watch, Retention(project.id)) == 2
    # The other one is the current slot.
    assert left(watch) == [501]


def test_oldest_slots_go_first_and_their_tasks_stay(project: ProjectRef) -> None:
    watch = Watch(project)
    task = watch.run("12:00", status="success")
    db.session.get_one(Slot, db.session.get_one(SlotRun, task).slot_id).expected_at = (
        NOON - timedelta(days=600)
    )
    add_slots(watch, 1, 2, 501, 502)

    assert purge(watch, Retention(project.id), limit=2) == 2
    assert left(watch) == [1, 2, 501]
    assert db.session.get(SlotRun, task) is None
    assert db.session.get(Task, task) is not None


def test_monitor_that_is_gone_has_no_slots(project: ProjectRef) -> None:
    watch = Watch(project)
    monitor_id = watch.monitor.id
    db.session.delete(watch.monitor)
    db.session.commit()

    assert retention.delete_listed(monitor_id, [1, 2]) == 0


def test_monitors_are_listed_one_after_another(project: ProjectRef) -> None:
    watches = [Watch(project, fields={"name": str(number)}) for number in range(3)]
    numbers = sorted(watch.monitor.id for watch in watches)
    kept = Retention(project.id)

    assert retention.list_monitors(kept, None, limit=2) == numbers[:2]
    assert retention.list_monitors(kept, numbers[1], limit=2) == numbers[2:]


def test_walks_read_indexes(project: ProjectRef) -> None:
    kept, monitor = Retention(project.id), Watch(project).monitor.id

    monitors = plan_of(lambda: retention.list_monitors(kept, monitor, limit=10))
    slots = plan_of(lambda: retention.list_old(kept, monitor, now=NOON, limit=10))

    for plan in (monitors, slots):
        assert "SCAN" not in plan
        assert "Seq Scan" not in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan
