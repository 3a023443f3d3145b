"""The OpenAPI document, equal to the hosted service's for everything that both offer.

A client generated from it is interchangeable with the one inside the official SDK. That is why
the hosted operations have no error responses (a generated function would return a union), and why
ids in their paths keep the hosted document's ``format: uuid``. Those of our own have everything.
"""

from collections.abc import Callable, Mapping, Set
from typing import Any

from apispec import APISpec
from marshmallow.fields import Field

from taskbadger.blueprints import openapi_errors
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
_OWN_PATH_DESCRIPTIONS = {
    "slug": "Slug of the project",
    "integration": "The channel as actions name it, kind:slug",
}
_HOSTED = frozenset(
    f"{subject}_{verb}"
    for subject in ("task", "action")
    for verb in ("list", "create", "get", "update", "partial_update", "cancel")
)
_HOSTED_SCHEMAS = (
    *("Task", "TaskRequest", "PatchedTaskRequest", "PaginatedTaskList"),
    *("Action", "ActionRequest", "PatchedActionRequest", "StatusEnum"),
)
_SUCCESSES = {"201": "Created", "204": "No response body"}
_METHODS = ("get", "post", "put", "patch", "delete")
# Accepted, but not in the request schemas: the SDK's generated models depend on that.
_HIDDEN_FIELDS = {
    "TaskRequest": ["actions"],
    "PatchedTaskRequest": ["actions", "value_increment", "data_merge"],
}


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
_SEVERAL = "Repeat it, or separate values with commas, to match any of up to 50."
_ESCAPED = rf"{_SEVERAL} A comma, colon or backslash in a value is written \,, \: or \\."
TASK_FILTERS = [
    query("parent", "string", "Only tasks that are part of this task."),
    query("status", "string", f"Only tasks in this status. {_SEVERAL}"),
    query("name", "string", f"Only tasks with exactly this name. {_ESCAPED}"),
    query("queue", "string", f"Only tasks from this queue. {_ESCAPED}"),
    query("external_id", "string", f"Only tasks with this external ID. {_ESCAPED}"),
    query("monitor", "string", f"Only tasks of this monitor. {_SEVERAL}"),
    query("incident", "string", f"Only tasks that failed in this incident. {_SEVERAL}"),
    query("failure", "string", f"Only tasks whose last failure is of this kind. {_SEVERAL}"),
    query(
        "tag",
        "string",
        r"Only tasks with this tag (name:value). Repeat it to require all. "
        r"A colon in the name is written \:, and a backslash \\.",
    ),
    query(
        "data",
        "string",
        "Only tasks with this value in their data (key:value, or key.key:value for one level "
        "below). Repeat it to require up to 3. Data of more than 16,384 characters is not "
        "searched. A page looks at up to 20,000 tasks: it may have fewer "
        "results than there is room for, and still a next page.",
    ),
    query("search", "string", "Only tasks whose name contains this text, ignoring case."),
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
    "description": "For 24 hours, the same key with the same body gets the first response again.",
}


def describe_fields(spec: APISpec, converter: Any) -> None:
    """Teach apispec our fields; add the enum and the security schemes."""
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


def polish(
    document: dict[str, Any], *, keyed: Set[str], docstrings: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return the document to publish, made from what flask-smorest generated.

    *keyed* names the blueprints whose operations require a key. *docstrings* has those of the
    schemas.
    """
    info = document["info"]
    document["info"] = {**info, "description": "Documentation for the Task Badger API"}
    document["externalDocs"] = {
        "url": "https://docs.taskbadger.net",
        "description": "Task Badger Documentation",
    }
    document.pop("tags", None)
    components = document["components"]
    components["responses"] = openapi_errors.responses()
    for name in ("PaginationMetadata",):
        components["schemas"].pop(name, None)
    for schema, hidden in _HIDDEN_FIELDS.items():
        for name in hidden:
            components["schemas"][schema]["properties"].pop(name)
    for name, schema in components["schemas"].items():
        _polish_schema(schema)
        if name not in _HOSTED_SCHEMAS and docstrings.get(name):
            schema["description"] = docstrings[name]
    for path in document["paths"].values():
        shared = path.pop("parameters", [])
        for method in _METHODS:
            if method in path:
                _polish_operation(path[method], shared, keyed)
    return document


def _polish_schema(schema: dict[str, Any]) -> None:
    for field in schema.get("properties", {}).values():
        if "allOf" in field:
            field.pop("type", None)


def _polish_operation(
    operation: dict[str, Any], shared: list[dict[str, Any]], keyed: Set[str]
) -> None:
    hosted = operation.get("operationId") in _HOSTED
    tags = operation["tags"]
    if operation.get("requestBody", {}).get("required") is False:
        del operation["requestBody"]["required"]  # the default
    operation["tags"] = [
        TAGS.get(tag, f"{tag.replace('_', ' ').title()} Endpoints") for tag in tags
    ]
    path_parameters = [
        _hosted_parameter(parameter["name"]) if hosted else _own_parameter(parameter["name"], tags)
        for parameter in shared
    ]
    parameters = [*path_parameters, *operation.get("parameters", [])]
    if parameters:
        operation["parameters"] = parameters
    errors: dict[str, Any] = {}
    if not keyed.isdisjoint(tags):
        operation.setdefault("security", SECURITY)
        errors = {} if hosted else openapi_errors.references(operation)
    operation["responses"] = _successes(operation["responses"], hosted=hosted) | errors


def _successes(responses: dict[str, Any], *, hosted: bool) -> dict[str, Any]:
    """Return the 2xx of what flask-smorest generated, with the descriptions of the document."""
    return {
        status: {
            **response,
            "description": "" if hosted and status != "204" else _SUCCESSES.get(status, "Success"),
        }
        for status, response in responses.items()
        if status.startswith("2")
    }


def _hosted_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string"} | ({"format": "uuid"} if name == "id" else {})
    return _path_parameter(name, schema, PATH_DESCRIPTIONS.get(name))


def _own_parameter(name: str, tags: list[str]) -> dict[str, Any]:
    descriptions = PATH_DESCRIPTIONS | _OWN_PATH_DESCRIPTIONS
    subject = tags[0].replace("_", " ").removesuffix("s").replace("deliverie", "delivery")
    return _path_parameter(name, {"type": "string"}, descriptions.get(name, f"ID of the {subject}"))


def _path_parameter(name: str, schema: dict[str, Any], description: str | None) -> dict[str, Any]:
    parameter: dict[str, Any] = {"in": "path", "name": name, "schema": schema, "required": True}
    return parameter | ({"description": description} if description else {})
