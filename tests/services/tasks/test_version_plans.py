"""What a poll asks first is found by indexes alone, however many tasks and slots there are."""

import re
from collections.abc import Callable
from uuid import UUID

import pytest
from plans import plan_of
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.services.monitors import bindings, lists
from taskbadger.services.tasks import latest, reads, versions, write

Busy = tuple[ProjectRef, str, UUID]
"""A project with a task and a monitor."""


@pytest.fixture
def busy(project: ProjectRef) -> Busy:
    """A task whose action fired and that has a child, and a monitor with a run."""
    now, ci = utcnow(), Actor("key", "ci")
    mail = {"trigger": "error", "integration": "email", "config": {"to": "ops@example.com"}}
    parent = write.create_task(project, {"name": "a", "actions": [mail]}, now=now, actor=ci)
    write.create_task(project, {"name": "b", "parent": parent.id}, now=now, actor=ci)
    write.update_task(project, parent.id, {"status": "error"}, now=now, actor=ci)
    watch = Watch(project)
    watch.run("12:00", "error")
    return project, parent.id, watch.monitor.id


SLOTS = r"slot.*\(monitor_id=\? AND expected_at>\?\)|monitor_id = .*expected_at >= "
"""Both columns narrow the walk: else it reads all slots that a monitor ever had."""
LOOK_UPS: dict[str, tuple[Callable[[ProjectRef, str, UUID], object], str]] = {
    "last change": (
        lambda project, _task, _monitor: versions.last_change([project]),
        "ix_task_project_id_updated",
    ),
    "page version": (
        lambda project, task, _monitor: versions.find_page_version([project.id], task),
        "ix_firing_task_id_id",
    ),
    "public version": (
        lambda _project, task, _monitor: versions.find_public_version(task),
        r"pk_task\b|sqlite_autoindex_task_1",
    ),
    "latest run of a name": (
        lambda project, _task, _monitor: latest.find_of_name("acme", project.slug, "a"),
        "ix_task_project_id_name_id",
    ),
    "latest run of a monitor": (
        lambda _project, _task, monitor: latest.find_of_monitor(str(monitor)),
        "ix_task_monitor_id_id",
    ),
    "monitor of the name of a locked task": (
        lambda project, task, _monitor: reads.lock(project, task),
        "ix_monitor_project_id_task_name",
    ),
    "monitors of the names of a batch": (
        lambda project, _task, _monitor: bindings.list_bound(project.id, ["a", "b"]),
        "ix_monitor_project_id_task_name",
    ),
    "slots": (
        lambda _project, _task, monitor: lists.slots_version([monitor], 20),
        SLOTS,
    ),
    "runs": (
        lambda _project, _task, monitor: lists.runs_version(monitor, 10),
        "ix_task_monitor_id_id",
    ),
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_version_is_looked_up_in_indexes_alone(busy: Busy, name: str) -> None:
    ask, index = LOOK_UPS[name]

    plan = plan_of(lambda: ask(*busy))

    assert re.search(index, plan), plan
    assert not re.search(r"Seq Scan|SCAN (?!CONSTANT|\w+ VIRTUAL TABLE)", plan), plan
