"""The consequences of a change lock rows in one order, so that nothing deadlocks."""

from typing import Any

import pytest
from alerting import KEY, MAIL, NOW, after, make_global_action
from conftest import count_queries
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, transaction
from taskbadger.schemas.batch import CREATE, UPDATE, Operation
from taskbadger.services.tasks import batch, write

ORDER = ["own actions", "monitor", "failure kind", "global action"]
LOCKS = {
    "INSERT INTO firing": "own actions",
    "UPDATE slot ": "monitor",
    "INSERT INTO failure_kind": "failure kind",
    "FROM global_action \nWHERE global_action.id": "global action",
}
"""Parts of statements, and what they lock or come with."""


def locked(statements: list[str]) -> list[str]:
    """What statements locked for the first time, in order."""
    found = [name for statement in statements for part, name in LOCKS.items() if part in statement]
    return list(dict.fromkeys(found))


def make_task(project: ProjectRef, watch: Watch, **fields: Any) -> str:
    """Make a running task with an action of its own, a monitor and a global action."""
    data = {"name": "job", "status": "processing", "actions": [{"trigger": "error,stale", **MAIL}]}
    monitor_id = watch.monitor.id
    made = write.create_task(project, {**data, **fields}, now=NOW, actor=KEY, monitor_id=monitor_id)
    db.session.commit()
    return made.id


@pytest.fixture
def watch(project: ProjectRef) -> Watch:
    make_global_action(project, trigger="error,stale")
    return Watch(project)


def test_single_change_locks_in_order(project: ProjectRef, watch: Watch) -> None:
    task_id = make_task(project, watch)

    with count_queries() as statements:
        write.update_task(project, task_id, {"status": "error"}, now=after(seconds=1), actor=KEY)

    assert locked(statements) == ORDER


def test_sweep_locks_in_order(project: ProjectRef, watch: Watch) -> None:
    task_ids = [make_task(project, watch, stale_timeout=1) for _ in range(2)]

    with count_queries() as statements:
        assert write.mark_stale(project, task_ids, now=after(seconds=60)) == 2

    assert locked(statements) == ORDER


def test_batch_locks_in_order_whatever_its_operations_are(
    project: ProjectRef, watch: Watch
) -> None:
    task_ids = [make_task(project, watch) for _ in range(2)]
    failing = {"name": "other", "status": "error"}
    operations = [
        Operation(CREATE, data=failing),
        *(Operation(UPDATE, id=task_id, data={"status": "error"}) for task_id in task_ids),
        Operation(CREATE, data={**failing, "name": "third"}),
    ]

    with count_queries() as statements, transaction():
        batch.run(project, operations, clock=lambda: after(seconds=1), actor=KEY)

    assert locked(statements) == ORDER
    kinds = [each for each in statements if "INSERT INTO failure_kind" in each]
    assert len(kinds) == 1
