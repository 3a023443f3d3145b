"""Tasks on the wire: the schemas, and the plain functions that write answers by them.

``write_task`` says in plain code what ``Task`` describes, because marshmallow's dump would be most
of the cost of a list page; ``tests/schemas/test_tasks.py`` holds the two together.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from json.encoder import encode_basestring as quote
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields

from taskbadger.clock import to_wire
from taskbadger.domain.status import STATUSES, value_percent
from taskbadger.schemas.actions import ActionRequest
from taskbadger.schemas.fields import (
    INT32_MAX,
    Choice,
    Duration,
    Message,
    Moment,
    RequestSchema,
    TaskRef,
    Text,
    Verbatim,
    WholeNumber,
    invalid,
)

MAX_TAGS = 50

NAME = {"description": "Name of the task"}
PARENT = {
    "description": "ID of the task this task is part of. Tasks can only be nested one level deep, "
    "and a task's parent can not be changed once set."
}
QUEUE = {"description": "Queue the task is from"}
EXTERNAL_ID = {
    "description": "Identifier from the originating system (e.g. Celery task ID) for correlating "
    "with logs"
}
VALUE = {"description": "Current progress value."}
VALUE_MAX = {"description": "Maximum value of the task. Defaults to 100."}
DATA = {"description": "Custom metadata"}
START_TIME = {
    "description": "Datetime when the status is set to a running state. Can be set via the API."
}
END_TIME = {
    "description": "Datetime when status is set to a terminal value.Can be set via the API."
}
TIME_TO_START = {
    "description": "Duration between task creation and when status first changes from pending. "
    "(seconds)"
}
MAX_RUNTIME = {
    "description": "Maximum duration the task can be running for before being considered failed. "
    "(seconds)"
}
STALE_TIMEOUT = {
    "description": "Maximum time to allow between task updates before considering the task stale. "
    "(seconds)"
}
TAGS = {"description": "Tags for the task represented as a mapping from 'namespace' to 'value'."}


class Tags(fields.Dict):
    """Tags: names to values; a null value, where allowed, removes the tag."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "null": Message("null", "This field may not be null."),
    }

    def __init__(self, *, removable: bool = False, **kwargs: Any) -> None:
        self.names = Text(max_length=255, min_length=1)
        self.values = Text(max_length=255, min_length=1, numbers=True)
        super().__init__(keys=self.names, values=self.values, **kwargs)
        self.removable = removable

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, Mapping):
            raise invalid("Expected an object of strings.")
        tags: dict[str, str | None] = {}
        errors: dict[str, Any] = {}
        for name, text in value.items():
            try:
                tags[str(self.names.deserialize(name))] = self._value(text)
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        if len(tags) > MAX_TAGS and not self.removable:
            raise too_many_tags()
        return tags

    def _value(self, value: Any) -> str | None:
        if value is None and self.removable:
            return None
        return str(self.values.deserialize(value))


def too_many_tags() -> ValidationError:
    """Return the error for a task with more tags than it may have."""
    return ValidationError(
        Message("max_length", f"Ensure this field has no more than {MAX_TAGS} tags.")
    )


class Actions(fields.List[Any]):
    """Actions to add. Accepted, but not in the document: the SDK's models depend on that."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(ActionRequest, unknown=EXCLUDE), **kwargs)

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "Expected a list of actions."),
        "null": Message("null", "This field may not be null."),
    }


class TaskRequest(RequestSchema):
    """A new task, or the whole of one."""

    # In this order, because that of a generated PatchedTaskRequest's arguments follows from it.
    parent = TaskRef(allow_none=True, metadata=PARENT)
    name = Text(required=True, max_length=255, min_length=1, metadata=NAME)
    queue = Text(max_length=255, blank=True, metadata=QUEUE)
    external_id = Text(max_length=255, blank=True, metadata=EXTERNAL_ID)
    status = Choice(STATUSES)
    value = WholeNumber(allow_none=True, metadata=VALUE)
    value_max = WholeNumber(metadata=VALUE_MAX)
    data = Verbatim(allow_none=True, metadata=DATA)
    start_time = Moment(allow_none=True, metadata=START_TIME)
    end_time = Moment(allow_none=True, metadata=END_TIME)
    time_to_start = Duration(allow_none=True, metadata=TIME_TO_START)
    max_runtime = WholeNumber(
        min_value=1, max_value=INT32_MAX, allow_none=True, metadata=MAX_RUNTIME
    )
    stale_timeout = WholeNumber(
        min_value=1, max_value=INT32_MAX, allow_none=True, metadata=STALE_TIMEOUT
    )
    tags = Tags(metadata=TAGS)
    actions = Actions(load_only=True)


class PatchedTaskRequest(TaskRequest):
    """Some fields of a task."""

    name = Text(max_length=255, min_length=1, metadata=NAME)
    tags = Tags(removable=True, metadata=TAGS)


class Task(RequestSchema):
    """A task as the API shows it."""

    id = fields.String(required=True, dump_only=True, metadata={"description": "Task ID"})
    organization = fields.String(required=True, dump_only=True)
    project = fields.String(required=True, dump_only=True)
    name = Text(required=True, max_length=255, metadata=NAME)
    parent = fields.String(allow_none=True, metadata=PARENT)
    queue = Text(max_length=255, metadata=QUEUE)
    external_id = Text(max_length=255, metadata=EXTERNAL_ID)
    status = Choice(STATUSES)
    value = WholeNumber(allow_none=True, metadata=VALUE)
    value_max = WholeNumber(metadata=VALUE_MAX)
    value_percent = fields.Integer(required=True, allow_none=True, dump_only=True)
    data = fields.Raw(allow_none=True, metadata=DATA)
    created = Moment(required=True, dump_only=True)
    updated = Moment(required=True, dump_only=True)
    start_time = Moment(allow_none=True, metadata=START_TIME)
    end_time = Moment(allow_none=True, metadata=END_TIME)
    time_to_start = fields.String(allow_none=True, metadata=TIME_TO_START)
    max_runtime = WholeNumber(
        min_value=1, max_value=INT32_MAX, allow_none=True, metadata=MAX_RUNTIME
    )
    stale_timeout = WholeNumber(
        min_value=1, max_value=INT32_MAX, allow_none=True, metadata=STALE_TIMEOUT
    )
    url = fields.String(required=True, dump_only=True)
    public_url = fields.String(required=True, dump_only=True)
    tags = Tags(metadata=TAGS)


class TaskEventActor(RequestSchema):
    """Who made a change."""

    type = Choice(("key", "user", "server"), required=True)
    name = fields.String(required=True)


class TaskEvent(RequestSchema):
    """An entry of a task's history; status and value are those after the change."""

    id = fields.Integer(required=True)
    type = Choice(("created", "status", "progress"), required=True)
    created = Moment(required=True)
    status = Choice(STATUSES, required=True)
    value = WholeNumber(required=True, allow_none=True)
    value_max = WholeNumber(required=True)
    actor = fields.Nested(TaskEventActor, required=True)


