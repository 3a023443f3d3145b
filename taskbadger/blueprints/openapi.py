"""The OpenAPI document, equal to the hosted service's wherever both speak.

A client generated from it is interchangeable with the one inside the official SDK. That is why
error answers are left out of the operations (a generated function would return a union), and why
ids in paths keep the hosted document's ``format: uuid``.
"""

from collections.abc import Callable
from typing import Any

from apispec import APISpec
from marshmallow.fields import Field

from taskbadger.domain.status import STATUSES
from taskbadger.schemas.fields import INT64_MAX, Choice, Duration, Text, WholeNumber
from taskbadger.schemas.tasks import Tags

SECURITY: list[dict[str, list[str]]] = [{"projectKeyAuth": []}, {"bearerAuth": []}]
TAGS = {
    "tasks": "Task Endpoints",
    "actions": "Action Endpoints",
    "monitors": "Monitor Endpoints",
    "projects": "Project Endpoints",
    "keys": "Key Endpoints",
    "members": "Member Endpoints",
    "channels": "Channel Endpoints",
    "global_actions": "Global Action Endpoints",
    "deliveries": "Delivery Endpoints",
}
PATH_DESCRIPTIONS = {
    "organization_slug": "Slug for your organization",
    "project_slug": "Slug for your project",
    "task_id": "ID of the task",
}
_HOSTED_DETAILS = frozenset(
    f"{subject}_{verb}"
    for subject in ("task", "action")
    for verb in ("get", "update", "partial_update", "cancel")
)
_METHODS = ("get", "post", "put", "patch", "delete")
# Accepted, but not in the request schemas: the SDK's generated models depend on that.
_HIDDEN_FIELDS = {"TaskRequest": ["actions"], "PatchedTaskRequest": ["actions"]}


def query(name: str, kind: str, description: str) -> dict[str, Any]:
    """Return the description of an optional query parameter."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": kind},
    }


PAGING = [
    query("cursor", "string", "The pagination cursor value."),
    query("page_size", "integer", "Number of results to return per page."),
]
_SEVERAL = "Repeat it or separate values by commas for any of them."
TASK_FILTERS = [
    query("parent", "string", "Only tasks that are part of this task."),
    query("status", "string", f"Only tasks in this status. {_SEVERAL}"),
    query("name", "string", f"Only tasks of exactly this name. {_SEVERAL}"),
    query("queue", "string", f"Only tasks from this queue. {_SEVERAL}"),
    query("external_id", "string", f"Only tasks with this external id. {_SEVERAL}"),
    query("monitor", "string", f"Only tasks of this monitor. {_SEVERAL}"),
    query("tag", "string", "Only tasks with this tag, as name:value. Repeat it for all of them."),
    query("search", "string", "Only tasks whose name contains this text, in any case."),
    query("created_after", "string", "Only tasks created at this time or later."),
    query("created_before", "string", "Only tasks created before this time."),
    query("updated_after", "string", "Only tasks updated at this time or later."),
    query("updated_before", "string", "Only tasks updated before this time."),
]
MONITOR_HEADER = {
    "in": "header",
    "name": "X-TASKBADGER-MONITOR",
    "schema": {"type": "string", "format": "uuid"},
    "description": "Associate this task with a monitor.",
}
IDEMPOTENCY_HEADER = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Kept for 24 hours: the same key and body are answered again, but done once.",
}


def describe_fields(spec: APISpec, converter: Any) -> None:
    """Teach apispec our fields, and add the enum and the ways to authenticate."""
    for describe in (_text, _whole_number, _status, _duration, _tags):
        converter.add_attribute_function(_as_method(describe))
    listed = "\n".join(f"* `{name}` - {name}" for name in STATUSES)
    spec.components.schema(
        "StatusEnum", {"enum": list(STATUSES), "type": "string", "description": listed}
    )
    for scheme in ("bearerAuth", "projectKeyAuth"):
        spec.components.security_scheme(scheme, {"type": "http", "scheme": "bearer"})


def _as_method(describe: Callable[[Field[Any]], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def method(_converter: Any, field: Field[Any], **_: Any) -> dict[str, Any]:
        return describe(field)

    return method


def _text(field: Field[Any]) -> dict[str, Any]:
    if not isinstance(field, Text):
        return {}
    lengths = {"maxLength": field.max_length}
    return lengths | ({"minLength": field.min_length} if field.min_length else {})


def _whole_number(field: Field[Any]) -> dict[str, Any]:
    if not isinstance(field, WholeNumber):
        return {}
    bounds: dict[str, Any] = {"minimum": field.min_value, "maximum": field.max_value}
    return bounds | ({"format": "int64"} if field.max_value == INT64_MAX else {})


def _status(field: Field[Any]) -> dict[str, Any]:
    if not isinstance(field, Choice):
        return {}
    if field.choices != STATUSES:
        return {"enum": list(field.choices)}
    reference: dict[str, Any] = {"allOf": [{"$ref": "#/components/schemas/StatusEnum"}]}
    return reference | ({} if field.required else {"default": "pending"})


def _duration(field: Field[Any]) -> dict[str, Any]:
    return {"type": "string"} if isinstance(field, Duration) else {}


def _tags(field: Field[Any]) -> dict[str, Any]:
    if not isinstance(field, Tags):
        return {}
    lengths = {"minLength": 1, "maxLength": 255}
    return {"additionalProperties": {"type": "string", **lengths}}


def polish(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document as it is published, from what flask-smorest made."""
    info = document["info"]
    document["info"] = {**info, "description": "Documentation for the Task Badger API"}
    document["externalDocs"] = {
        "url": "https://docs.taskbadger.net",
        "description": "Task Badger Documentation",
    }
    document.pop("tags", None)
    components = document["components"]
    components.pop("responses", None)
    for name in ("PaginationMetadata",):
        components["schemas"].pop(name, None)
    for schema, hidden in _HIDDEN_FIELDS.items():
        for name in hidden:
            components["schemas"][schema]["properties"].pop(name)
    for schema in components["schemas"].values():
        _polish_schema(schema)
    for path in document["paths"].values():
        shared = path.pop("parameters", [])
        for method in _METHODS:
            if method in path:
                _polish_operation(path[method], shared)
    return document


def _polish_schema(schema: dict[str, Any]) -> None:
    for field in schema.get("properties", {}).values():
        if "allOf" in field:
            field.pop("type", None)


def _polish_operation(operation: dict[str, Any], shared: list[dict[str, Any]]) -> None:
    for status, response in list(operation["responses"].items()):
        if not status.startswith("2"):
            del operation["responses"][status]
        else:
            response["description"] = "No response body" if status == "204" else ""
    if operation.get("requestBody", {}).get("required") is False:
        del operation["requestBody"]["required"]  # the default
    operation["tags"] = [
        TAGS.get(tag, f"{tag.replace('_', ' ').title()} Endpoints") for tag in operation["tags"]
    ]
    operation.setdefault("security", SECURITY)
    hosted = operation.get("operationId") in _HOSTED_DETAILS
    path_parameters = [_path_parameter(one["name"], uuid=hosted) for one in shared]
    parameters = [*path_parameters, *operation.get("parameters", [])]
    if parameters:
        operation["parameters"] = parameters


def _path_parameter(name: str, *, uuid: bool) -> dict[str, Any]:
    schema = {"type": "string"}
    if name == "id" and uuid:
        schema["format"] = "uuid"
    parameter: dict[str, Any] = {"in": "path", "name": name, "schema": schema, "required": True}
    if name in PATH_DESCRIPTIONS:
        parameter["description"] = PATH_DESCRIPTIONS[name]
    return parameter
