"""Deleting a project, an organization or one's account on the pages, without any script."""

import pytest
from blueprints.dashboard.forms_read import field_errors, trail
from conftest import ApiClient, make_key, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, Project, User, UserSession
from taskbadger.process import process_of
from taskbadger.services.deletion import closing

PROJECT = "/a/acme/settings/projects/web/"
ORGANIZATION = "/a/acme/settings/organization/"


def live_projects() -> list[str]:
    db.session.rollback()
    query = select(Project.slug).join(Organization).where(Organization.deleted_at.is_(None))
    return list(db.session.scalars(query))


def test_project_is_deleted_by_whoever_types_its_name(app: Flask, web: WebClient) -> None:
    make_project()
    key = make_key()

    page = web.get(PROJECT + "delete/")
    answer = web.post(PROJECT + "delete/", {"confirm": " web "})

    assert "<dt>Keys</dt><dd>1</dd>" in page.text
    assert (answer.status_code, answer.location) == (303, "/a/acme/settings/")
    settings = web.get("/a/acme/settings/").text
    assert (
        "The project web was deleted. What it had is being removed in the background." in settings
    )
    assert web.get(PROJECT).status_code == 404
    process_of(app).forget()
    assert ApiClient(app.test_client(), key).get().status_code == 401
    assert trail()[-1] == ("ada@example.org", "project.delete", "web", "web")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("Web", "Type web to delete it."),
        ("", "This field may not be blank."),
        ("x" * 256, "Ensure this field has no more than 255 characters."),
    ],
)
def test_another_name_deletes_nothing(web: WebClient, typed: str, message: str) -> None:
    make_project()

    answers = [
        web.post(PROJECT + "delete/", {"confirm": typed}),
        web.post(ORGANIZATION + "delete/", {"confirm": f"{typed}?" if typed == "Web" else typed}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert field_errors(answers[0].text)["confirm"] == message
    assert live_projects() == ["web"]


def test_pages_lead_to_the_deletions_and_only_owners_may(app: Flask, web: WebClient) -> None:
    make_project()
    admin = browser_for(app, make_member("admin@example.org", "admin"))

    links = [f'href="{path}delete/"' in web.get(path).text for path in (PROJECT, ORGANIZATION)]
    shown_to_admin = f'href="{PROJECT}delete/"' in admin.get(PROJECT).text
    refused = [
        admin.post(path + "delete/", {"confirm": "web"}).status_code
        for path in (PROJECT, ORGANIZATION)
    ]

    assert links == [True, True]
    assert not shown_to_admin
    assert refused == [403, 403]
    assert live_projects() == ["web"]


def test_organization_is_deleted_by_whoever_types_its_name(app: Flask, web: WebClient) -> None:
    make_project()

    page = web.get(ORGANIZATION + "delete/")
    answer = web.post(ORGANIZATION + "delete/", {"confirm": "acme"})

    assert "<dt>Projects</dt><dd>1</dd>" in page.text
    assert (answer.status_code, answer.location) == (303, "/account")
    shown = web.get("/account").text
    assert "acme has been deleted. What it had is being removed in the background." in shown
    assert web.get("/a/acme/").status_code == 404
    assert [each.label for each in closing.list_deletions()] == ["acme"]


# Accounts


def count(model: type[User | Membership | UserSession]) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_account_is_deleted_by_whoever_types_its_address(app: Flask, web: WebClient) -> None:
    browser = browser_for(app, make_member("eve@example.org", "owner"))

    linked = 'href="/account/delete"' in browser.get("/account").text
    page = browser.get("/account/delete")
    wrong = browser.post("/account/delete", {"confirm": "eva@example.org"})
    answer = browser.post("/account/delete", {"confirm": "Eve@example.org"})

    assert linked
    assert "<dt>Memberships</dt><dd>1</dd>" in page.text
    assert wrong.status_code == 400
    assert field_errors(wrong.text)["confirm"] == "Type eve@example.org to delete your account."
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert [count(model) for model in (User, Membership, UserSession)] == [1, 1, 1]
    assert browser.get("/account").status_code == 303
    assert trail()[-1] == ("eve@example.org", "user.delete", "eve@example.org", "")


def test_last_owner_keeps_the_account_and_reads_why(app: Flask, web: WebClient) -> None:
    make_member("member@example.org", "member")

    answer = web.post("/account/delete", {"confirm": "ada@example.org"})

    assert answer.status_code == 400
    assert "No other owner would be left in: acme. Make someone else an owner first" in answer.text
    assert count(User) == 2
