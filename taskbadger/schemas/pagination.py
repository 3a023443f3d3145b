"""The API schemas of list pages."""

from marshmallow import fields

from taskbadger.schemas.fields import RequestSchema
from taskbadger.schemas.tasks import Task, TaskEvent

# The hosted document's own, with its stray quotation mark.
_NEXT = {"format": "uri", "example": 'http://api.example.org/accounts/?cursor=cD00ODY%3D"'}
_PREVIOUS = {"format": "uri", "example": "http://api.example.org/accounts/?cursor=cj0xJnA9NDg3"}


RESULTS = {"description": "What is on this page."}


class PageOfList(RequestSchema):
    """The base of list pages; each adds its ``results``."""

    next = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uri", "description": "Address of the next page; null on the last."},
    )
    previous = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "uri", "description": "Address of the page before; null on the first."},
    )


class PaginatedTaskList(RequestSchema):
    """A page of tasks, newest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_PREVIOUS)
    results = fields.List(fields.Nested(Task), required=True)


class PaginatedTaskEventList(PageOfList):
    """A page of a task's history, oldest first."""

    results = fields.List(fields.Nested(TaskEvent), required=True, metadata=RESULTS)
