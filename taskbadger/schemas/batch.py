"""The schemas of a batch: a request with many operations on tasks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from marshmallow import fields

from taskbadger.errors import ValidationFailed
from taskbadger.schemas.body import MAX_OPERATIONS, Members, load, not_an_object
from taskbadger.schemas.errors import ErrorItem
from taskbadger.schemas.fields import Choice, Flag, Message, RequestSchema, Text, invalid
from taskbadger.schemas.tasks import PatchedTaskRequest, Task, TaskRequest

MAX_DATA = 2**20
"""Maximum characters of a task's ``data``: what a request of its own could send."""
CREATE, UPDATE, CANCEL = "create", "update", "cancel"
FULL, MINIMAL = "full", "minimal"


class Operation(NamedTuple):
    """An operation as it was sent. The tasks it names may not exist."""

    op: str = ""
    id: str | None = None
    """The task to change; None where *ref* names it, and for a creation."""
    ref: str | None = None
    """What this batch calls a task that it creates."""
    data: Mapping[str, Any] = {}
    """The loaded (Patched)TaskRequest."""
    error: ValidationFailed | None = None
    """What is wrong with it."""


class _Unread(fields.Nested):
    """An object that is loaded apart from what it is in."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "null": Message("null", "This field may not be null."),
    }

    def _deserialize(
        self, value: Any, attr: Any, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        return value


class BatchOperation(RequestSchema):
    """An operation on one task."""

    op = Choice(
        (CREATE, UPDATE, CANCEL), required=True, metadata={"description": "What to do with a task."}
    )
    id = Text(max_length=255, metadata={"description": "ID of the task to update or cancel."})
    ref = Text(
        max_length=255,
        min_length=1,
        metadata={
            "description": "Creating: a name for the new task. Otherwise, instead of an ID: the "
            "name of a task that this batch has created before."
        },
    )
    task = _Unread(
        PatchedTaskRequest,
        metadata={"description": "The fields of a new task, or those to change."},
    )


class Operations(fields.List[Any]):
    """Operations, each of them loaded, or with its error."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(BatchOperation), **kwargs)

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("Expected a list of operations.")
        if len(value) > MAX_OPERATIONS:
            detail = f"Ensure this field has no more than {MAX_OPERATIONS} operations."
            error = invalid(detail)
            error.messages = [Message("max_length", detail)]
            raise error
        return [_read_operation(each) for each in value]


class BatchRequest(RequestSchema):
    """Operations to do in order, in one transaction."""

    operations = Operations(
        required=True, metadata={"description": f"Up to {MAX_OPERATIONS} operations."}
    )
    atomic = Flag(metadata={"description": "Apply all operations, or none if one of them fails."})
    return_ = Choice(
        (FULL, MINIMAL),
        data_key="return",
        metadata={"description": "Return whole tasks, or only their IDs."},
    )


def _read_operation(value: Any) -> Operation:
    try:
        if not isinstance(value, Members):
            raise not_an_object(value)
        operation, task = _load(value)
    except ValidationFailed as error:
        return Operation(error=error)
    if operation.op == CANCEL:
        return operation
    try:
        return operation._replace(data=_load_task(operation.op, task))
    except ValidationFailed as error:
        return operation._replace(error=error)


def _load(members: Members) -> tuple[Operation, Any]:
    """Return an operation without its task, and the task."""
    loaded: dict[str, Any] = load(BatchOperation, members)
    op, task_id, ref = loaded["op"], loaded.get("id"), loaded.get("ref")
    if op == CREATE and task_id is not None:
        raise ValidationFailed.one("id", "The server chooses the ID of a new task.")
    if op != CREATE and task_id is None and ref is None:
        raise ValidationFailed.one("id", "This field is required.", "required")
    if task_id is not None and ref is not None:
        raise ValidationFailed.one("ref", "This field cannot be sent together with “id”.")
    return Operation(op, task_id, ref), loaded.get("task")


def _load_task(op: str, task: Any) -> Mapping[str, Any]:
    if task is None:
        if op == CREATE:
            raise ValidationFailed.one("task", "This field is required.", "required")
        return {}
    if not isinstance(task, Members):
        detail = not_an_object(task).errors[0].detail
        raise ValidationFailed.one("task", detail)
    if len(getattr(task.get("data"), "text", "")) > MAX_DATA:
        detail = f"Ensure this field has no more than {MAX_DATA} characters."
        raise ValidationFailed.one("data", detail, "max_length")
    data: dict[str, Any] = load(TaskRequest if op == CREATE else PatchedTaskRequest, task)
    return data


class BatchResult(RequestSchema):
    """What became of an operation."""

    status = fields.Integer(
        required=True, metadata={"description": "HTTP status that it would have by itself."}
    )
    task = fields.Nested(Task, metadata={"description": "The task after the operation."})
    id = fields.String(metadata={"description": "ID of the task, if only IDs were requested."})
    type = fields.String(metadata={"description": "Kind of the error, if it failed."})
    errors = fields.List(
        fields.Nested(ErrorItem),
        metadata={"description": "What is wrong; attr is relative to the operation's task."},
    )


class BatchResponse(RequestSchema):
    """What became of the operations of a batch, in their order."""

    results = fields.List(
        fields.Nested(BatchResult),
        required=True,
        metadata={"description": "One result for each operation."},
    )
