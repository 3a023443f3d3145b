"""The row of a new task, and what the statement that inserts it finds out."""

import pytest
from sqlalchemy import select
from watching import Watch, at

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor, Task
from taskbadger.models.task_rows import TaskState
from taskbadger.services.tasks import inserting


def new_state(project: ProjectRef, status: str, monitor: Monitor | None = None) -> TaskState:
    return inserting.new_state(
        project,
        {"name": "job", "status": status},
        at("12:00"),
        has_actions=False,
        monitor_id=monitor.id if monitor else None,
    )


@pytest.mark.parametrize(
    ("status", "is_bound"),
    [("pending", False), ("processing", True), ("success", True), ("stale", True)],
)
def test_monitor_of_the_name_is_found_as_a_started_task_is_inserted(
    project: ProjectRef, status: str, is_bound: bool
) -> None:
    watch = Watch(project, fields={"task_name": "job"})
    state = new_state(project, status)

    inserted, global_actions = inserting.insert_and_look(project, state)

    assert inserted == state._replace(monitor_id=watch.monitor.id if is_bound else None)
    assert not global_actions
    assert db.session.scalars(select(Task.monitor_id)).one() == inserted.monitor_id


def test_named_monitor_is_kept(project: ProjectRef) -> None:
    Watch(project, fields={"task_name": "job"})
    other = Watch(project).monitor

    inserted, _ = inserting.insert_and_look(project, new_state(project, "success", other))

    assert inserted.monitor_id == other.id
