"""The actions of a task: what is written, what is refused, and what the audit log says."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from blueprints.dashboard.forms_read import trail
from conftest import count_queries, make_project

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Action
from taskbadger.services.alerts import actions
from taskbadger.services.tasks import reads, write

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
KEY = Actor("key", "ci")
PLUGIN = Actor("plug-in", "pager plug-in")
TO_OPS = {"to": "ops@example.com"}
DATA: actions.ActionData = {"trigger": "error", "integration": "email", "config": TO_OPS}


def make_task(project: ProjectRef, **fields: Any) -> str:
    made = write.create_task(project, {"name": "job", **fields}, now=NOW, actor=KEY)
    db.session.commit()
    return made.id


def add(project: ProjectRef, task_id: str, actor: Actor = KEY) -> int:
    task = reads.lock_task(project, task_id)
    number = actions.add_action(project, task, DATA, actor=actor, now=NOW).id
    db.session.commit()
    return number


def shown(action: Action) -> tuple[str, str, Any, str, datetime, datetime]:
    return (
        action.trigger,
        action.integration,
        json.loads(action.config),
        action.status,
        action.created,
        action.updated,
    )


def test_action_is_added_changed_and_cancelled(project: ProjectRef) -> None:
    task_id = make_task(project)
    number = add(project, task_id)
    (added,) = map(shown, actions.list_actions(task_id))

    task = reads.lock_task(project, task_id)
    actions.update_action(project, task, number, {"trigger": "50%"}, actor=KEY, now=LATER)
    db.session.commit()
    changed = shown(actions.get_action(task_id, number))
    task = reads.lock_task(project, task_id)
    actions.cancel_action(project, task, number, actor=KEY, now=LATER)
    db.session.commit()
    cancelled = shown(actions.get_action(task_id, number))

    assert added == ("error", "email", TO_OPS, "active", NOW, NOW)
    assert changed == ("50%", "email", TO_OPS, "active", NOW, LATER)
    assert cancelled == ("50%", "email", TO_OPS, "cancelled", NOW, LATER)
    assert reads.lock_task(project, task_id).has_actions


def test_plain_calls_leave_their_entries(project: ProjectRef) -> None:
    task_id = make_task(project)
    number = add(project, task_id, PLUGIN)
    task = reads.lock_task(project, task_id)
    actions.update_action(project, task, number, {"trigger": "50%"}, actor=PLUGIN, now=NOW)
    actions.cancel_action(project, task, number, actor=PLUGIN, now=NOW)
    actions.cancel_action(project, task, number, actor=PLUGIN, now=NOW)
    db.session.commit()

    assert trail() == [
        (
            "pager plug-in",
            "action.create",
            "job",
            f"{task_id}; action {number}, on error to email",
        ),
        ("pager plug-in", "action.change", "job", f"{task_id}; action {number}, on 50% to email"),
        ("pager plug-in", "action.cancel", "job", f"{task_id}; action {number}, on 50% to email"),
    ]


@pytest.mark.parametrize(
    ("actor", "count"),
    [
        (Actor("key", "ci"), 0),
        (Actor("key", "terraform", is_admin=True), 1),
        (Actor("user", "ada@example.org"), 1),
        (Actor("server", "server"), 0),
    ],
)
def test_ordinary_keys_and_the_server_leave_no_entry(
    project: ProjectRef, actor: Actor, count: int
) -> None:
    add(project, make_task(project), actor)

    assert len(trail()) == count


def test_cancelled_action_cannot_be_changed(project: ProjectRef) -> None:
    task_id = make_task(project)
    number = add(project, task_id)
    task = reads.lock_task(project, task_id)
    actions.cancel_action(project, task, number, actor=KEY, now=NOW)

    with pytest.raises(actions.ActionCancelled):
        actions.update_action(project, task, number, {"trigger": "50%"}, actor=KEY, now=LATER)


@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"integration": "webhook:gone", "config": {}}, "integration"),
        ({"config": {"to": "nobody"}}, "config.to"),
    ],
)
def test_wrong_change_is_refused(
    project: ProjectRef, changes: actions.ActionChanges, attr: str
) -> None:
    task_id = make_task(project)
    number = add(project, task_id)
    task = reads.lock_task(project, task_id)

    with pytest.raises(ValidationFailed) as raised:
        actions.update_action(project, task, number, changes, actor=KEY, now=LATER)

    assert [error.attr for error in raised.value.errors] == [attr]


def test_action_of_another_task_is_not_found(project: ProjectRef) -> None:
    foreign = add(project, make_task(project))
    task = reads.lock_task(project, make_task(project))
    change: Callable[..., object]

    for change, arguments in ((actions.update_action, ({},)), (actions.cancel_action, ())):
        with pytest.raises(NotFound):
            change(project, task, foreign, *arguments, actor=KEY, now=NOW)


def test_channels_of_new_actions_are_those_of_the_organization(project: ProjectRef) -> None:
    wrong: actions.ActionData = {**DATA, "integration": "webhook:gone"}

    with pytest.raises(ValidationFailed) as raised:
        actions.check_actions(make_project("globex"), [DATA, wrong])

    assert [error.attr for error in raised.value.errors] == ["actions.1.integration"]


def test_change_of_an_action_locks_its_task_once(project: ProjectRef) -> None:
    task_id = make_task(project)
    number = add(project, task_id)

    with count_queries() as statements:
        task = reads.lock_task(project, task_id)
        actions.update_action(project, task, number, {"trigger": "50%"}, actor=KEY, now=LATER)

    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "UPDATE"]
