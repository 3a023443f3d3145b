"""Who sends a check-in: the public key of a DSN, wherever a client of Sentry puts it."""

import base64
import binascii
from typing import Any
from urllib.parse import unquote

from flask import g, request

from taskbadger.blueprints.api import access_of
from taskbadger.blueprints.doors.sentry_answers import Refused
from taskbadger.domain.check_ins import read_dsn
from taskbadger.domain.envelopes import BadEnvelope
from taskbadger.domain.identity import Access
from taskbadger.domain.keys import secret_of
from taskbadger.domain.scopes import ADMIN, PING
from taskbadger.errors import AuthenticationFailed

_MAX_VERSION = 7


def find_key(in_path: str | None = None) -> str | None:
    """Return the public key of a request, wherever it has it; None if it has none."""
    found = {_key_of_header("X-Sentry-Auth"), _key_of_header("Authorization"), _key_of_query()}
    found = {key for key in (*found, in_path) if key is not None}
    if len(found) > 1:
        raise Refused(401, "multiple authorization payloads detected")
    return next(iter(found), None)


def _key_of_header(name: str) -> str | None:
    scheme, _, parameters = request.headers.get(name, "").partition(" ")
    if scheme.lower() == "basic" and name == "Authorization":
        return _key_of_basic(parameters)
    if scheme.lower() != "sentry":
        return None
    pairs = (pair.partition("=") for pair in parameters.split(","))
    fields = {name.strip(): unquote(value.strip().strip('"')) for name, _, value in pairs}
    return _key_of(fields)


def _key_of_basic(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[0] or None
    except (binascii.Error, ValueError):
        return None


def _key_of_query() -> str | None:
    return (
        _key_of(request.args) if any(name.startswith("sentry_") for name in request.args) else None
    )


def _key_of(fields: Any) -> str:
    key, version = fields.get("sentry_key"), fields.get("sentry_version", "")
    if not key:
        raise Refused(401, "bad x-sentry-auth header")
    if version.isdecimal() and int(version[:9]) > _MAX_VERSION:
        raise Refused(400, f"unsupported protocol version ({version[:9]})")
    return str(key)


def admit(project_id: int, key: str | None) -> Access:
    """Return what a public key gives access to; only the right one for the project is let in."""
    if key is None:
        raise Refused(401, "missing authorization information")
    secret = secret_of(key)
    if secret is None:
        raise Refused(400, "bad sentry DSN public key")
    try:
        access = access_of(secret)
    except AuthenticationFailed:
        access = None
    if (
        access is None
        or access.project is None
        or access.project.id != project_id
        or not access.scopes & {PING, ADMIN}
    ):
        raise Refused(403, "event submission rejected with_reason: ProjectId")
    g.access = access
    return access


def admit_by_header(
    project_id: int, header: dict[str, Any], sent_key: str | None, access: Access | None
) -> Access:
    """Return the access of a request, or of its envelope, which must not contradict it."""
    if "dsn" not in header:
        return access or admit(project_id, None)
    dsn = read_dsn(header["dsn"])
    if dsn is None:
        raise BadEnvelope("invalid envelope header")
    key, project = dsn
    if project != str(project_id):
        raise BadEnvelope("project id header mismatch between envelope and request")
    if access is None:
        return admit(project_id, key)
    if key != sent_key:
        raise BadEnvelope("public key header mismatch between envelope and request")
    return access
