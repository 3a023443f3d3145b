"""Batches: each operation has the effect and the answer that it has by itself."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from conftest import ApiClient, make_key, make_project
from flask import Flask
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db, transaction
from taskbadger.models import Delivery, Firing, Task, TaskTag
from taskbadger.schemas.batch import CREATE, UPDATE, Operation
from taskbadger.services.tasks import batch, history

START = datetime(2026, 1, 1, tzinfo=UTC)
EMAIL = {"trigger": "error,50", "integration": "email", "config": {"to": "a@example.com"}}
UNKNOWN = ids.new_id(START)
CI = Actor("key", "ci")


def test_child_of_a_task_of_the_same_batch_makes_it_a_parent(project: ProjectRef) -> None:
    def run(*operations: Operation) -> list[batch.Outcome]:
        with transaction():
            return batch.run(project, operations, clock=utcnow, actor=CI)

    [(parent, _)] = run(Operation(CREATE, ref="a", data={"name": "job"}))
    assert parent is not None

    outcomes = run(
        Operation(UPDATE, id=parent.id, data={"name": "parent"}),
        Operation(CREATE, ref="b", data={"name": "child", "parent": parent.id}),
        Operation(UPDATE, id=parent.id, data={"parent": UNKNOWN}),
        Operation(CREATE, data={"name": "grandchild", "parent": UNKNOWN}),
    )

    assert [str(each.error) for each in outcomes] == [
        "None",
        "None",
        "A task that has children can not have a parent.",
        f'Invalid parent "{UNKNOWN}" - task does not exist.',
    ]


def test_atomic_batch_raises_what_became_of_each(project: ProjectRef) -> None:
    operations = [Operation(CREATE, data={"name": "job"}), Operation(UPDATE, id=UNKNOWN)]

    with pytest.raises(batch.BatchFailed) as caught, transaction():
        batch.run(project, operations, clock=utcnow, actor=CI, atomic=True)

    kinds = [type(each.error) for each in caught.value.outcomes]
    assert kinds == [batch.NotApplied, NotFound]
    assert db.session.scalars(select(Task)).all() == []


# The model: the same operations one by one

FIELDS: list[tuple[str, list[Any]]] = [
    ("name", ["job", "other", ""]),
    ("status", ["pending", "processing", "success", "error", "nonsense"]),
    ("value", [0, 40, 60, 100, -1, None]),
    ("value_increment", [1, 30, -5, 2**63 - 1]),
    ("data", [{"a": 1.50}, [1], None]),
    ("data_merge", [{"b": {"c": None, "d": 2}}, {"a": None}, 5]),
    ("tags", [{"x": "1"}, {"x": None, "y": "2"}, {str(n): "z" for n in range(51)}]),
    ("stale_timeout", [1, 60, None]),
    ("actions", [[EMAIL], [{"trigger": "x"}]]),
    ("start_time", ["2026-01-01T00:00:00Z", "x"]),
    ("parent", ["OLD 0", "OLD 1", None]),
]


def random_operations(chance: random.Random, count: int) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        chosen = chance.sample(FIELDS, chance.choice([0, 1, 1, 2, 3]))
        fields = {name: chance.choice(values) for name, values in chosen}
        kind = chance.choice(["create", "update", "update", "update", "cancel"])
        operation: dict[str, Any] = {"op": kind}
        if kind == "create":
            operation["ref"] = str(chance.randrange(number // 2 + 2))
            fields.setdefault("name", "made")
        elif chance.random() < 0.5:
            operation["ref"] = str(chance.randrange(number // 2 + 2))
        else:
            operation["id"] = chance.choice(["OLD 0", "OLD 1", "OLD 2", UNKNOWN])
        if kind != "cancel":
            operation["task"] = fields
        found.append(operation)
    return found


class Side:
    """A project in which the operations are done, one way or the other."""

    def __init__(self, api: ApiClient, old: list[str]) -> None:
        self.api, self.old = api, old
        self.made: dict[str, str] = {}

    def real(self, operation: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(operation)
        for place, task_id in enumerate(self.old):
            text = text.replace(f"OLD {place}", task_id)
        found: dict[str, Any] = json.loads(text)
        return found

    def one_by_one(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._do(self.real(each)) for each in operations]

    def _do(self, operation: dict[str, Any]) -> dict[str, Any]:
        ref = operation.get("ref")
        if operation["op"] == "create":
            if ref in self.made:
                return {"status": 400}
            answer = self.api.post(json=operation["task"])
            if answer.status_code == 201:
                self.made[str(ref)] = answer.json["id"]
        else:
            task_id = operation.get("id") or self.made.get(str(ref))
            if task_id is None:
                return {"status": 400}
            method = "PATCH" if operation["op"] == "update" else "DELETE"
            options = {"json": operation["task"]} if method == "PATCH" else {}
            answer = self.api.open(method, f"/tasks/{task_id}/", **options)
        if answer.status_code == 204:
            return {"status": 204}
        if answer.status_code < 300:
            return {"status": answer.status_code, "task": answer.json}
        return {"status": answer.status_code, **answer.json}

    def at_once(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = self.api.post("/tasks/batch/", json={"operations": [*map(self.real, operations)]})
        results: list[dict[str, Any]] = answer.json["results"]
        return results

    def rows(self) -> dict[str, Any]:
        """Everything that was written, without what differs between projects."""
        db.session.rollback()
        tasks = db.session.scalars(
            select(Task).where(Task.id.in_([*self.old, *self._made_ids()])).order_by(Task.id)
        ).all()
        found = [task.id for task in tasks]
        return {
            "tasks": [self._plain(task) for task in tasks],
            "tags": sorted(
                (found.index(tag.task_id), tag.name, tag.value)
                for tag in db.session.scalars(select(TaskTag).where(TaskTag.task_id.in_(found)))
            ),
            "history": [
                [event[2:] for event in history.list_events(task_id, None, 1000).rows]
                for task_id in found
            ],
            "fired": [self._fired(task_id) for task_id in found],
        }

    def _made_ids(self) -> list[str]:
        tasks = self.api.get("/tasks/?page_size=1000").json["results"]
        return [task["id"] for task in tasks]

    def _plain(self, task: Task) -> dict[str, Any]:
        left_out = ("id", "project_id", "progress_event_id")
        found = {
            column.name: getattr(task, column.name)
            for column in Task.__table__.columns
            if column.name not in left_out
        }
        found["parent"] = found["parent"] and self.old.index(found["parent"])
        found["has_progress_event"] = task.progress_event_id is not None
        return found

    def _fired(self, task_id: str) -> list[Any]:
        rows = db.session.execute(
            select(Firing.reason, Delivery.integration, Delivery.state)
            .join(Delivery, Delivery.firing_id == Firing.id)
            .where(Firing.task_id == task_id)
            .order_by(Firing.id)
        )
        return [tuple(row) for row in rows]


def without_ids(side: Side, results: list[dict[str, Any]]) -> list[Any]:
    text = json.dumps(results)
    for place, task_id in enumerate(side.old):
        text = text.replace(task_id, f"OLD {place}")
    found: list[Any] = json.loads(text)
    for each in found:
        for name in ("id", "url", "public_url", "project"):
            each.get("task", {}).pop(name, None)
    return found


@pytest.mark.parametrize("seed", range(25))
def test_batch_does_what_its_operations_do_one_by_one(
    app: Flask, api: ApiClient, seed: int
) -> None:
    make_project(slug="other")
    other = ApiClient(api.client, make_key(slug="other"), "/api/acme/other")
    operations = random_operations(random.Random(seed), 40)
    with time_machine.travel(START, tick=False):
        sides = [Side(each, [each.create()["id"] for _ in range(3)]) for each in (api, other)]
        together, apart = sides[0].at_once(operations), sides[1].one_by_one(operations)
        # What is wrong with a `ref` has no equivalent.
        together = [
            {"status": each["status"]} if other == {"status": 400} else each
            for each, other in zip(together, apart, strict=True)
        ]

        assert without_ids(sides[0], together) == without_ids(sides[1], apart)
        # Ids of one moment are in no order, so these are compared without it.
        ours, theirs = (in_any_order(side.rows()) for side in sides)
        assert ours == theirs


def in_any_order(rows: dict[str, Any]) -> list[Any]:
    tags: dict[int, list[Any]] = {}
    for place, name, value in rows["tags"]:
        tags.setdefault(place, []).append((name, value))
    parts = zip(rows["tasks"], rows["history"], rows["fired"], strict=True)
    return sorted(
        repr((task, tags.get(place, []), events, fired))
        for place, (task, events, fired) in enumerate(parts)
    )
