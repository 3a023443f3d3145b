"""Counting what a deletion deletes: all kinds, only their own, and up to a limit."""

import pytest
from conftest import make_project
from filling_tables import fill
from flask import Flask
from people import make_member
from sqlalchemy import update

from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, Monitor, Organization, Project, Task, User
from taskbadger.services.deletion import counting
from taskbadger.services.deletion.counting import Count


def counts_of_project(number: int) -> dict[str, str]:
    found = counting.count_project(db.session.get_one(Project, number))
    return {count.kind: count.text for count in found}


def counts_of_organization(number: int) -> dict[str, str]:
    found = counting.count_organization(db.session.get_one(Organization, number))
    return {count.kind: count.text for count in found}


def test_each_kind_of_a_project_is_counted(app: Flask) -> None:
    made = fill(1)
    fill(2)

    assert counts_of_project(made["project"]["id"]) == dict.fromkeys(
        ("tasks", "actions", "monitors", "incidents", "deliveries", "alert rules",
         "maintenance windows", "keys", "saved views"),
        "1",
    )  # fmt: skip


def test_each_kind_of_an_organization_is_counted(app: Flask) -> None:
    made = fill(1)
    fill(2)

    assert counts_of_organization(made["organization"]["id"]) == dict.fromkeys(
        ("projects", "tasks", "actions", "monitors", "incidents", "deliveries", "alert rules",
         "channels", "maintenance windows", "keys", "members", "invitations", "saved views"),
        "1",
    )  # fmt: skip


def test_nothing_is_counted_where_there_is_nothing(app: Flask) -> None:
    project = make_project()
    number = project.organization_id

    found = counts_of_organization(number)
    db.session.delete(db.session.get_one(Project, project.id))
    db.session.commit()

    assert set(found.values()) == {"0", "1"}
    assert found["projects"] == "1"
    assert set(counts_of_organization(number).values()) == {"0"}


def test_more_than_is_counted_is_only_said(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made, other = fill(1), fill(2)
    own = made["project"]["id"]
    for model in (Task, Monitor):
        db.session.execute(
            update(model).where(model.project_id != own).values(project_id=own, name="b")
        )
    organization = made["organization"]["id"]
    db.session.execute(update(Delivery).values(organization_id=organization))
    db.session.commit()
    monkeypatch.setattr(counting, "COUNTED", 1)
    monkeypatch.setattr(counting, "READ", 1)

    of_project, of_all = counts_of_project(own), counts_of_organization(organization)

    few = {"tasks": "1 or more", "monitors": "1 or more", "actions": "1 or more"}
    assert {kind: of_project[kind] for kind in few} == few
    assert {kind: of_all[kind] for kind in few} == few
    # Only the latest delivery is read, and it is about another project.
    assert (of_project["deliveries"], of_all["deliveries"]) == ("0 or more", "1 or more")
    assert db.session.get(Action, other["action"]["id"]) is not None


def test_what_belongs_to_a_user_is_counted(app: Flask) -> None:
    made = fill(1)
    make_member("other@example.org")
    user = db.session.get_one(User, made["user_account"]["id"])

    assert counting.count_user(user) == [
        Count("memberships", 1),
        Count("digests", 1),
        Count("sessions", 1),
        Count("single sign-ons", 1),
    ]
