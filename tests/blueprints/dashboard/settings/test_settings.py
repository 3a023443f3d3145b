"""The settings: projects, keys, members, invitations, the audit log and the organization."""

import html
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from blueprints.dashboard.forms_read import HOSTILE, field_errors, trail, value_of, words
from conftest import FIXTURES, ApiClient, count_queries
from flask import Flask
from people import PASSWORD, WebClient, browser_for, make_member
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain import keys as key_format
from taskbadger.domain import roles
from taskbadger.domain.identity import SERVER, Actor
from taskbadger.extensions import db
from taskbadger.models import (
    ApiKey,
    Invitation,
    Membership,
    Organization,
    Project,
    User,
)
from taskbadger.services.organizations import audit, keys, organizations, projects
from taskbadger.services.tasks import write

BASE = "/a/acme/settings"
KEY_FORM = {"name": "web server", "project": "web", "scope_ingest": "true", "scope_read": "true"}


def make_project(slug: str = "web") -> Project:
    organization = db.session.scalars(select(Organization).where(Organization.slug == "acme")).one()
    project = projects.ensure_project(organization, slug, actor=FIXTURES, now=utcnow())
    db.session.commit()
    return project


def member_id(email: str) -> int:
    query = select(Membership.id).join(Membership.user).where(User.email == email)
    return db.session.scalars(query).one()


def roles_now() -> dict[str, str]:
    db.session.rollback()
    query = select(User.email, Membership.role).join(Membership.user)
    return {row.email: row.role for row in db.session.execute(query)}


@pytest.mark.parametrize("page", ["", "keys/", "members/", "audit/", "organization/"])
def test_pages_show_as_many_rows_with_as_many_queries(web: WebClient, page: str) -> None:
    organization = db.session.scalars(select(Organization)).one()
    counts = []
    for number in range(3):
        for _ in range(1 + number):
            name = f"extra-{number}-{_}"
            project = projects.ensure_project(organization, name, actor=FIXTURES, now=utcnow())
            keys.create_key(organization, project, actor=FIXTURES, name=name, now=utcnow())
            make_member(f"{name}@example.org", "viewer")
            audit.record(SERVER, organization.id, "test", name, now=utcnow())
        db.session.commit()
        with count_queries() as queries:
            assert web.get(f"{BASE}/{page}").status_code == 200
        counts.append(len(queries))

    assert len(set(counts[1:])) == 1


# Projects


def test_project_is_made_with_the_slug_that_its_name_suggests(web: WebClient) -> None:
    answer = web.post(f"{BASE}/", {"name": "Büro & Shop", "slug": ""})

    assert (answer.status_code, answer.location) == (303, f"{BASE}/keys/?project=buro-shop")
    assert "Büro &amp; Shop" in web.get(f"{BASE}/").text
    assert db.session.scalars(select(Project.slug)).all() == ["buro-shop"]
    assert trail() == [("ada@example.org", "project.create", "buro-shop", "Büro & Shop")]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"name": ""}, "This field may not be blank."),
        ({}, "This field is required."),
        ({"name": "Web", "slug": "web"}, "This organization already has a project “web”."),
        ({"name": "x", "slug": "../etc"}, "is not a valid slug"),
        ({"name": "x\x00"}, "Null characters are not allowed."),
        ({"name": "x" * 256}, "no more than 255 characters"),
    ],
    ids=str,
)
def test_wrong_project_is_not_made(web: WebClient, form: dict[str, str], message: str) -> None:
    make_project()

    answer = web.post(f"{BASE}/", form)

    assert answer.status_code == 400
    assert message in html.unescape(answer.text)
    assert db.session.scalars(select(Project.slug)).all() == ["web"]


def test_project_is_changed_and_the_changes_are_noted(web: WebClient) -> None:
    make_project()
    page = f"{BASE}/projects/web/"
    form = {"name": "Shop", "public_data": "true", "retention_days": "30"}

    answer = web.post(page, form | {"delete": "30///"})

    assert (answer.status_code, answer.location) == (303, page)
    shown = web.get(page).text
    assert 'value="Shop"' in shown
    assert re.findall(r'name="(public_\w+)" value="true" checked', shown) == ["public_data"]
    assert 'value="30"' in shown
    changes = "name: web → Shop; public_pages: true → false; public_data: false → true; "
    changes += "retention_days: none → 30"
    assert trail() == [("ada@example.org", "project.change", "web", changes)]


