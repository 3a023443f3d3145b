"""Firing over random histories, through the services, against a naive oracle."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from conftest import make_project
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from taskbadger.domain.identity import Actor
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, Firing
from taskbadger.services.tasks import write

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
PLAIN = [status for status in STATUSES if status != "stale"]

points = st.one_of(
    st.integers(0, 12).map(str),
    st.integers(0, 120).map(lambda number: f"{number}%"),
    st.integers(1, 5).map(lambda number: f"*/{number}"),
    st.integers(1, 60).map(lambda number: f"*/{number}%"),
    st.sampled_from(PLAIN),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "value": st.none() | st.integers(0, 12),
        "value_max": st.sampled_from([0, 8, 10, 100]),
        "status": st.sampled_from(PLAIN),
    },
)


def reaches(point: str, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """Say whether a change reaches a point, by counting up one by one."""
    if point in STATUSES:
        return after["status"] == point and (before is None or before["status"] != point)
    percent = point.endswith("%")
    number = int(point.removeprefix("*/").removesuffix("%"))

    def look(state: dict[str, Any] | None) -> int:
        if state is None or state["value"] is None or (percent and not state["value_max"]):
            return -1
        if not percent:
            return int(state["value"])
        return int(100 * state["value"] // state["value_max"])

    passed = range(look(before) + 1, look(after) + 1)
    if point.startswith("*/"):
        return any(step % number == 0 for step in passed)
    return number in passed


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    triggers=st.lists(
        st.lists(points, min_size=1, max_size=3).map(",".join), min_size=1, max_size=3
    ),
    history=st.lists(changes, min_size=1, max_size=6),
)
def test_random_histories_fire_what_the_oracle_says(
    app: Flask, triggers: list[str], history: list[dict[str, Any]]
) -> None:
    project = make_project()
    mail = {"integration": "email", "config": {"to": "a@example.com"}}
    state: dict[str, Any] | None = None
    expected: set[tuple[str, int]] = set()
    task_id = ""
    for version, change in enumerate(history, start=1):
        before = state
        state = {"value": None, "value_max": 100, "status": "pending", **(state or {}), **change}
        now = NOW + timedelta(seconds=version)
        if before is None:
            actions = [{"trigger": trigger, **mail} for trigger in triggers]
            fields = {"name": "job", "actions": actions, **change}
            task_id = write.create_task(project, fields, now=now, actor=KEY).id
        else:
            write.update_task(project, task_id, change, now=now, actor=KEY)
        db.session.commit()
        expected |= {
            (trigger, version)
            for trigger in set(triggers)
            if any(reaches(point, before, state) for point in trigger.split(","))
        }

    rows = db.session.execute(
        select(Action.trigger, Firing.task_version, Firing.reason, Action.id)
        .join(Action, Action.id == Firing.action_id)
        .where(Firing.task_id == task_id)
    ).all()
    deliveries = db.session.scalar(
        select(func.count())
        .select_from(Delivery)
        .join(Firing, Firing.id == Delivery.firing_id)
        .where(Firing.task_id == task_id)
    )
    db.session.commit()
    assert {(row.trigger, row.task_version) for row in rows} == expected
    assert len({(row.id, row.task_version) for row in rows}) == len(rows) == deliveries
    assert all(json.loads(row.reason)["point"] in row.trigger.split(",") for row in rows)
