"""What is typed into a form survives the end of the session."""

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from blueprints.dashboard.form_filling import PageForm, read_forms
from conftest import make_project
from flask import Flask
from oidc_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from people import WebClient, browser_for, make_member, session_cookie
from sqlalchemy import delete, func, select

from taskbadger import channels
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FormDraft, Project, UserSession
from taskbadger.services.people import passwords

HOME = "/a/acme/"
SETTINGS = f"{HOME}settings/"
PASSWORD = "correct horse battery"
KEPT = "Your session has ended. Sign in to continue. What you typed is kept."
FILLED = "What you typed is filled in again, except for passwords and secrets."


@pytest.fixture
def ada(app: Flask) -> WebClient:
    """A browser of an owner who has a password."""
    make_project("acme", "web")
    return browser_for(app, with_password(make_member("ada@example.org", "owner")))


def with_password(user: Any) -> Any:
    user.password_hash = passwords.hash_password(PASSWORD)
    db.session.commit()
    return user


def end_sessions() -> None:
    db.session.execute(delete(UserSession))
    db.session.commit()


def send_late(browser: WebClient, page: str, fields: dict[str, Any], action: str = "") -> str:
    """Open a page, let the session end, send a form; return where the sign-in leads."""
    assert browser.get(page).status_code == 200
    end_sessions()
    answer = browser.post(action or page, fields, headers={"Referer": f"http://localhost{page}"})
    assert answer.status_code == 303
    return answer.location


def sign_in(browser: WebClient, address: str, email: str = "ada@example.org") -> str:
    """Sign in; return where that leads."""
    answer = browser.post(address, {"email": email, "password": PASSWORD})
    assert answer.status_code == 303
    return answer.location


def form_of(browser: WebClient, page: str, action: str) -> PageForm:
    text = browser.get(page).text
    return next(
        form
        for form in read_forms(urlsplit(page).path, text)
        if urlsplit(form.action).path == action
    )


def count_drafts() -> int:
    db.session.rollback()
    found = db.session.scalar(select(func.count()).select_from(FormDraft)) or 0
    db.session.rollback()
    return found


NEW_PROJECT = {"name": "Größe & <b>", "slug": "size"}


def test_form_comes_back_filled_in_and_can_be_sent(ada: WebClient) -> None:
    address = send_late(ada, SETTINGS, NEW_PROJECT)
    assert KEPT in ada.get(address).text

    page = sign_in(ada, address)
    text = ada.get(page).text
    form = form_of(ada, page, SETTINGS)

    assert FILLED in html.unescape(text)
    assert {name: form.standing[name] for name in NEW_PROJECT} == NEW_PROJECT
    assert count_drafts() == 1
    sent = ada.post(page, NEW_PROJECT)
    assert (sent.status_code, count_drafts()) == (303, 0)
    found = db.session.scalars(select(Project.name).where(Project.slug == "size")).all()
    assert found == ["Größe & <b>"]


def test_form_that_is_still_wrong_keeps_its_draft(ada: WebClient) -> None:
    page = sign_in(ada, send_late(ada, SETTINGS, {"name": "", "slug": "typed"}))

    answer = ada.post(page, {"name": "", "slug": "typed"})

    assert (answer.status_code, count_drafts()) == (400, 1)


def test_page_of_the_form_keeps_its_own_arguments(ada: WebClient) -> None:
    page = f"{HOME}tasks/?q=status%3Aerror"
    fields = {"name": "my view", "q": "status:error", "project": ""}

    leads_to = sign_in(ada, send_late(ada, page, fields, f"{HOME}tasks/views"))

    assert parse_qs(urlsplit(leads_to).query)["q"] == ["status:error"]
    assert form_of(ada, leads_to, f"{HOME}tasks/views").standing["name"] == "my view"
    menu = ada.get(leads_to).text.partition("Views ")[0].rpartition("<details")[2]
    assert " open" in menu


def test_second_draft_replaces_the_first_in_the_address(ada: WebClient) -> None:
    page = sign_in(ada, send_late(ada, SETTINGS, {"name": "first"}))

    again = sign_in(ada, send_late(ada, page, {"name": "second"}))

    assert len(parse_qs(urlsplit(again).query)["draft"]) == 1
    assert form_of(ada, again, SETTINGS).standing["name"] == "second"


