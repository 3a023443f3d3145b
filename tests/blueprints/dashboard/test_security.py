"""Who gets in, route by route: from the route table, so that no new route is forgotten."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from blueprints.dashboard.routes import OPEN, UNSAFE, method_of, page_rules, path_of
from flask import Flask
from people import PASSWORD, WebClient, browser_for, make_member
from sqlalchemy import insert

from taskbadger.blueprints.dashboard.access import PUBLIC, SIGNED_IN, Pages
from taskbadger.blueprints.dashboard.redirects import safe_path
from taskbadger.blueprints.security import HEADERS
from taskbadger.domain import roles
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.organizations import organizations


def test_routes_without_a_rule_only_read(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in OPEN]

    assert [rule.rule for rule in rules if UNSAFE & (rule.methods or set())] == []


def test_route_that_names_no_role_does_not_start() -> None:
    pages = Pages("new", __name__)

    with pytest.raises(ValueError, match="declare the minimum role"):
        pages.add_url_rule("/new", view_func=lambda: "")
    with pytest.raises(ValueError, match="only those"):
        pages.page("/new", role=roles.READ)(lambda: "")
    with pytest.raises(ValueError, match="only those"):
        pages.page("/a/<organization_slug>/new", role=SIGNED_IN)(lambda: "")


def test_every_unsafe_route_refuses_a_form_without_a_token(app: Flask) -> None:
    browser = browser_for(app, make_member())
    rules = [rule for rule, _ in page_rules(app) if method_of(rule) != "GET"]

    answers = {
        rule.rule: browser.open(method_of(rule), path_of(rule)).status_code for rule in rules
    }

    assert answers == {rule.rule: 400 for rule in rules}
    assert len(answers) > 10


def test_every_page_that_is_not_public_sends_strangers_to_sign_in(app: Flask) -> None:
    make_member()
    stranger = browser_for(app)
    rules = [rule for rule, role in page_rules(app) if role != PUBLIC]

    for rule in rules:
        answer = stranger.open(
            method_of(rule), path_of(rule), headers={"X-CSRFToken": stranger.token()}
        )
        assert (answer.status_code, answer.location.split("?")[0]) == (303, "/sign-in"), rule


def test_every_page_of_another_organization_does_not_exist(app: Flask) -> None:
    make_member("grace@example.org", organization="other")
    browser = browser_for(app, make_member())
    rules = [rule for rule, role in page_rules(app) if role in roles.ROLES]

    for rule in rules:
        for organization in ("other", "missing"):
            answer = browser.open(
                method_of(rule),
                path_of(rule, organization),
                headers={"X-CSRFToken": browser.token()},
            )
            assert answer.status_code == 404, (rule, organization)
            assert "other" not in answer.text


@pytest.mark.parametrize("role", roles.ROLES[1:])
def test_every_page_refuses_a_lower_role(app: Flask, role: str) -> None:
    browser = browser_for(app, make_member(role=role))
    rules = [
        (rule, least)
        for rule, least in page_rules(app)
        if least in roles.ROLES and not roles.includes(role, least)
    ]

    for rule, least in rules:
        answer = browser.open(
            method_of(rule), path_of(rule), headers={"X-CSRFToken": browser.token()}
        )
        assert answer.status_code == 403, rule
        assert f"This requires the role {least}; yours is {role}." in answer.text
    assert rules


def test_token_of_another_browser_is_refused(app: Flask) -> None:
    user = make_member()
    browser, other = browser_for(app, user), browser_for(app, user)
    other.token()

    with other.client.session_transaction() as state:
        state["csrf_token"] = "something else"
    answer = other.open("POST", "/sign-out", data={"csrf_token": browser.token()})

    assert answer.status_code == 400
    assert "The form has expired" in answer.text
    assert other.get("/account").status_code == 200


def test_cookies_over_http_are_hidden_from_scripts(app: Flask) -> None:
    make_member()
    browser = browser_for(app)

    answer = browser.post("/sign-in", {"email": "ada@example.org", "password": PASSWORD})

    session = next(one for one in cookies(answer) if one.startswith("taskbadger_session="))
    assert attributes(session) == {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=34560000"}


def cookies(answer: Any) -> list[str]:
    found: list[str] = answer.headers.getlist("Set-Cookie")
    return found


def attributes(cookie: str) -> set[str]:
    return {part for part in cookie.split("; ")[1:] if not part.startswith("Expires=")}


def test_cookies_behind_a_proxy_are_for_https_and_its_prefix(
    make_app: Callable[..., Flask],
) -> None:
    make_member()
    # The cookies are sent by hand: the client would not know the outer path.
    client = make_app(PROXY_HOPS=1).test_client(use_cookies=False)
    browser = WebClient(client)
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "tasks.example.com",
        "X-Forwarded-Prefix": "/badger",
        "Referer": "https://tasks.example.com/badger/sign-in",
    }

    page = browser.get("/sign-in", headers=headers)
    state = next(one for one in cookies(page) if one.startswith("taskbadger_state="))
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token is not None
    answer = client.post(
        "/sign-in?next=/account",
        data={"email": "ada@example.org", "password": PASSWORD, "csrf_token": token[1]},
        headers={**headers, "Cookie": state.split(";")[0]},
    )

    assert (answer.status_code, answer.location) == (303, "/badger/account")
    expected = {"HttpOnly", "Secure", "Path=/badger", "SameSite=Lax"}
    assert attributes(state) == expected
    session = next(one for one in cookies(answer) if one.startswith("taskbadger_session="))
    assert attributes(session) == {*expected, "Max-Age=34560000"}
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert 'action="/badger/sign-in"' in page.text


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"PROXY_HOPS": 1}, "/badger"),
        # Of two proxies the one that cuts the prefix off says so.
        ({"PROXY_HOPS": 2}, "/badger"),
        ({"BASE_URL": "https://tasks.example.com/badger/"}, None),
        ({"BASE_URL": "https://tasks.example.com/other", "PROXY_HOPS": 1}, "/badger"),
    ],
)
def test_addresses_begin_with_the_prefix(
    make_app: Callable[..., Flask], changes: dict[str, Any], header: str | None
) -> None:
    make_member()
    browser = browser_for(make_app(**changes))
    headers = {} if header is None else {"X-Forwarded-Prefix": header}

    start = browser.get("/", headers=headers)
    page = browser.get("/sign-in", headers=headers)
    document = browser.get("/api/schema.json", headers=headers)

    assert (start.status_code, start.location) == (303, "/badger/sign-in?next=/")
    assert set(re.findall(r'(?:src|href|action)="(/[^/"]*/)', page.text)) == {"/badger/"}
    assert document.json is not None
    assert document.json["servers"] == [{"url": "/badger"}]


def test_form_from_another_site_is_refused_over_https(make_app: Callable[..., Flask]) -> None:
    browser = browser_for(make_app(), make_member())
    secure = {"base_url": "https://localhost"}
    data = {"csrf_token": browser.token()}

    foreign = browser.open(
        "POST", "/sign-out", data=data, headers={"Referer": "https://evil.example/"}, **secure
    )

    assert foreign.status_code == 400


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/acme/tasks/?q=status:error", "/a/acme/tasks/?q=status:error"),
        ("//evil.example/", ""),
        ("/\\evil.example/", ""),
        ("/a\\..\\b", ""),
        ("https://evil.example/", ""),
        ("javascript:alert(1)", ""),
        ("/a\r\nSet-Cookie: x=1", ""),
        ("/\t/evil.example", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_next_leads_to_pages_of_this_server_only(path: str | None, expected: str) -> None:
    assert safe_path(path) == expected


def test_unknown_address_is_a_page_and_says_nothing_more(app: Flask) -> None:
    answer = browser_for(app).get("/no/such/page")

    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text


def test_statement_that_fails_leads_to_a_page(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(organization: Organization, *_: Any, **__: Any) -> None:
        twin = {"slug": organization.slug, "name": "twin", "created": organization.created}
        db.session.execute(insert(Organization).values(twin))

    monkeypatch.setattr(organizations, "rename_organization", fail)
    web = browser_for(make_app(TESTING=False), make_member())

    failed = web.post("/a/acme/settings/organization/", {"name": "other"})

    assert (failed.status_code, "Something went wrong" in failed.text) == (500, True)


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_number_that_no_id_has_names_nothing(app: Flask, number: int) -> None:
    web = browser_for(app, make_member())

    answers = [
        web.post(path)
        for path in (
            f"/account/sessions/{number}/end",
            f"/a/acme/settings/keys/{number}/revoke",
            f"/a/acme/settings/members/{number}/remove",
            f"/a/acme/settings/invitations/{number}/withdraw",
            f"/a/acme/tasks/views/{number}/delete",
        )
    ]

    assert [answer.status_code for answer in answers] == [404] * 5


def test_wrong_method_names_the_right_ones(app: Flask) -> None:
    answer = browser_for(app).get("/sign-out")

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_api_keeps_its_own_errors_and_needs_no_csrf_token(app: Flask) -> None:
    answer = browser_for(app).client.post("/api/acme/web/tasks/", json={})

    assert answer.status_code == 401
    assert answer.json["type"] == "client_error"
    assert "Content-Security-Policy" not in answer.headers


@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs"])
def test_documentation_of_the_api_has_the_policy_and_finds_its_document(
    app: Flask, path: str
) -> None:
    answer = browser_for(app).get(path)

    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    [document] = re.findall(r'data-document="([^"]+)"', answer.text)
    assert urljoin(f"http://localhost{path}", document) == "http://localhost/api/schema.json"


def test_header_of_open_pages_breaks_no_page_that_is_not_live(app: Flask) -> None:
    browser = browser_for(app, make_member())
    rules = [rule for rule, _ in page_rules(app) if "GET" in (rule.methods or set())]

    answers = {
        rule.rule: browser.get(path_of(rule), headers={"X-Live": "1"}).status_code for rule in rules
    }

    assert {rule: status for rule, status in answers.items() if status >= 500} == {}
