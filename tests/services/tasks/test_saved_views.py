"""Saved views."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import pytest
from conftest import make_project
from flask import Flask
from simultaneous import at_once

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.services.tasks import saved_views

ADA = Actor("user", "ada@example.org")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def names(project: ProjectRef) -> list[tuple[str, str, str]]:
    found = saved_views.list_views(project.organization_id)
    return [(view.name, view.search, view.project) for view in found]


def test_views_are_kept_by_name_and_replaced(project: ProjectRef) -> None:
    save = saved_views.save_view
    other = make_project("other", "web")
    save(project.organization_id, " Failures ", "status:error", "web", actor=ADA, now=NOW)
    save(project.organization_id, "All", "", "", actor=ADA, now=NOW)
    save(project.organization_id, "Failures", "status:failed", "", actor=ADA, now=NOW)
    save(other.organization_id, "Failures", "theirs", "", actor=ADA, now=NOW)
    db.session.commit()

    assert names(project) == [("All", "", ""), ("Failures", "status:failed", "")]
    assert names(other) == [("Failures", "theirs", "")]


@pytest.mark.parametrize(
    ("name", "search"), [("", ""), ("  ", ""), ("x" * 81, ""), ("a\x00", ""), ("a", "x" * 1001)]
)
def test_bad_view_is_refused(project: ProjectRef, name: str, search: str) -> None:
    with pytest.raises(ValidationFailed):
        saved_views.save_view(project.organization_id, name, search, "", actor=ADA, now=NOW)


def test_number_of_views_is_limited(project: ProjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MAX_VIEWS", 1)
    saved_views.save_view(project.organization_id, "a", "", "", actor=ADA, now=NOW)
    saved_views.save_view(project.organization_id, "a", "b", "", actor=ADA, now=NOW)

    with pytest.raises(Conflict):
        saved_views.save_view(project.organization_id, "b", "", "", actor=ADA, now=NOW)


def test_view_is_deleted_by_its_own_organization(project: ProjectRef) -> None:
    other = make_project("other", "web")
    view = saved_views.save_view(project.organization_id, "a", "", "", actor=ADA, now=NOW)
    db.session.commit()

    with pytest.raises(NotFound):
        saved_views.delete_view(other.organization_id, view.id, actor=ADA, now=NOW)
    assert saved_views.delete_view(project.organization_id, view.id, actor=ADA, now=NOW) == "a"
    db.session.commit()
    assert names(project) == []


def test_views_are_saved_and_deleted_at_once(app: Flask, project: ProjectRef) -> None:
    def save() -> None:
        saved_views.save_view(project.organization_id, "a", "new", "", actor=ADA, now=NOW)

    def delete(view_id: int) -> None:
        with suppress(NotFound):
            saved_views.delete_view(project.organization_id, view_id, actor=ADA, now=NOW)

    for _ in range(8):
        view = saved_views.save_view(project.organization_id, "a", "", "", actor=ADA, now=NOW)
        db.session.commit()
        delete_it = partial(delete, view.id)

        at_once(app, save, delete_it, save, delete_it)

        assert names(project) in ([], [("a", "new", "")])
        db.session.commit()
