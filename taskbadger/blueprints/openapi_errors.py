"""The error responses in the OpenAPI document, for the operations that the hosted service lacks.

docs/contract.md#errors has the table. The examples are made by what answers the requests.
"""

import json
from dataclasses import dataclass
from typing import Any

from taskbadger.blueprints.errors import answer
from taskbadger.errors import (
    AuthenticationFailed,
    Conflict,
    FieldError,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    ParseError,
    PayloadTooLarge,
    PermissionDenied,
    ServiceUnavailable,
    TaskBadgerError,
    Throttled,
    UnsupportedMediaType,
    ValidationFailed,
)

_SCHEMA = {"$ref": "#/components/schemas/Error"}
_HEADERS: dict[str, dict[str, Any]] = {
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_ALWAYS = ("401", "403", "404", "406", "429", "503")
_WITH_QUERY = ("400",)
_WITH_BODY = ("400", "413", "415")


@dataclass(frozen=True)
class _Problem:
    """An error response: its name in the document, when it is sent, and examples of it."""

    name: str
    description: str
    examples: dict[str, TaskBadgerError]


_WRONG_FIELD = ValidationFailed([FieldError("required", "This field is required.", "name")])
_PROBLEMS = {
    "400": _Problem(
        "BadRequest",
        "Some fields or query parameters are wrong, and each of them is listed; or the body is not "
        "valid JSON.",
        {"fields": _WRONG_FIELD, "json": ParseError("Expecting value: line 1 column 1 (char 0)")},
    ),
    "401": _Problem(
        "Unauthorized",
        "The request has no key, or one that is unknown, revoked or expired.",
        {"missing": NotAuthenticated(), "wrong": AuthenticationFailed()},
    ),
    "403": _Problem(
        "Forbidden",
        "The key does not have the scope that the operation requires, or is limited to a project.",
        {"scope": PermissionDenied()},
    ),
    "404": _Problem(
        "NotFound",
        "What the path names does not exist, or the key does not give access to it.",
        {"path": NotFound(), "cursor": NotFound("Invalid cursor")},
    ),
    "406": _Problem(
        "NotAcceptable", "The Accept header excludes JSON.", {"accept": NotAcceptable()}
    ),
    "409": _Problem(
        "Conflict",
        "The operation is not possible in the current state; the detail says why.",
        {"state": Conflict()},
    ),
    "413": _Problem(
        "PayloadTooLarge",
        "The body is larger than the limit, which the detail names.",
        {"size": PayloadTooLarge(1024 * 1024)},
    ),
    "415": _Problem(
        "UnsupportedMediaType",
        "The Content-Type of the body is not application/json.",
        {"xml": UnsupportedMediaType("application/xml")},
    ),
    "429": _Problem(
        "TooManyRequests",
        "The key has made too many requests. Servers have no limit unless it is configured.",
        {"throttled": Throttled(30)},
    ),
    "503": _Problem(
        "ServiceUnavailable",
        "The database cannot be reached, is locked or is full. Nothing was changed.",
        {"database": ServiceUnavailable()},
    ),
}


def responses() -> dict[str, Any]:
    """Return the components that ``references`` refers to."""
    return {problem.name: _describe(problem) for problem in _PROBLEMS.values()}


def references(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the error responses of an operation: those that every one has, and its own."""
    statuses = {*_ALWAYS, *(_PROBLEMS.keys() & operation["responses"].keys())}
    if "requestBody" in operation:
        statuses.update(_WITH_BODY)
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.update(_WITH_QUERY)
    return {status: _refer(_PROBLEMS[status]) for status in sorted(statuses)}


def _refer(problem: _Problem) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{problem.name}"}


def _describe(problem: _Problem) -> dict[str, Any]:
    answers = {name: answer(error) for name, error in problem.examples.items()}
    sent = [name for name in _HEADERS if any(name in found.headers for found in answers.values())]
    examples = {name: {"value": json.loads(found.data)} for name, found in answers.items()}
    content = {"application/json": {"schema": _SCHEMA, "examples": examples}}
    described: dict[str, Any] = {"description": problem.description, "content": content}
    if sent:
        described["headers"] = {name: _HEADERS[name] for name in sent}
    return described
