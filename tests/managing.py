"""Clients of the management API, and what its tests share."""

from typing import Any

from conftest import ApiClient, make_key
from flask import Flask
from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.models import AuditEntry

NOT_FOUND = {
    "type": "client_error",
    "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}],
}
DENIED = {
    "type": "client_error",
    "errors": [
        {
            "code": "permission_denied",
            "detail": "You do not have permission to perform this action.",
            "attr": None,
        }
    ],
}


def manager(
    app: Flask, organization: str = "acme", slug: str | None = None, scopes: str = "admin"
) -> ApiClient:
    """Return a client whose paths are relative to what belongs to the organization."""
    key = make_key(organization, slug, scopes=scopes, name="terraform")
    return ApiClient(app.test_client(), key, base=f"/api/{organization}/-")


def wrong(*errors: tuple[str | None, str, str]) -> dict[str, Any]:
    """Return the answer for wrong fields, each as attr, code and detail."""
    return {
        "type": "validation_error",
        "errors": [{"code": code, "detail": detail, "attr": attr} for attr, code, detail in errors],
    }


def conflict(detail: str) -> dict[str, Any]:
    """Return the answer for a conflict."""
    return {
        "type": "client_error",
        "errors": [{"code": "conflict", "detail": detail, "attr": None}],
    }


def audited() -> list[tuple[str, str, str, str]]:
    """Return who did what to what, oldest first."""
    db.session.rollback()
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    db.session.commit()
    return [(one.actor_type, one.actor_name, one.verb, one.subject) for one in entries]


def without(shown: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return *shown* without what no test can know, such as times."""
    return {name: value for name, value in shown.items() if name not in names}


def walk(client: ApiClient, path: str, name: str) -> list[Any]:
    """Return one field of everything in a list, three to a page."""
    found: list[Any] = []
    url: str | None = f"{path}?page_size=3"
    while url is not None:
        page = client.get(url.removeprefix("http://localhost")).json
        found += [one[name] for one in page["results"]]
        url = page["next"]
    return found
