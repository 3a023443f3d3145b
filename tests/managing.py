"""Clients and helpers for the tests of the management API."""

from typing import Any

import answers
from conftest import ApiClient, audit_entries, make_key
from flask import Flask

from taskbadger.extensions import db

NOT_FOUND = answers.problem(*answers.NOT_FOUND)
DENIED = answers.problem("permission_denied", "You do not have permission to perform this action.")


def manager(
    app: Flask, organization: str = "acme", slug: str | None = None, scopes: str = "admin"
) -> ApiClient:
    """Return a client whose paths are relative to ``/api/{organization}/-/``."""
    key = make_key(organization, slug, scopes=scopes, name="terraform")
    return ApiClient(app.test_client(), key, base=f"/api/{organization}/-")


def conflict(detail: str) -> dict[str, Any]:
    """Return the body for a conflict."""
    return answers.problem("conflict", detail)


def audited() -> list[tuple[str, str, str, str]]:
    """Return the audit log as actor, operation and object, oldest first."""
    db.session.rollback()
    entries = db.session.scalars(audit_entries()).all()
    db.session.commit()
    return [(one.actor_type, one.actor_name, one.verb, one.subject) for one in entries]


def without(shown: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return *shown* without values that differ in each run, such as times."""
    return {name: value for name, value in shown.items() if name not in names}


def walk(client: ApiClient, path: str, name: str) -> list[Any]:
    """Return one field of every item of a list, walked in pages of three."""
    found: list[Any] = []
    url: str | None = f"{path}?page_size=3"
    while url is not None:
        page = client.get(url.removeprefix("http://localhost")).json
        found += [one[name] for one in page["results"]]
        url = page["next"]
    return found