def test_draft_is_dropped_when_another_person_signs_in(app: Flask, ada: WebClient) -> None:
    with_password(make_member("bo@example.org", "owner"))
    address = send_late(ada, SETTINGS, NEW_PROJECT)

    page = sign_in(ada, address, "bo@example.org")

    assert count_drafts() == 0
    assert "Größe" not in ada.get(page).text


def test_address_of_a_draft_is_of_no_use_to_others(app: Flask, ada: WebClient) -> None:
    bo = browser_for(app, make_member("bo@example.org", "owner"))
    page = sign_in(ada, send_late(ada, SETTINGS, NEW_PROJECT))
    bo_again = browser_for(app, make_member("bo@example.org", "owner"))

    assert bo.get(page).status_code == 303  # Her session ended as well.
    text = bo_again.get(page).text

    assert "Größe" not in text
    assert FILLED not in html.unescape(text)
    assert count_drafts() == 1


def test_nothing_is_kept_for_a_stranger(app: Flask, ada: WebClient) -> None:
    stranger = browser_for(app)

    answer = stranger.post(
        SETTINGS, NEW_PROJECT, headers={"Referer": f"http://localhost{SETTINGS}"}
    )

    assert (answer.location, count_drafts()) == (f"/sign-in?next={SETTINGS}", 0)


def test_form_without_csrf_token_is_not_kept(ada: WebClient) -> None:
    ada.get(SETTINGS)
    end_sessions()

    answer = ada.open("POST", SETTINGS, data=NEW_PROJECT)

    assert (answer.status_code, count_drafts()) == (400, 0)


def test_button_without_fields_leaves_no_draft(ada: WebClient) -> None:
    address = send_late(ada, f"{SETTINGS}members/", {}, f"{SETTINGS}members/leave")

    assert (count_drafts(), KEPT in ada.get(address).text) == (0, False)


def test_large_form_is_not_kept_and_nobody_is_told_that_it_is(ada: WebClient) -> None:
    address = send_late(ada, SETTINGS, {"name": "x" * 70_000})

    assert (address, count_drafts()) == (f"/sign-in?next={SETTINGS}", 0)
    assert "What you typed is kept" not in ada.get(address).text


def test_secrets_of_channels_are_never_kept(ada: WebClient) -> None:
    kept = {}
    for kind in channels.kinds():
        known = channels.get(kind)
        assert known is not None
        fields = {f"config.{name}": f"hidden-{name}" for name in (*known.secret_fields, "open")}
        ada.client.set_cookie(COOKIE, session_cookie(make_member("ada@example.org", "owner")))
        page = f"{HOME}alerts/channels/new/{kind}/"
        send_late(ada, page, {"name": "Ops", "slug": "ops", **fields})
        latest = select(FormDraft.fields).order_by(FormDraft.id.desc()).limit(1)
        text = db.session.scalar(latest) or ""
        kept[kind] = [name for name in (*known.secret_fields, "open") if f"hidden-{name}" in text]
        db.session.rollback()

    assert len(kept) >= 9
    assert kept == {kind: ["open"] for kind in kept}


def test_box_of_a_channel_is_kept_whatever_the_channel_is_called(ada: WebClient) -> None:
    box, step = "channel webhook:token-svc", "step 1 channel slack:secrets"
    fields = {"name": "Failures", box: "on", step: "on", "step 1 token": "hidden"}
    send_late(ada, f"{HOME}alerts/new/", fields)

    kept = json.loads(db.session.scalars(select(FormDraft.fields)).one())

    assert kept.keys() >= {"name", box, step}
    assert "step 1 token" not in kept


def test_no_form_with_a_password_keeps_drafts(ada: WebClient) -> None:
    pages = ("/account", f"{SETTINGS}keys/", f"{SETTINGS}members/", "/sign-in", "/set-up")
    routes = {rule.rule: rule.endpoint for rule in ada.client.application.url_map.iter_rules()}
    with_passwords = [
        form.action
        for page in pages
        for form in read_forms(page, ada.get(page).text)
        if re.search(r"password|current", " ".join(form.standing))
    ]

    assert with_passwords == ["/account/password"]
    assert routes["/account/password"].removeprefix("dashboard.") not in blp.drafts