def write_task(task: Any, place: "Place") -> str:
    """Write a row of the task table as the JSON that *Task* describes.

    *task* is a Task or a row with its columns; ``data`` and ``tags`` are JSON text already.
    """
    identity = task.id
    percent = value_percent(task.value, task.value_max)
    parent = task.parent
    return (
        f'{{"id":"{identity}",{place.slugs},"name":{quote(task.name)},'
        f'"parent":{_quoted(parent)},"queue":{quote(task.queue)},'
        f'"external_id":{quote(task.external_id)},"status":"{task.status}",'
        f'"value":{_number(task.value)},"value_max":{task.value_max},'
        f'"value_percent":{_number(percent)},"data":{task.data or "null"},'
        f'"created":"{_wire(task.created)}","updated":"{_wire(task.updated)}",'
        f'"start_time":{_moment(task.start_time)},"end_time":{_moment(task.end_time)},'
        f'"time_to_start":{_duration(task.time_to_start)},'
        f'"max_runtime":{_number(task.max_runtime)},'
        f'"stale_timeout":{_number(task.stale_timeout)},'
        f'"url":{place.url_start}{identity}/","public_url":{place.public_start}{identity}/",'
        f'"tags":{task.tags}}}'
    )


class Place:
    """What all tasks of a project share in an answer, written once."""

    def __init__(self, organization: str, project: str, base_url: str) -> None:
        self.slugs = f'"organization":{quote(organization)},"project":{quote(project)}'
        self.url_start = quote(f"{base_url}/a/{organization}/tasks/")[:-1]
        self.public_start = quote(f"{base_url}/public/tasks/")[:-1]


def write_page(results: Iterable[str], *, next_url: str | None, previous_url: str | None) -> str:
    """Write one page of a list from its written *results*."""
    return (
        f'{{"next":{_quoted(next_url)},"previous":{_quoted(previous_url)},'
        f'"results":[{",".join(results)}]}}'
    )


def write_event(event: Any) -> str:
    """Write a row of the history as the JSON that *TaskEvent* describes."""
    return (
        f'{{"id":{event.id},"type":"{event.type}","created":"{to_wire(event.created)}",'
        f'"status":"{event.status}","value":{_number(event.value)},'
        f'"value_max":{event.value_max},'
        f'"actor":{{"type":"{event.actor_type}","name":{quote(event.actor_name)}}}}}'
    )


def write_tags(tags: Mapping[str, str]) -> str:
    """Write tags as they are kept with the task: JSON, sorted by name."""
    return json.dumps(dict(sorted(tags.items())), ensure_ascii=False, separators=(",", ":"))


def write_duration(duration: timedelta) -> str:
    """Write a duration as ``[D ]HH:MM:SS[.ffffff]``."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    if duration.days:
        text = f"{duration.days} {text}"
    return f"{text}.{duration.microseconds:06d}" if duration.microseconds else text


def _quoted(text: str | None) -> str:
    return "null" if text is None else quote(text)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _moment(value: datetime | str | None) -> str:
    return "null" if value is None else f'"{_wire(value)}"'


def _wire(value: datetime | str) -> str:
    """Write a time; the rows of a page have it as text already."""
    return value if type(value) is str else to_wire(value)  # type: ignore[arg-type]


def _duration(value: timedelta | None) -> str:
    return "null" if value is None else f'"{write_duration(value)}"'
