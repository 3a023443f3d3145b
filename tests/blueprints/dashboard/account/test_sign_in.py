"""Signing in and out, the first owner, and a person's own account."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from blueprints.dashboard.forms_read import field_errors
from conftest import FIXTURES, audit_entries
from flask import Flask
from people import PASSWORD, WebClient, browser_for, make_member, session_cookie
from simultaneous import at_once, numbered
from sqlalchemy import func, select

from taskbadger.blueprints.dashboard.account import sign_in as pages
from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.keys import digest
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, Project, User, UserSession
from taskbadger.services.organizations import organizations
from taskbadger.services.people import attempts, users

ADA = {"email": "ada@example.org", "password": PASSWORD}
SET_UP = {**ADA, "name": "Ada", "organization": "Acme & Söhne", "project": "Web shop"}
NEW = "another long pass phrase"


def cookie_of(browser: WebClient) -> str | None:
    cookie = browser.client.get_cookie(COOKIE)
    return cookie.value if cookie else None


def is_signed_in(browser: WebClient) -> bool:
    return browser.get("/account").status_code == 200


# The first owner


def test_empty_server_leads_to_its_set_up(app: Flask) -> None:
    browser = browser_for(app)

    first = browser.get("/a/any/tasks/?q=x")
    second = browser.get(first.location)

    assert (first.status_code, first.location) == (303, "/sign-in?next=/a/any/tasks/?q%3Dx")
    assert (second.status_code, second.location) == (303, "/set-up")


def test_first_visitor_becomes_the_owner_and_is_signed_in(app: Flask) -> None:
    browser = browser_for(app)

    made = browser.post("/set-up", SET_UP)

    assert (made.status_code, made.location) == (303, "/")
    assert browser.get("/").location == "/a/acme-sohne/"
    member = db.session.scalars(select(Membership)).one()
    project = db.session.scalars(select(Project)).one()
    assert (member.user.email, member.user.name, member.role) == ("ada@example.org", "Ada", "owner")
    assert (member.organization.name, project.slug, project.name) == (
        "Acme & Söhne",
        "web-shop",
        "Web shop",
    )


def test_first_project_keeps_tasks_as_long_as_the_operator_says(
    make_app: Callable[..., Flask],
) -> None:
    browser_for(make_app(DEFAULT_RETENTION_DAYS=90)).post("/set-up", SET_UP)

    assert db.session.scalars(select(Project.retention_days)).all() == [90]


def test_first_owner_chooses_what_stands_in_addresses(app: Flask) -> None:
    names = {"organization": "日本", "project": "東京"}
    slugs = {"organization_slug": "japan", "project_slug": "tokyo"}
    browser = browser_for(app)

    wrong = browser.post("/set-up", {**SET_UP, **names, **slugs, "project_slug": "東京"})
    reserved = browser.post("/set-up", {**SET_UP, **names, **slugs, "organization_slug": "v3"})
    made = browser.post("/set-up", {**SET_UP, **names, **slugs})

    assert (wrong.status_code, reserved.status_code, made.status_code) == (400, 400, 303)
    assert set(field_errors(wrong.text)) == {"project_slug"}
    assert set(field_errors(reserved.text)) == {"organization_slug"}
    project = db.session.scalars(select(Project)).one()
    assert (project.organization.slug, project.slug, project.name) == ("japan", "tokyo", "東京")
    db.session.rollback()
    assert "東京 (tokyo)" in browser.get("/a/japan/how-to/").text


def test_first_owner_takes_over_what_organizations_there_are(app: Flask) -> None:
    organizations.ensure_organization("made-before", actor=FIXTURES, now=utcnow())
    db.session.commit()
    browser = browser_for(app)

    assert 'name="organization"' not in browser.get("/set-up").text
    browser.post("/set-up", ADA)

    query = select(Organization.slug, Membership.role).join(Membership.organization)
    assert db.session.execute(query).all() == [("made-before", "owner")]


def test_set_up_is_never_reachable_again(app: Flask) -> None:
    make_member("first@example.org", role=None)
    browser = browser_for(app)

    shown = browser.get("/set-up")
    sent = browser.post("/set-up", SET_UP)

    assert (shown.status_code, shown.location) == (303, "/sign-in")
    assert sent.status_code == 409
    assert db.session.scalars(select(User.email)).all() == ["first@example.org"]


def test_two_set_ups_at_once_make_one_owner(app: Flask) -> None:
    browsers = [browser_for(app) for _ in range(4)]
    tokens = [browser.token() for browser in browsers]
    answers: list[int] = []

    def set_up(number: int) -> None:
        form = {**SET_UP, "email": f"{number}@example.org", "csrf_token": tokens[number]}
        answers.append(browsers[number].client.post("/set-up", data=form).status_code)

    at_once(app, *numbered(4, set_up))

    assert sorted(answers) == [303, 409, 409, 409]
    assert db.session.scalar(select(func.count()).select_from(User)) == 1
    assert db.session.scalar(select(func.count()).select_from(Membership)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "short"}, "Use at least 10 characters."),
        ({"password": "a" * 300}, "Use at most 256 characters."),
        ({"password": "aaaabbbbaaaabbbb"}, "Use a greater variety of characters."),
        ({"password": "Password12345"}, "This password is too common."),
        (
            {"password": "ada-is-my-name", "email": "ada-is@example.org"},
            "Do not use your e-mail address as your password.",
        ),
        ({"email": "nobody"}, "Enter an e-mail address."),
        ({"email": "a\x00@b"}, "Null characters are not allowed."),
        ({"email": ""}, "This field may not be blank."),
        ({"organization": "x" * 256}, "no more than 255 characters"),
    ],
    ids=str,
)
def test_wrong_set_up_says_what_is_wrong_and_makes_nobody(
    app: Flask, change: dict[str, str], message: str
) -> None:
    answer = browser_for(app).post("/set-up", {**SET_UP, **change})

    assert answer.status_code == 400
    assert message in answer.text
    assert change.get("password", PASSWORD) not in answer.text
    assert users.needs_set_up()


# Signing in and out


def test_sign_in_leads_to_where_the_visitor_was_going(app: Flask) -> None:
    make_member()
    browser = browser_for(app)

    answer = browser.post("/sign-in?next=/account", {**ADA, "email": " Ada@Example.org "})

    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_signed_in(browser)


def test_sign_in_leads_nowhere_else(app: Flask) -> None:
    make_member()

    answer = browser_for(app).post("/sign-in?next=//evil.example/", ADA)

    assert answer.location == "/"


def test_form_sent_after_the_session_ended_leads_back_to_its_page(app: Flask) -> None:
    make_member()
    browser = browser_for(app)
    page = "http://localhost/a/acme/settings/"

    answer = browser.post("/a/acme/settings/", {"name": "x"}, headers={"Referer": page})

    assert answer.location == "/sign-in?next=/a/acme/settings/"


def test_who_is_signed_in_is_not_asked_again(web: WebClient) -> None:
    answer = web.get("/sign-in?next=/account")

    assert (answer.status_code, answer.location) == (303, "/account")


def test_user_of_no_organization_is_told_so(app: Flask) -> None:
    browser = browser_for(app, make_member(role=None))

    assert "you are not a member of any organization" in browser.get("/").text


def test_refusal_is_the_same_whoever_it_is(app: Flask) -> None:
    make_member()
    disabled = make_member("disabled@example.org")
    users.disable_user(disabled, actor=SERVER, now=utcnow())
    without = make_member("without@example.org")
    without.password_hash = None
    db.session.commit()
    forms = [
        {"email": "ada@example.org", "password": "wrong"},
        {"email": "missing@example.org", "password": PASSWORD},
        {"email": "disabled@example.org", "password": PASSWORD},
        {"email": "without@example.org", "password": PASSWORD},
        {"email": "no address", "password": ""},
        {},
    ]

    answers = [browser_for(app).post("/sign-in", form) for form in forms]

    assert {answer.status_code for answer in answers} == {403}
    assert {"Wrong e-mail or password." in answer.text for answer in answers} == {True}
    assert len({re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}) == 1
    assert db.session.scalars(select(UserSession)).all() == []


def test_missing_user_costs_as_much_work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    make_member()
    checked: list[bool] = []
    real = pages.passwords.verify_password
    monkeypatch.setattr(
        pages.passwords,
        "verify_password",
        lambda known, sent: checked.append(real(known, sent)) or checked[-1],
    )

    browser_for(app).post("/sign-in", {"email": "missing@example.org", "password": "x"})
    browser_for(app).post("/sign-in", {"email": "ada@example.org", "password": "x"})

    assert checked == [False, False]


def test_cookie_changes_at_sign_in_and_the_old_one_is_worth_nothing(app: Flask) -> None:
    make_member()
    browser = browser_for(app)
    browser.client.set_cookie(COOKIE, "an-id-that-an-attacker-knows")

    browser.post("/sign-in", ADA)
    first = cookie_of(browser)
    browser.post("/sign-in", ADA)
    second = cookie_of(browser)

    assert len({first, second, "an-id-that-an-attacker-knows"}) == 3
    assert db.session.scalars(select(UserSession.digest)).all() == [digest(second or "")]


def test_csrf_token_changes_at_sign_in(app: Flask) -> None:
    make_member()
    browser = browser_for(app)
    browser.post("/sign-in", ADA)

    with browser.client.session_transaction() as state:
        assert dict(state) == {}


def test_sign_out_ends_the_session_for_good(app: Flask) -> None:
    browser = browser_for(app, make_member())
    token = cookie_of(browser)

    answer = browser.post("/sign-out")

    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert cookie_of(browser) is None
    browser.client.set_cookie(COOKIE, token or "")
    assert not is_signed_in(browser)


def test_database_holds_no_session_that_could_be_used(app: Flask) -> None:
    user = make_member()
    token = session_cookie(user)

    stored = db.session.scalars(select(UserSession.digest)).one()

    assert len(token) >= 43
    assert stored == digest(token)
    thief = browser_for(app)
    thief.client.set_cookie(COOKIE, stored)
    assert not is_signed_in(thief)


def test_session_ends_without_a_visit(make_app: Callable[..., Flask]) -> None:
    user = make_member()
    browser = browser_for(make_app(SESSION_HOURS=1), user)

    with time_machine.travel(utcnow() + timedelta(minutes=59)):
        assert is_signed_in(browser)
    with time_machine.travel(utcnow() + timedelta(minutes=118)):
        assert is_signed_in(browser)
    with time_machine.travel(utcnow() + timedelta(minutes=179)):
        assert not is_signed_in(browser)


def test_sign_in_says_once_that_a_session_has_ended(make_app: Callable[..., Flask]) -> None:
    app = make_app(SESSION_HOURS=1)
    browser, stranger = browser_for(app, make_member()), browser_for(app)
    said = "Your session has ended."

    with time_machine.travel(utcnow() + timedelta(hours=2)):
        poll = browser.get("/a/acme/", headers={"X-Live": "1"})
        pages = [browser.get(browser.get("/a/acme/").location).text for _ in range(2)]
    unknown = stranger.get(stranger.get("/a/acme/").location).text

    assert poll.status_code == 303
    assert [said in page for page in (*pages, unknown)] == [True, False, False]


def test_session_in_use_ends_too(make_app: Callable[..., Flask]) -> None:
    browser = browser_for(make_app(SESSION_HOURS=1), make_member())
    begin = utcnow()

    answers = []
    for minutes in range(30, 300, 30):
        with time_machine.travel(begin + timedelta(minutes=minutes)):
            answers.append(is_signed_in(browser))

    assert answers == [True] * 7 + [False] * 2


def test_visit_is_written_down_every_few_minutes_only(app: Flask) -> None:
    browser = browser_for(app, make_member())
    begin = db.session.scalars(select(UserSession.last_seen)).one()
    seen = []

    for minutes in (4, 6, 7):
        with time_machine.travel(begin + timedelta(minutes=minutes), tick=False):
            browser.get("/account")
        db.session.rollback()
        last = db.session.scalars(select(UserSession.last_seen)).one()
        seen.append(round((last - begin).total_seconds() / 60))

    assert seen == [0, 6, 6]


def test_disabled_user_is_signed_out_everywhere(app: Flask) -> None:
    user = make_member()
    browser = browser_for(app, user)

    user.disabled = utcnow()
    db.session.commit()

    assert not is_signed_in(browser)


# Too many attempts


def test_account_is_closed_for_a_while_after_too_many_attempts(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ACCOUNT_AND_ADDRESS", 2)
    wrong = {"email": "ADA@example.org", "password": "wrong"}
    begin = utcnow().replace(minute=0, second=30)

    with time_machine.travel(begin, tick=False):
        answers = [browser_for(app).post("/sign-in", wrong) for _ in range(3)]
        right = browser_for(app).post("/sign-in", ADA)
        missing = {"email": "missing@example.org", "password": "wrong"}
        others = [browser_for(app).post("/sign-in", missing).status_code for _ in range(3)]
    with time_machine.travel(begin + timedelta(minutes=15), tick=False):
        later = browser_for(app).post("/sign-in", ADA)

    assert [answer.status_code for answer in answers] == [403, 403, 429]
    assert (right.status_code, right.headers["Retry-After"]) == (429, "870")
    assert "<p>Try again in 14 min 30 s.</p>" in right.text
    assert others == [403, 403, 429]
    assert later.status_code == 303


def test_attempts_on_an_account_are_forgotten_when_its_user_signs_in(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ACCOUNT_AND_ADDRESS", 2)
    monkeypatch.setattr(attempts, "PER_ADDRESS", 5)
    wrong = {"email": "ADA@example.org", "password": "wrong"}

    with time_machine.travel(utcnow().replace(minute=0, second=30), tick=False):
        forms = [wrong, ADA, wrong, ADA, wrong, ADA]
        answers = [browser_for(app).post("/sign-in", form).status_code for form in forms]

    assert answers == [403, 303, 403, 303, 403, 429]


def test_wrong_passwords_from_elsewhere_do_not_lock_the_owner_out(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ACCOUNT_AND_ADDRESS", 2)

    def sign_in(form: dict[str, str], address: str) -> int:
        environ = {"REMOTE_ADDR": address}
        return browser_for(app).post("/sign-in", form, environ_base=environ).status_code

    with time_machine.travel(utcnow().replace(minute=0, second=30), tick=False):
        guesses = [sign_in({**ADA, "password": "wrong"}, "192.0.2.1") for _ in range(3)]
        owner = sign_in(ADA, "192.0.2.2")
        guesses.append(sign_in(ADA, "192.0.2.1"))

    assert (guesses, owner) == ([403, 403, 429, 429], 303)


def test_guessing_from_many_addresses_ends_until_the_account_is_unlocked(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ACCOUNT", 2)

    def sign_in(form: dict[str, str], number: int) -> int:
        environ = {"REMOTE_ADDR": f"192.0.2.{number}"}
        return browser_for(app).post("/sign-in", form, environ_base=environ).status_code

    with time_machine.travel(utcnow().replace(minute=0, second=30), tick=False):
        guesses = [sign_in({**ADA, "password": "wrong"}, number) for number in range(3)]
        locked = sign_in(ADA, 4)
        attempts.forget_account("Ada@example.org")
        db.session.commit()
        unlocked = sign_in(ADA, 4)

    assert (guesses, locked, unlocked) == ([403, 403, 429], 429, 303)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("192.0.2.1", "192.0.2.1", 429),
        ("192.0.2.1", "192.0.2.2", 403),
        ("2001:db8::1", "2001:db8::ffff:1", 429),
        ("2001:db8::1", "2001:db8:0:1::1", 403),
        ("a-socket", "a-socket", 429),
    ],
)
def test_address_is_refused_for_a_while_after_too_many_attempts(
    app: Flask, monkeypatch: pytest.MonkeyPatch, first: str, second: str, status: int
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ADDRESS", 2)

    def attempt(number: int, address: str) -> int:
        form = {"email": f"{number}@example.org", "password": "wrong"}
        environ = {"REMOTE_ADDR": address}
        return browser_for(app).post("/sign-in", form, environ_base=environ).status_code

    with time_machine.travel(utcnow().replace(minute=0, second=30), tick=False):
        answers = [attempt(1, first), attempt(2, first), attempt(3, second)]

    assert answers == [403, 403, status]


# One's own account


def test_change_of_password_ends_every_other_session(app: Flask) -> None:
    user = make_member()
    browser, other = browser_for(app, user), browser_for(app, user)
    before = cookie_of(browser)

    answer = browser.post("/account/password", {"current": PASSWORD, "password": NEW})

    assert (answer.status_code, answer.location) == (303, "/account")
    assert "Other browsers have been signed out" in browser.get("/account").text
    assert cookie_of(browser) != before
    assert not is_signed_in(other)
    assert browser_for(app).post("/sign-in", ADA).status_code == 403
    assert browser_for(app).post("/sign-in", {**ADA, "password": NEW}).status_code == 303
    entry = db.session.scalars(audit_entries()).one()
    assert (entry.actor_name, entry.verb) == ("ada@example.org", "user.change-password")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"current": "wrong", "password": NEW}, "Wrong password."),
        ({"current": PASSWORD, "password": "short"}, "Use at least 10 characters."),
        ({"current": PASSWORD}, "This field is required."),
    ],
)
def test_wrong_change_of_password_changes_nothing(
    app: Flask, form: dict[str, str], message: str
) -> None:
    user = make_member()
    browser, other = browser_for(app, user), browser_for(app, user)

    answer = browser.post("/account/password", form)

    assert answer.status_code == 400
    assert message in answer.text
    assert is_signed_in(other)
    assert browser_for(app).post("/sign-in", ADA).status_code == 303


def test_password_is_not_to_be_guessed_from_inside_either(
    web: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PER_ACCOUNT_AND_ADDRESS", 1)
    form = {"current": "wrong", "password": NEW}

    with time_machine.travel(utcnow().replace(minute=0), tick=False):
        web = browser_for(web.client.application, make_member())
        answers = [web.post("/account/password", form).status_code for _ in range(2)]

    assert answers == [400, 429]


def test_one_browser_is_signed_out_from_another(app: Flask) -> None:
    user = make_member()
    lost = browser_for(app, user)
    session_id = db.session.scalars(select(UserSession.id)).one()
    browser = browser_for(app, user)

    page = browser.get("/account").text
    answer = browser.post(f"/account/sessions/{session_id}/end")

    assert f'action="/account/sessions/{session_id}/end"' in page
    assert answer.status_code == 303
    assert not is_signed_in(lost)
    assert is_signed_in(browser)


def test_session_of_somebody_else_cannot_be_ended(app: Flask) -> None:
    other = browser_for(app, make_member("grace@example.org"))
    session_id = db.session.scalars(select(UserSession.id)).one()
    browser = browser_for(app, make_member())

    answer = browser.post(f"/account/sessions/{session_id}/end")

    assert answer.status_code == 404
    assert is_signed_in(other)


def test_sign_in_answers_a_page_that_was_open_too(app: Flask) -> None:
    make_member()

    answer = browser_for(app).get("/sign-in", headers={"X-Live": "1"})

    assert (answer.status_code, "<h1>Sign in</h1>" in answer.text) == (200, True)
