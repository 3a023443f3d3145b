"""Pages of lists."""

from marshmallow import fields

from taskbadger.schemas.fields import RequestSchema
from taskbadger.schemas.tasks import Task, TaskEvent

_NEXT = {"format": "uri", "example": 'http://api.example.org/accounts/?cursor=cD00ODY%3D"'}
_PREVIOUS = {"format": "uri", "example": "http://api.example.org/accounts/?cursor=cj0xJnA9NDg3"}


class PageOfList(RequestSchema):
    """What all pages share; each adds its ``results``."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_PREVIOUS)


class PaginatedTaskList(RequestSchema):
    """A page of tasks, newest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_PREVIOUS)
    results = fields.List(fields.Nested(Task), required=True)


class PaginatedTaskEventList(RequestSchema):
    """A page of a task's history, oldest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_PREVIOUS)
    results = fields.List(fields.Nested(TaskEvent), required=True)
