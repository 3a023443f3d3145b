"""Changes of tasks in the audit log: those of people, plug-ins and admin keys."""

import pytest
from conftest import audit_entries, count_queries
from flask import Flask

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import auditing, reads, write

PLUGIN = Actor("plugin", "importer")
ADMIN_KEY = Actor("key", "terraform", is_admin=True)
ORDINARY_KEY = Actor("key", "ci")

Entry = tuple[str, str, str, str]


def entries() -> list[Entry]:
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def make(project: ProjectRef, actor: Actor = ORDINARY_KEY) -> str:
    return write.create_task(project, {"name": "job"}, now=utcnow(), actor=actor).id


@pytest.mark.parametrize("actor", [PLUGIN, ADMIN_KEY, Actor("user", "ada@example.org")])
def test_plain_calls_leave_an_entry_for_each_change(project: ProjectRef, actor: Actor) -> None:
    task_id = make(project, actor)
    write.update_task(project, task_id, {"value": 5, "data": '{"a":1}'}, now=utcnow(), actor=actor)
    write.update_task(project, task_id, {}, now=utcnow(), actor=actor)
    write.cancel_task(project, task_id, now=utcnow(), actor=actor)
    write.cancel_task(project, task_id, now=utcnow(), actor=actor)
    db.session.commit()

    assert entries() == [
        (actor.name, "task.create", "job", task_id),
        (actor.name, "task.change", "job", f"{task_id}; value: none → 5; data: (secret) changed"),
        (actor.name, "task.cancel", "job", task_id),
    ]


@pytest.mark.parametrize("actor", [ORDINARY_KEY, SERVER])
def test_ordinary_keys_and_the_server_leave_none(project: ProjectRef, actor: Actor) -> None:
    task_id = make(project, actor)
    write.update_task(project, task_id, {"value": 5}, now=utcnow(), actor=actor)
    write.cancel_task(project, task_id, now=utcnow(), actor=actor)
    db.session.commit()

    assert entries() == []


def test_change_can_be_kept_out_of_the_log(project: ProjectRef) -> None:
    task_id = make(project)
    write.update_task(project, task_id, {"value": 5}, now=utcnow(), actor=PLUGIN, audited=False)
    write.cancel_task(project, task_id, now=utcnow(), actor=PLUGIN, audited=False)
    db.session.commit()

    assert entries() == []


def test_audited_update_costs_one_statement_more(app: Flask, project: ProjectRef) -> None:
    costs = []
    for actor in (ORDINARY_KEY, ADMIN_KEY):
        task_id = make(project)
        db.session.commit()
        with count_queries() as statements:
            write.update_task(project, task_id, {"value": 5}, now=utcnow(), actor=actor)
            db.session.flush()
        costs.append(len(statements))
        db.session.commit()

    assert costs[1] == costs[0] + 1


def test_many_cancellations_are_one_entry_that_lists_the_first(project: ProjectRef) -> None:
    ids = [f"task-{number}" for number in range(auditing.MAX_LISTED + 2)]
    number = project.organization_id

    auditing.record_cancelled(PLUGIN, number, [], "0 selected", now=utcnow())
    auditing.record_cancelled(PLUGIN, number, ids[:1], "1 selected", now=utcnow())
    auditing.record_cancelled(PLUGIN, number, ids, "all matching “job”", now=utcnow())
    db.session.commit()

    listed = ", ".join(ids[:-2])
    assert entries() == [
        ("importer", "task.cancel", "1 task", "1 selected: task-0"),
        ("importer", "task.cancel", "102 tasks", f"all matching “job”: {listed} and 2 more"),
    ]


def test_task_that_had_ended_is_not_recorded_as_cancelled(project: ProjectRef) -> None:
    task_id = make(project)
    write.update_task(project, task_id, {"status": "success"}, now=utcnow(), actor=ORDINARY_KEY)

    assert write.cancel_task(project, task_id, now=utcnow(), actor=PLUGIN) is None
    db.session.commit()
    assert reads.lock_task(project, task_id).status == "success"
    assert entries() == []