def test_project_that_stays_as_it_is_leaves_no_trace(web: WebClient) -> None:
    make_project()

    web.post(f"{BASE}/projects/web/", {"name": "web", "public_pages": "true", "retention_days": ""})

    assert trail() == []


@pytest.mark.parametrize("days", ["0", "-1", "3651", "soon", "1e9", "9" * 40])
def test_retention_is_a_number_of_days(web: WebClient, days: str) -> None:
    make_project()
    fields = [f"retention_days{each}" for each in ("", "_success", "_failure", "_unfinished")]

    answer = web.post(f"{BASE}/projects/web/", {"name": "new", **dict.fromkeys(fields, days)})

    assert answer.status_code == 400
    assert list(field_errors(answer.text)) == fields
    assert [value_of(answer.text, name) for name in fields] == [days] * 4
    assert db.session.scalars(select(Project.name)).one() == "web"


@pytest.mark.parametrize(
    ("typed", "seconds"), [("30 min", 1800), ("7 days", 604_800), ("300", 300), ("", 86_400)]
)
def test_incidents_close_when_the_project_says(web: WebClient, typed: str, seconds: int) -> None:
    make_project().quiet_after = 3600
    db.session.commit()
    path = f"{BASE}/projects/web/"
    assert value_of(web.get(path).text, "quiet_after") == "1 h"

    answer = web.post(path, {"name": "web", "quiet_after": typed})

    assert answer.status_code == 303
    assert db.session.scalars(select(Project.quiet_after)).one() == seconds


@pytest.mark.parametrize("typed", ["4 min", "299", "31 days", "soon", "-1 day"])
def test_incidents_do_not_close_at_wrong_times(web: WebClient, typed: str) -> None:
    make_project()

    answer = web.post(f"{BASE}/projects/web/", {"name": "new", "quiet_after": typed})

    assert answer.status_code == 400
    assert list(field_errors(answer.text)) == ["quiet_after"]
    assert value_of(answer.text, "quiet_after") == typed
    assert db.session.scalars(select(Project.name)).one() == "web"


@pytest.mark.parametrize(
    ("kept", "wanted", "asks"),
    [
        ({}, {"": "30"}, "30///"),
        ({"": 30}, {"": "7"}, "7///"),
        ({"": 30}, {"": "90"}, None),
        ({"": 30}, {"": ""}, None),
        ({"": 30}, {"": "30"}, None),
        ({"": 30}, {"": "30", "_failure": "365"}, None),
        ({"": 30}, {"": "30", "_unfinished": "3"}, "30///3"),
        ({"": 30, "_failure": 365}, {"": "30"}, "30///"),
        ({"_success": 7}, {"_success": "6", "_failure": "9"}, "/6/9/"),
    ],
)
def test_keeping_tasks_for_a_shorter_time_asks_first(
    web: WebClient, kept: dict[str, int], wanted: dict[str, str], asks: str | None
) -> None:
    project = db.session.get_one(Project, make_project().id)
    for field, days in kept.items():
        setattr(project, f"retention_days{field}", days)
    db.session.commit()
    before = days_of()
    path, form = f"{BASE}/projects/web/", {"name": "renamed"}
    form |= {f"retention_days{field}": days for field, days in wanted.items()}
    chosen = [
        int(wanted.get(field) or 0) or None for field in ("", "_success", "_failure", "_unfinished")
    ]

    first = web.post(path, form)

    assert first.status_code == (303 if asks is None else 200)
    assert days_of() == (chosen if asks is None else before)
    if asks is not None:
        assert f'name="delete" value="{asks}"' in first.text
        assert "Saving this deletes no tasks soon" in words(first.text)
        assert value_of(first.text, "name") == "renamed"
        # Somebody may change what was typed before they confirm.
        assert web.post(path, form | {"delete": "1/1/1/1"}).status_code == 200
        assert days_of() == before
        assert web.post(path, form | {"delete": asks}).status_code == 303
        assert days_of() == chosen


def days_of() -> list[int | None]:
    db.session.rollback()
    [row] = db.session.execute(
        select(
            Project.retention_days,
            Project.retention_days_success,
            Project.retention_days_failure,
            Project.retention_days_unfinished,
        )
    )
    return list(row)


