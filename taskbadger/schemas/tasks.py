"""The API schemas of tasks, and the functions that write responses as JSON.

``write_row`` writes what ``Task`` describes without marshmallow, whose dump would be most of the
cost of a list page. ``tests/schemas/test_tasks.py`` checks that the two agree.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring as quote
from operator import attrgetter
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields

from taskbadger.clock import duration_to_wire, to_wire
from taskbadger.domain.status import STATUSES, value_percent
from taskbadger.models.task_rows import EventRow, TaskState, WireTask
from taskbadger.schemas.actions import ActionRequest
from taskbadger.schemas.fields import (
    INT32_MAX,
    INT64_MIN,
    Choice,
    Duration,
    Message,
    Moment,
    RawJSON,
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
    """Tags as a mapping of names to values. If *removable*, null removes a tag."""

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
    """Return the error for a task with more than MAX_TAGS tags."""
    return ValidationError(
        Message("max_length", f"Ensure this field has no more than {MAX_TAGS} tags.")
    )


class Actions(fields.List[Any]):
    """Actions to add. Not in the OpenAPI document: the SDK's models depend on that."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(ActionRequest, unknown=EXCLUDE), **kwargs)

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "Expected a list of actions."),
        "null": Message("null", "This field may not be null."),
    }


class TaskRequest(RequestSchema):
    """A new task, or all fields of an existing one."""

    # The order determines that of the arguments of PatchedTaskRequest in generated clients.
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


class Increment(WholeNumber):
    """A number to add to ``value``, which cannot be set in the same request."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=INT64_MIN, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        _check_alone("value", data)
        return super()._deserialize(value, attr, data, **kwargs)


class Merge(Verbatim):
    """An object to merge into ``data``, which cannot be set in the same request."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "null": Message("null", "This field may not be null."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        _check_alone("data", data)
        if not isinstance(value, RawJSON) or not isinstance(value.value, dict):
            raise invalid("Expected an object.")
        return super()._deserialize(value, attr, data, **kwargs)


def _check_alone(other: str, body: Mapping[str, Any]) -> None:
    if other in body:
        raise invalid(f"This field cannot be sent together with “{other}”.")


class PatchedTaskRequest(TaskRequest):
    """Some fields of a task."""

    name = Text(max_length=255, min_length=1, metadata=NAME)
    tags = Tags(removable=True, metadata=TAGS)
    # Like actions, these are not in the OpenAPI document.
    value_increment = Increment(load_only=True)
    data_merge = Merge(load_only=True)


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

    type = Choice(
        ("key", "user", "server"),
        required=True,
        metadata={"description": "An API key, a user of the dashboard, or the server itself."},
    )
    name = fields.String(
        required=True, metadata={"description": "Name of the key, or e-mail address of the user."}
    )


class TaskEvent(RequestSchema):
    """An entry of a task's history; status and value are those after the change."""

    id = fields.Integer(required=True, metadata={"description": "ID of the event"})
    type = Choice(
        ("created", "status", "progress"),
        required=True,
        metadata={"description": "created, a change of status, or progress."},
    )
    created = Moment(required=True, metadata={"description": "When it happened."})
    status = Choice(STATUSES, required=True, metadata={"description": "Status after the change."})
    value = WholeNumber(
        required=True, allow_none=True, metadata={"description": "Value after the change."}
    )
    value_max = WholeNumber(
        required=True, metadata={"description": "Maximum value after the change."}
    )
    actor = fields.Nested(TaskEventActor, required=True)


def write_task(task: TaskState, place: "Place") -> str:
    """Return a task that was locked or written as the JSON that *Task* describes."""
    columns = list(_wire_columns(task))
    for column, write in _WRITTEN.items():
        if columns[column] is not None:
            columns[column] = write(columns[column])
    return write_row(WireTask._make(columns), place)


_wire_columns = attrgetter(*WireTask._fields)
_WRITTEN: dict[int, Callable[[Any], str]] = {
    WireTask._fields.index(name): write
    for name, write in (
        ("created", to_wire),
        ("updated", to_wire),
        ("start_time", to_wire),
        ("end_time", to_wire),
        ("time_to_start", duration_to_wire),
    )
}
"""How the columns are written that are not as on the wire."""


def write_row(task: WireTask, place: "Place") -> str:
    """Return a task that was read for a response as the JSON that *Task* describes.

    Its ``data`` and ``tags`` are stored as JSON text.
    """
    # A list writes a hundred of these, so most fields are written without a call.
    (
        identity,
        parent,
        name,
        queue,
        external_id,
        status,
        value,
        value_max,
        data,
        tags,
        created,
        updated,
        start_time,
        end_time,
        time_to_start,
        max_runtime,
        stale_timeout,
    ) = task
    percent = None if value is None else value_percent(value, value_max)
    return (
        f'{{"id":"{identity}",{place.slugs},"name":{quote(name)},'
        f'"parent":{_NULL if parent is None else quote(parent)},"queue":{quote(queue)},'
        f'"external_id":{quote(external_id)},"status":"{status}",'
        f'"value":{_NULL if value is None else value},"value_max":{value_max},'
        f'"value_percent":{_NULL if percent is None else percent},"data":{data or _NULL},'
        f'"created":"{created}","updated":"{updated}",'
        f'"start_time":{_quoted(start_time)},"end_time":{_quoted(end_time)},'
        f'"time_to_start":{_quoted(time_to_start)},'
        f'"max_runtime":{_NULL if max_runtime is None else max_runtime},'
        f'"stale_timeout":{_NULL if stale_timeout is None else stale_timeout},'
        f'"url":{place.url_start}{identity}/","public_url":{place.public_start}{identity}/",'
        f'"tags":{tags}}}'
    )


class Place:
    """The parts of the JSON that all tasks of a project share, written once."""

    def __init__(self, organization: str, project: str, base_url: str) -> None:
        self.slugs = f'"organization":{quote(organization)},"project":{quote(project)}'
        self.url_start = quote(f"{base_url}/a/{organization}/tasks/")[:-1]
        self.public_start = quote(f"{base_url}/public/tasks/")[:-1]


def write_page(results: Iterable[str], *, next_url: str | None, previous_url: str | None) -> str:
    """Return a page of a list as JSON; *results* are JSON text."""
    return (
        f'{{"next":{_quoted(next_url)},"previous":{_quoted(previous_url)},'
        f'"results":[{",".join(results)}]}}'
    )


def write_event(event: EventRow) -> str:
    """Return an entry of the history as the JSON that *TaskEvent* describes."""
    return (
        f'{{"id":{event.id},"type":"{event.type}","created":"{to_wire(event.created)}",'
        f'"status":"{event.status}","value":{_number(event.value)},'
        f'"value_max":{event.value_max},'
        f'"actor":{{"type":"{event.actor_type}","name":{quote(event.actor_name)}}}}}'
    )


def write_tags(tags: Mapping[str, str]) -> str:
    """Return tags as they are stored with the task: JSON, sorted by name."""
    return _write_json(dict(sorted(tags.items())))


_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


_NULL = "null"


def _quoted(text: str | None) -> str:
    return _NULL if text is None else quote(text)


def _number(value: int | None) -> str:
    return _NULL if value is None else str(value)
