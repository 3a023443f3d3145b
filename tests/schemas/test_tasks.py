"""What is written by plain functions is what the schemas describe."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.status import STATUSES
from taskbadger.schemas.fields import INT32_MAX, INT64_MAX, parse_duration
from taskbadger.schemas.pagination import PaginatedTaskEventList, PaginatedTaskList
from taskbadger.schemas.tasks import (
    Place,
    Task,
    TaskEvent,
    TaskRequest,
    write_event,
    write_page,
    write_tags,
    write_task,
)

PLACE = Place("acme", "web", "https://tasks.example.com")

wire_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
trimmed = wire_text.map(str.strip)
names = trimmed.map(lambda text: text or "job")
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(0, INT64_MAX)
seconds = st.integers(1, INT32_MAX)
task_ids = st.binary(min_size=16, max_size=16).map(ids.from_bytes)

tasks = st.builds(
    SimpleNamespace,
    id=task_ids,
    parent=st.none() | task_ids,
    name=names,
    queue=trimmed,
    external_id=trimmed,
    status=st.sampled_from(STATUSES),
    value=st.none() | numbers,
    value_max=numbers,
    data=st.none() | st.sampled_from(['{"a": 1.0}', "[]", '"\\u0000"', "0.10", "false"]),
    tags=st.dictionaries(names, names, max_size=5).map(write_tags),
    created=moments,
    updated=moments,
    start_time=st.none() | moments,
    end_time=st.none() | moments,
    time_to_start=st.none() | st.timedeltas(timedelta(), timedelta(days=10**8)),
    max_runtime=st.none() | seconds,
    stale_timeout=st.none() | seconds,
)


@given(tasks)
def test_written_task_has_the_fields_of_the_schema_and_the_values_of_the_row(task: Any) -> None:
    shown = json.loads(write_task(task, PLACE))

    assert set(shown) == set(Task().fields)
    assert shown == {
        "id": task.id,
        "organization": "acme",
        "project": "web",
        "name": task.name,
        "parent": task.parent,
        "queue": task.queue,
        "external_id": task.external_id,
        "status": task.status,
        "value": task.value,
        "value_max": task.value_max,
        "value_percent": (
            100 * task.value // task.value_max
            if task.value is not None and task.value_max
            else None
        ),
        "data": json.loads(task.data) if task.data else None,
        "created": to_wire(task.created),
        "updated": to_wire(task.updated),
        "start_time": task.start_time and to_wire(task.start_time),
        "end_time": task.end_time and to_wire(task.end_time),
        "time_to_start": shown["time_to_start"],
        "max_runtime": task.max_runtime,
        "stale_timeout": task.stale_timeout,
        "url": f"https://tasks.example.com/a/acme/tasks/{task.id}/",
        "public_url": f"https://tasks.example.com/public/tasks/{task.id}/",
        "tags": json.loads(task.tags),
    }
    if task.time_to_start is None:
        assert shown["time_to_start"] is None
    else:
        assert parse_duration(shown["time_to_start"]) == task.time_to_start


@given(tasks)
def test_written_task_may_be_sent_back_as_it_is(task: Any) -> None:
    loaded = TaskRequest().load(json.loads(write_task(task, PLACE)))

    same = ("name", "parent", "queue", "external_id", "status", "value", "value_max", "start_time")
    also = ("end_time", "time_to_start", "max_runtime", "stale_timeout")
    for name in (*same, *also):
        assert loaded[name] == getattr(task, name)
    assert loaded["tags"] == json.loads(task.tags)


def test_data_goes_out_digit_by_digit() -> None:
    text = '{"a" : 1.0, "b": 12345678901234567890, "c": 1e400}'
    task = SimpleNamespace(
        id="A" * 22,
        parent=None,
        name='a "b"\n',
        queue="",
        external_id="",
        status="pending",
        value=None,
        value_max=100,
        data=text,
        tags="{}",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        updated=datetime(2026, 1, 1, tzinfo=UTC),
        start_time=None,
        end_time=None,
        time_to_start=None,
        max_runtime=None,
        stale_timeout=None,
    )

    assert '"name":"a \\"b\\"\\n",' in write_task(task, PLACE)
    assert f'"data":{text},' in write_task(task, PLACE)


@given(
    st.builds(
        SimpleNamespace,
        id=numbers,
        type=st.sampled_from(["created", "status", "progress"]),
        created=moments,
        status=st.sampled_from(STATUSES),
        value=st.none() | numbers,
        value_max=numbers,
        actor_type=st.sampled_from(["key", "user", "server"]),
        actor_name=wire_text,
    )
)
def test_written_event_is_what_the_schema_describes(event: Any) -> None:
    shown = json.loads(write_event(event))

    assert TaskEvent().validate(shown) == {}
    assert set(shown) == set(TaskEvent().fields)
    assert shown == {
        "id": event.id,
        "type": event.type,
        "created": to_wire(event.created),
        "status": event.status,
        "value": event.value,
        "value_max": event.value_max,
        "actor": {"type": event.actor_type, "name": event.actor_name},
    }


def test_written_page_has_the_fields_of_both_list_schemas() -> None:
    shown = json.loads(write_page(['{"a":1}', "{}"], next_url="http://x/?a=1&b", previous_url=None))

    assert shown == {"next": "http://x/?a=1&b", "previous": None, "results": [{"a": 1}, {}]}
    assert set(shown) == set(PaginatedTaskList().fields) == set(PaginatedTaskEventList().fields)