def test_page_says_what_a_shorter_retention_deletes(web: WebClient) -> None:
    project = projects.project_ref(make_project(), db.session.scalars(select(Organization)).one())
    month_ago = utcnow() - timedelta(days=31)
    for status in ("success", "success", "error", "cancelled", "stale", "pending"):
        write.create_task(project, {"name": "a", "status": status}, now=month_ago, actor=FIXTURES)
    write.create_task(project, {"name": "a", "status": "success"}, now=utcnow(), actor=FIXTURES)
    db.session.commit()
    path, form = f"{BASE}/projects/web/", {"name": "web", "retention_days": "30"}

    all_of_them = web.post(path, form).text
    some = web.post(path, form | {"retention_days_success": "40", "retention_days_failure": "31"})

    parts = "2 successful, 1 failed, 1 cancelled, 2 unfinished"
    assert f"deletes 6 tasks soon, with all that belongs to them: {parts}." in words(all_of_them)
    assert "Save and delete 6 tasks" in words(all_of_them)
    parts = "1 failed, 1 cancelled, 2 unfinished"
    assert f"deletes 4 tasks soon, with all that belongs to them: {parts}." in words(some.text)


def test_page_shows_what_is_stored_and_for_how_long(web: WebClient) -> None:
    project = projects.project_ref(make_project(), db.session.scalars(select(Organization)).one())
    for status in ("success", "success", "error", "stale", "processing"):
        fields = {"name": "a", "status": status, "tags": {"env": "prod", "team": "a"}}
        write.create_task(project, fields, now=utcnow(), actor=FIXTURES)
    row = db.session.get_one(Project, project.id)
    row.retention_days, row.retention_days_failure = 30, 365
    db.session.commit()

    page = web.get(f"{BASE}/projects/web/").text
    table = re.findall(r"<tr>(.*?)</tr>", page[page.index("What is stored") :], re.DOTALL)[1:]
    found = [
        [words(cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", one)] for one in table
    ]

    assert [(kind, number, kept) for kind, number, _, kept in found] == [
        ("Successful tasks", "2", "30 days"),
        ("Failed tasks", "1", "365 days"),
        ("Cancelled tasks", "0", "30 days"),
        ("Unfinished tasks", "2", "30 days"),
        ("History of these tasks", "about 5", "as long as their tasks"),
        ("Tags of these tasks", "about 10", "as long as their tasks"),
        ("Expected runs of monitors", "0", "365 days"),
        ("Incidents", "0", "365 days"),
        ("Kinds of failures", "2", "365 days"),
        ("Deliveries of the whole organization", "0", "30 days after their end"),
    ]
    assert [size for _, _, size, _ in found][2] == "0"
    assert found[0][2].endswith(" kB")
    assert "At most 50,000 rows of a kind and status are counted." in words(page)


def test_list_shows_for_how_long_tasks_are_kept(web: WebClient) -> None:
    kept = {"a": (None, None), "b": (30, None), "c": (30, 365), "d": (None, 1)}
    for slug, (days, failure) in kept.items():
        row = db.session.get_one(Project, make_project(slug).id)
        row.retention_days, row.retention_days_failure = days, failure
    db.session.commit()

    page = web.get(f"{BASE}/").text

    assert re.findall(r'data-label="kept">([^<]*)<', page) == [
        "forever",
        "30 days",
        "30 days; failed 365 days",
        "forever; failed 1 day",
    ]


def test_new_project_keeps_tasks_as_long_as_the_operator_says(
    make_app: Callable[..., Flask],
) -> None:
    web = browser_for(make_app(DEFAULT_RETENTION_DAYS=90), make_member())

    web.post(f"{BASE}/", {"name": "New"})

    assert days_of() == [90, None, None, None]


def test_new_project_leads_to_a_key_for_it(web: WebClient) -> None:
    make_project("alpha")
    make_project("omega")

    answer = web.post(f"{BASE}/", {"name": "middle"})
    page = web.get(answer.location).text

    assert answer.location == f"{BASE}/keys/?project=middle"
    assert '<option value="middle" selected>' in page
    # Of several projects none is chosen for somebody.
    assert '<option value="?" selected>Choose…</option>' in web.get(f"{BASE}/keys/").text
    unchosen = web.post(f"{BASE}/keys/", {**KEY_FORM, "project": "?"})
    assert field_errors(unchosen.text) == {"project": "Choose a project."}


def test_project_of_another_organization_is_not_there(web: WebClient) -> None:
    make_member("grace@example.org", organization="other")
    other = organizations.ensure_organization("other", actor=FIXTURES, now=utcnow())
    projects.ensure_project(other, "secret", actor=FIXTURES, now=utcnow())
    db.session.commit()

    assert web.get(f"{BASE}/projects/secret/").status_code == 404
    assert web.post(f"{BASE}/keys/", {**KEY_FORM, "project": "secret"}).status_code == 400
    assert db.session.scalars(select(ApiKey)).all() == []


# Keys


def test_key_is_shown_once_and_works(web: WebClient) -> None:
    make_project()

    made = web.post(f"{BASE}/keys/", KEY_FORM)
    shown = re.search(r"<pre[^>]*><code>([\w=+/.-]+)</code>", made.text)
    assert shown is not None
    secret = shown[1]
    api = ApiClient(web.client.application.test_client(), secret)
    created = api.post(json={"name": "job"})
    listed = web.get(f"{BASE}/keys/").text

    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    assert created.status_code == 201
    token = key_format.parse_token(secret)
    assert token is not None
    # The key and seven snippets, each to see and to copy.
    assert made.text.count(secret) == 16
    assert secret not in listed
    assert token.secret not in listed
    assert key_format.prefix_of(token.secret) in listed


def test_key_is_revoked_at_once_and_both_are_noted(web: WebClient) -> None:
    make_project()
    organization = db.session.scalars(select(Organization)).one()
    project = db.session.scalars(select(Project)).one()
    key, secret = keys.create_key(organization, project, actor=FIXTURES, name="ci", now=utcnow())
    prefix = key.prefix
    db.session.commit()
    api = ApiClient(web.client.application.test_client(), secret)
    before = api.get().status_code

    answer = web.post(f"{BASE}/keys/{key.id}/revoke")

    assert (before, api.get().status_code) == (200, 401)
    assert answer.status_code == 303
    assert "revoked" in web.get(f"{BASE}/keys/").text
    assert trail() == [("ada@example.org", "key.revoke", "ci", prefix)]


def test_key_of_another_organization_cannot_be_revoked(web: WebClient) -> None:
    other = organizations.ensure_organization("other", actor=FIXTURES, now=utcnow())
    key, _ = keys.create_key(other, None, actor=FIXTURES, name="theirs", now=utcnow())
    db.session.commit()

    assert web.post(f"{BASE}/keys/{key.id}/revoke").status_code == 404
    db.session.refresh(key)
    assert key.revoked is None


def test_key_for_all_projects_that_expires(web: WebClient) -> None:
    form = {"name": "admin", "project": "", "days": "30", "scope_admin": "true"}

    web.post(f"{BASE}/keys/", form)

    key = db.session.scalars(select(ApiKey)).one()
    assert (key.project_id, key.scopes) == (None, "admin")
    assert key.expires is not None
    assert key.expires - key.created == timedelta(days=30)
    for days, expired in ((1, False), (31, True)):
        with time_machine.travel(utcnow() + timedelta(days=days), tick=False):
            page = browser_for(web.client.application, make_member()).get(f"{BASE}/keys/").text
        assert ("expired" in page) is expired


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "This field may not be blank."),
        ({"scope_ingest": "", "scope_read": ""}, "Choose at least one."),
        ({"project": "missing"}, "This project does not exist."),
        ({"days": "-1"}, "greater than or equal to 0"),
    ],
    ids=str,
)
def test_wrong_key_is_not_made(web: WebClient, change: dict[str, str], message: str) -> None:
    make_project()
    wanted = {**KEY_FORM, **change}
    form = {name: value for name, value in wanted.items() if value or name == "name"}

    answer = web.post(f"{BASE}/keys/", form)

    assert answer.status_code == 400
    assert message in answer.text
    assert db.session.scalars(select(ApiKey)).all() == []