def test_single_sign_on_leads_back_to_the_draft(make_app: Callable[..., Flask]) -> None:
    with running_provider() as provider:
        app = make_app(
            OIDC_ISSUER=provider.url, OIDC_CLIENT_ID=CLIENT_ID, OIDC_CLIENT_SECRET=CLIENT_SECRET
        )
        make_project("acme", "web")
        browser = browser_for(app, make_member("ada@example.org", "owner"))
        address = send_late(browser, SETTINGS, NEW_PROJECT)
        begun = browser.get(address.replace("/sign-in?", "/sign-in/oidc?"))
        back = urlsplit(httpx2.get(begun.location, trust_env=False).headers["Location"])
        done = browser.get(f"{back.path}?{back.query}")

        assert form_of(browser, done.location, SETTINGS).standing["slug"] == "size"


FORMS = [
    (f"{HOME}monitors/new/", {"name": "backup", "type": "cron", "schedule": "0 3 * * *"}),
    (f"{HOME}alerts/new/", {"name": "to ops", "name_pattern": "^import", "emails": "a@b.example"}),
    (f"{HOME}alerts/windows/new/", {"name": "move"}),
    (f"{HOME}alerts/channels/new/webhook/", {"name": "Ops", "config.url": "https://x.example/"}),
    (f"{SETTINGS}keys/", {"name": "laptop", "days": "30"}),
    (f"{SETTINGS}organization/", {"name": "Acme & Sons"}),
    (f"{SETTINGS}projects/web/", {"name": "Shop"}),
]


@pytest.mark.parametrize(("page", "fields"), FORMS, ids=[page for page, _ in FORMS])
def test_forms_that_create_or_edit_come_back(
    ada: WebClient, page: str, fields: dict[str, str]
) -> None:
    leads_to = sign_in(ada, send_late(ada, page, fields))

    standing = form_of(ada, leads_to, page).standing

    assert {name: standing.get(name) for name in fields} == fields


def test_address_is_kept_for_an_invitation(ada: WebClient, project: ProjectRef) -> None:
    fields = {"email": "grace@example.org", "role": "admin"}
    page, action = f"{SETTINGS}members/", f"{SETTINGS}invitations/"

    standing = form_of(ada, sign_in(ada, send_late(ada, page, fields, action)), action).standing

    assert standing["email"] == "grace@example.org"


@pytest.mark.parametrize("page", [page for page, _ in FORMS])
def test_links_in_forms_open_a_new_tab_but_for_buttons_that_leave(
    ada: WebClient, page: str
) -> None:
    text = ada.get(page).text
    forms = re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL)
    links = [link for form in forms for link in re.findall(r"<a [^>]*>.*?</a>", form, re.DOTALL)]

    assert [
        link
        for link in links
        if 'role="button"' not in link
        and not ('target="_blank"' in link and "opens a new tab" in link)
    ] == []


def test_draft_is_filled_in_below_a_prefix(ada: WebClient) -> None:
    below = {"environ_overrides": {"SCRIPT_NAME": "/badger"}}

    def send(page: str, action: str, fields: dict[str, str]) -> str:
        token = re.findall(r'name="csrf_token" value="([^"]*)"', page)[0]
        answer = ada.open("POST", action, data={**fields, "csrf_token": token}, **below)
        return str(answer.location).removeprefix("/badger")

    page = ada.get(SETTINGS, **below).text
    end_sessions()
    ada.client.delete_cookie(COOKIE)
    address = send(page, SETTINGS, NEW_PROJECT)
    form = {"email": "ada@example.org", "password": PASSWORD}
    leads_to = send(ada.get(address, **below).text, address, form)
    forms = read_forms(f"/badger{SETTINGS}", ada.get(leads_to, **below).text)

    assert leads_to.startswith(f"{SETTINGS}?draft=")
    assert [form.standing["slug"] for form in forms if "slug" in form.standing] == ["size"]