# Members


def test_role_is_changed_and_the_member_feels_it(web: WebClient) -> None:
    other = browser_for(web.client.application, make_member("grace@example.org", "viewer"))
    grace = member_id("grace@example.org")
    before = other.get(f"{BASE}/keys/").status_code

    answer = web.post(f"{BASE}/members/{grace}/role", {"role": "admin"})

    assert answer.status_code == 303
    assert (before, other.get(f"{BASE}/keys/").status_code) == (403, 200)
    assert trail() == [
        ("ada@example.org", "member.change-role", "grace@example.org", "role: viewer → admin")
    ]


def test_member_is_removed_and_sees_nothing_any_more(web: WebClient) -> None:
    other = browser_for(web.client.application, make_member("grace@example.org", "admin"))

    web.post(f"{BASE}/members/{member_id('grace@example.org')}/remove")

    assert roles_now() == {"ada@example.org": "owner"}
    assert other.get(f"{BASE}/").status_code == 404
    assert trail() == [("ada@example.org", "member.remove", "grace@example.org", "")]


def test_last_owner_stays(web: WebClient) -> None:
    make_member("grace@example.org", "admin")
    former = make_member("former@example.org", "owner")
    former.disabled = utcnow()
    db.session.commit()
    ada = member_id("ada@example.org")

    answers = [
        web.post(f"{BASE}/members/{ada}/role", {"role": "admin"}),
        web.post(f"{BASE}/members/{ada}/remove"),
        web.post(f"{BASE}/members/leave"),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert {"An organization needs an owner" in answer.text for answer in answers} == {True}
    assert roles_now()["ada@example.org"] == "owner"
    assert trail() == []


def test_disabled_owner_is_removed_while_another_remains(web: WebClient) -> None:
    former = make_member("former@example.org", "owner")
    former.disabled = utcnow()
    db.session.commit()

    answer = web.post(f"{BASE}/members/{member_id('former@example.org')}/remove")

    assert answer.status_code == 303
    assert roles_now() == {"ada@example.org": "owner"}


def test_one_of_two_owners_may_leave(web: WebClient) -> None:
    make_member("grace@example.org", "owner")

    answer = web.post(f"{BASE}/members/leave")

    assert (answer.status_code, answer.location) == (303, "/")
    assert roles_now() == {"grace@example.org": "owner"}


def test_admin_makes_no_owner_and_unmakes_none(app: Flask) -> None:
    make_member("ada@example.org", "owner")
    make_member("eve@example.org", "viewer")
    admin = browser_for(app, make_member("grace@example.org", "admin"))
    ada, eve = member_id("ada@example.org"), member_id("eve@example.org")

    answers = [
        admin.post(f"{BASE}/members/{eve}/role", {"role": "owner"}),
        admin.post(f"{BASE}/members/{member_id('grace@example.org')}/role", {"role": "owner"}),
        admin.post(f"{BASE}/members/{ada}/role", {"role": "viewer"}),
        admin.post(f"{BASE}/members/{ada}/remove"),
        admin.post(f"{BASE}/invitations/", {"email": "x@example.org", "role": "owner"}),
    ]
    allowed = admin.post(f"{BASE}/members/{eve}/role", {"role": "admin"})

    assert [answer.status_code for answer in answers] == [403] * 5
    assert allowed.status_code == 303
    assert roles_now() == {
        "ada@example.org": "owner",
        "eve@example.org": "admin",
        "grace@example.org": "admin",
    }
    assert "<option selected>owner" not in admin.get(f"{BASE}/members/").text


def test_unknown_role_changes_nothing(web: WebClient) -> None:
    make_member("grace@example.org", "viewer")

    answer = web.post(f"{BASE}/members/{member_id('grace@example.org')}/role", {"role": "root"})

    assert answer.status_code == 400
    assert roles_now()["grace@example.org"] == "viewer"


def test_member_of_another_organization_cannot_be_changed(web: WebClient) -> None:
    make_member("grace@example.org", "viewer", organization="other")
    grace = member_id("grace@example.org")

    answers = [
        web.post(f"{BASE}/members/{grace}/role", {"role": "admin"}),
        web.post(f"{BASE}/members/{grace}/remove"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert roles_now()["grace@example.org"] == "viewer"


# Invitations


def invite(web: WebClient, email: str = "grace@example.org", role: str = "member") -> str:
    """Invite a member; return the path of the link."""
    made = web.post(f"{BASE}/invitations/", {"email": email, "role": role, "days": "7"})
    assert made.status_code == 200, made.text
    assert made.headers["Cache-Control"] == "no-store"
    found = re.search(r"<code>(/invitation\?token=[\w-]{43,})</code>", made.text)
    assert found is not None
    return found[1]


def test_invited_person_joins_with_the_role_and_is_signed_in(web: WebClient) -> None:
    link = invite(web)
    guest = browser_for(web.client.application)

    shown = guest.get(link)
    joined = guest.post(link, {"name": "Grace", "password": PASSWORD})

    assert "ada@example.org has invited grace@example.org to join as member." in shown.text
    assert (joined.status_code, joined.location) == (303, "/a/acme/")
    assert guest.get(f"{BASE}/").status_code == 200
    assert roles_now() == {"ada@example.org": "owner", "grace@example.org": "member"}
    assert trail() == [
        ("ada@example.org", "member.invite", "grace@example.org", "member"),
        ("grace@example.org", "member.join", "grace@example.org", "member"),
    ]


def test_invitation_works_once(web: WebClient) -> None:
    link = invite(web)
    guest, other = browser_for(web.client.application), browser_for(web.client.application)
    guest.post(link, {"password": PASSWORD})

    answers = [other.get(link), other.post(link, {"password": PASSWORD})]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert "This invitation was used or withdrawn, or it has expired." in answers[0].text
    assert "<h1>This invitation is no longer valid</h1>" in answers[0].text
    assert not other.client.get_cookie("taskbadger_session")


def test_invitation_expires(web: WebClient) -> None:
    link = invite(web)

    with time_machine.travel(utcnow() + timedelta(days=8)):
        assert browser_for(web.client.application).get(link).status_code == 404


def test_invitation_can_be_withdrawn_but_not_by_another_organization(web: WebClient) -> None:
    link = invite(web)
    stranger = browser_for(
        web.client.application, make_member("eve@example.org", organization="other")
    )
    invitation_id = db.session.scalars(select(Invitation.id)).one()

    foreign = stranger.post(f"/a/other/settings/invitations/{invitation_id}/withdraw")
    before = browser_for(web.client.application).get(link).status_code
    own = web.post(f"{BASE}/invitations/{invitation_id}/withdraw")
    after = browser_for(web.client.application).get(link).status_code

    assert (foreign.status_code, before, own.status_code, after) == (404, 200, 303, 404)


def test_second_invitation_replaces_the_first(web: WebClient) -> None:
    first, second = invite(web), invite(web, role="viewer")
    guest = browser_for(web.client.application)

    assert (guest.get(first).status_code, guest.get(second).status_code) == (404, 200)
    assert web.get(f"{BASE}/members/").text.count("Withdraw<") == 1


def test_member_is_not_invited_again(web: WebClient) -> None:
    answer = web.post(f"{BASE}/invitations/", {"email": "Ada@example.org", "role": "viewer"})

    assert answer.status_code == 400
    assert "ada@example.org is already a member." in answer.text


def test_person_with_an_account_signs_in_first_and_then_joins(web: WebClient) -> None:
    make_member("grace@example.org", "viewer", organization="other")
    link = invite(web)
    guest = browser_for(web.client.application)

    shown = guest.get(link)
    sent = guest.post(link, {"password": "an attempt to set it"})
    guest.post(sent.location, {"email": "grace@example.org", "password": PASSWORD})
    joined = guest.post(link)

    assert "Sign in to join" in shown.text
    assert sent.location.startswith("/sign-in?next=/invitation?token%3D")
    assert joined.location == "/a/acme/"
    assert guest.get("/account").text.count("(member)") == 1


def test_invitation_of_somebody_else_is_not_accepted(web: WebClient) -> None:
    make_member("eve@example.org", "viewer", organization="other")
    link = invite(web)
    eve = browser_for(web.client.application, make_member("eve@example.org", None))

    answer = eve.post(link)

    assert answer.status_code == 403
    assert "You are signed in as eve@example.org" in answer.text
    assert "grace@example.org" not in roles_now()
    out = re.search(r'action="(/sign-out\?next=[^"]*)"', answer.text)
    assert out is not None
    left = eve.post(html.unescape(out[1]))
    assert left.location == link
    assert "Join" in eve.get(left.location).text


@pytest.mark.parametrize("token", ["", "x", "a" * 5000, "ü"])
def test_link_that_is_none_is_not_found(app: Flask, token: str) -> None:
    make_member()

    answer = browser_for(app).get("/invitation", query_string={"token": token})

    assert answer.status_code == 404


def test_weak_password_leaves_the_invitation_open(web: WebClient) -> None:
    link = invite(web)
    guest = browser_for(web.client.application)

    refused = guest.post(link, {"password": "short"})
    joined = guest.post(link, {"password": PASSWORD})

    assert (refused.status_code, joined.status_code) == (400, 303)


def test_link_begins_with_the_address_of_the_settings(make_app: Callable[..., Flask]) -> None:
    web = browser_for(make_app(BASE_URL="https://tasks.example.com/badger"), make_member())

    headers = {"Referer": "https://localhost/"}
    made = web.post(
        f"{BASE}/invitations/",
        {"email": "grace@example.org", "role": "viewer"},
        base_url="https://localhost",
        headers=headers,
    )

    assert "<code>https://tasks.example.com/badger/invitation?token=" in made.text


def test_link_never_follows_the_host_header(make_app: Callable[..., Flask]) -> None:
    web = browser_for(make_app(PROXY_HOPS=1), make_member())

    made = web.post(
        f"{BASE}/invitations/",
        {"email": "grace@example.org", "role": "viewer", "days": "7"},
        headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "192.0.2.1"},
    )

    assert made.status_code == 200
    assert "/invitation?token=" in made.text
    assert "evil.example" not in made.text


# The audit log and the organization


def test_audit_log_is_read_page_by_page(web: WebClient) -> None:
    organization_id = db.session.scalars(select(Organization.id)).one()
    other = organizations.ensure_organization("other", actor=FIXTURES, now=utcnow())
    audit.record(SERVER, other.id, "test", "not ours", now=utcnow())
    for number in range(120):
        audit.record(SERVER, organization_id, "test", f"entry {number}", now=utcnow())
    db.session.commit()

    seen, path = [], f"{BASE}/audit/"
    while path:
        page = web.get(path).text
        seen.append([int(one) for one in re.findall(r">entry (\d+)<", page)])
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older[1] if older else ""
        assert "not ours" not in page

    assert [len(page) for page in seen] == [50, 50, 20]
    assert [one for page in seen for one in page] == list(range(119, -1, -1))


def test_audit_log_is_searched(web: WebClient) -> None:
    organization_id = db.session.scalars(select(Organization.id)).one()
    for number in range(60):
        actor = Actor("user", f"{'Grace' if number % 2 else 'bo'}@example.org")
        audit.record(actor, organization_id, "key.revoke", f"key {number}", "100%", now=utcnow())
    db.session.commit()

    def found(query: str) -> list[str]:
        return re.findall(r"<td[^>]*>(key \d+)</td>", web.get(f"{BASE}/audit/?{query}").text)

    assert found("q=grace")[:2] == ["key 59", "key 57"]
    assert (len(found("q=GRACE@")), len(found("q=key.rev")), found("q=%25x")) == (30, 50, [])
    assert found("q=key+7") == ["key 7"]
    assert "No matching entries" in web.get(f"{BASE}/audit/?q=nobody").text
    older = re.search(r'rel="next" href="([^"]*)"', web.get(f"{BASE}/audit/?q=100%25").text)
    assert older is not None
    assert "q=100%25&before=" in html.unescape(older[1])


def test_audit_log_folds_what_keys_did_to_tasks_and_unfolds_it(web: WebClient) -> None:
    organization_id = db.session.scalars(select(Organization.id)).one()
    for verb, subject, times in (("task.create", "job", 60), ("key.create", "new key", 1)):
        for number in range(times):
            actor = Actor("key", "ci")
            audit.record(actor, organization_id, verb, f"{subject} {number}", now=utcnow())
    db.session.commit()

    page = web.get(f"{BASE}/audit/").text
    unfold = re.findall(r'data-row-link href="([^"]*)">\s*60 task changes</a>', page)[0]
    changes = web.get(html.unescape(unfold)).text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', changes)[0])

    assert "job" not in page
    assert "new key 0" in page
    assert re.findall(r">job (\d+)<", changes) == [str(number) for number in range(59, 9, -1)]
    assert re.findall(r">job (\d+)<", web.get(older).text) == [str(n) for n in range(9, -1, -1)]


def test_audit_log_is_narrowed_to_a_kind(web: WebClient) -> None:
    organization_id = db.session.scalars(select(Organization.id)).one()
    for verb in ("key.create", "monitor.create", "pager.add"):
        audit.record(SERVER, organization_id, verb, verb, now=utcnow())
    db.session.commit()

    def verbs(query: str) -> list[str]:
        return re.findall(r'<td class="mono">([^<]*)</td>', web.get(f"{BASE}/audit/?{query}").text)

    assert verbs("kind=monitor") == ["monitor.create"]
    assert verbs("kind=monitor&q=key") == []
    assert verbs("kind=pager") == ["pager.add"]
    assert (
        '<option value="pager" selected>pager</option>' in web.get(f"{BASE}/audit/?kind=pager").text
    )
    assert "No matching entries" in web.get(f"{BASE}/audit/?kind=view").text


def test_keys_that_open_nothing_any_more_stand_last(web: WebClient) -> None:
    project = make_project()
    organization, now = project.organization, utcnow()
    for name in ("first", "second", "third"):
        keys.create_key(organization, project, actor=FIXTURES, name=name, now=now)
    expired = now - timedelta(days=1)
    keys.create_key(organization, project, actor=FIXTURES, name="expired", now=now, expires=expired)
    second = next(key for key in keys.list_keys() if key.name == "second")
    keys.revoke_key(second, actor=FIXTURES, now=now)
    db.session.commit()

    page = web.get(f"{BASE}/keys/").text

    names = re.findall(r'<td class="main wrap">(\w+)</td>', page)
    assert names == ["third", "first", "expired", "second"]


@pytest.mark.parametrize("before", ["0", "-1", str(2**63)])
def test_audit_log_before_nothing_is_not_found(web: WebClient, before: str) -> None:
    assert web.get(f"{BASE}/audit/?before={before}").status_code == 404


def test_organization_is_renamed_but_keeps_its_address(web: WebClient) -> None:
    answer = web.post(f"{BASE}/organization/", {"name": "Acme Ltd"})

    assert (answer.status_code, answer.location) == (303, f"{BASE}/organization/")
    assert "Acme Ltd" in web.get(f"{BASE}/").text
    assert trail() == [("ada@example.org", "organization.rename", "acme", "name: acme → Acme Ltd")]


def test_organization_needs_a_name(web: WebClient) -> None:
    assert web.post(f"{BASE}/organization/", {"name": " "}).status_code == 400


def test_bar_leads_to_every_organization_of_the_user(web: WebClient) -> None:
    make_member(organization="other")

    page = web.get(f"{BASE}/").text

    assert re.findall(r'<li><a href="(/a/[^/"]+/)"', page) == ["/a/acme/", "/a/other/"]


def test_viewer_sees_projects_and_members_but_nothing_to_change(app: Flask) -> None:
    make_member()
    make_project()
    viewer = browser_for(app, make_member("eve@example.org", "viewer"))

    projects, people = viewer.get(f"{BASE}/").text, viewer.get(f"{BASE}/members/").text

    assert re.findall(r'<form[^>]*action="([^"]+)"', people) == [
        "/sign-out",
        f"{BASE}/members/leave",
    ]
    assert re.findall(r'<form[^>]*action="([^"]+)"', projects) == ["/sign-out"]
    assert "New project" not in projects
    assert "/settings/keys/" not in projects


def test_hostile_text_in_every_field_stays_text(web: WebClient) -> None:
    organization = db.session.scalars(select(Organization)).one()
    organization.name = HOSTILE
    project = make_project()
    project.name = HOSTILE
    keys.create_key(organization, project, actor=FIXTURES, name=HOSTILE, now=utcnow())
    other = make_member("grace@example.org", "viewer")
    other.email, other.name = f"{HOSTILE}@example.org".lower(), HOSTILE
    audit.record(
        Actor("user", HOSTILE),
        organization.id,
        HOSTILE[:50],
        HOSTILE,
        HOSTILE,
        now=utcnow(),
    )
    db.session.add(
        Invitation(
            organization_id=organization.id,
            email=HOSTILE,
            role=roles.VIEWER,
            digest="x",
            invited_by=HOSTILE,
            created=utcnow(),
            expires=utcnow() + timedelta(days=1),
        )
    )
    db.session.commit()
    pages = ["", "keys/", "members/", "audit/", "organization/", "projects/web/"]

    texts = [web.get(f"{BASE}/{page}").text for page in pages]
    texts.append(web.post(f"{BASE}/keys/", {**KEY_FORM, "name": HOSTILE}).text)
    texts.append(web.post(f"{BASE}/", {"name": HOSTILE, "slug": HOSTILE}).text)
    texts.append(
        web.post(f"{BASE}/invitations/", {"email": HOSTILE, "role": HOSTILE, "days": HOSTILE}).text
    )
    texts.append(web.client.get("/account", headers={"User-Agent": HOSTILE}).text)

    for text in texts:
        assert "alert(1)" in html.unescape(text)
        assert not re.search(r"<script>|<img", text, re.IGNORECASE)
