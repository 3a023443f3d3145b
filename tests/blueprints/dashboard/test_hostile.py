"""Hostile text is shown as text: wherever it is stored, and whatever form it is typed into."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from blueprints.dashboard.filled import addresses, fill
from blueprints.dashboard.form_filling import PageForm, read_forms
from blueprints.dashboard.forms_read import ESCAPED, HOSTILE, live
from blueprints.dashboard.routes import method_of, page_rules
from flask import Flask
from people import WebClient, browser_for
from werkzeug.test import TestResponse

HOSTILE_ADDRESS = "<script>alert(1)</script><img/src=x>@example.org"
SHOW_NOTHING = {
    "dashboard.start",
    "dashboard.sign_in",
    "dashboard.set_up",
    "dashboard.begin_sign_on",
    "dashboard.finish_sign_on",
}
"""They say nothing that somebody wrote."""
ON_NO_PAGE_HERE = {
    "dashboard.set_up_owner",  # for an empty server: test_first_owner_is_called_as_they_typed
}
LAST = ("delete", "remove", "revoke", "withdraw", "end_session", "leave", "sign_out")
"""The beginnings of what takes away what others are about."""


@pytest.fixture
def paths(web: WebClient) -> dict[str, list[str]]:
    """The addresses of all pages of an organization full of hostile text."""
    fill(HOSTILE, stop=2)
    return addresses(HOSTILE)


def harm(answer: TestResponse) -> list[str]:
    """Return what of the hostile text a browser would take for markup."""
    text = answer.text  # Read to its end: it may be a stream.
    if answer.mimetype in ("text/html", "image/svg+xml"):
        return re.findall(r"<script>.{20}|<img.{20}", text)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return []


def test_every_page_shows_hostile_text_as_text(
    app: Flask, web: WebClient, paths: dict[str, list[str]]
) -> None:
    stranger = browser_for(app)
    readers = {rule.endpoint for rule, _ in page_rules(app) if method_of(rule) == "GET"}

    assert set(paths) == readers
    for endpoint, some in paths.items():
        shows = False
        for path in some:
            for browser in (web, stranger):
                answer = browser.get(path)
                assert harm(answer) == [], path
                shows |= ESCAPED in answer.text or answer.mimetype != "text/html"
                if "data-etag=" in answer.text:
                    assert harm(live(browser, path)) == [], path
        assert shows or endpoint in SHOW_NOTHING, endpoint


def forms_of(browser: WebClient, paths: dict[str, list[str]]) -> dict[str, list[PageForm]]:
    """Return two forms at most for each endpoint that those pages post to."""
    routes = browser.client.application.url_map.bind("localhost")
    found: dict[str, list[PageForm]] = {}
    for path in [path for some in paths.values() for path in some]:
        for form in read_forms(path, browser.get(path).text):
            if not routes.test(urlsplit(form.action).path, method="POST"):
                continue  # Its buttons say where it goes.
            endpoint, _ = routes.match(urlsplit(form.action).path, method="POST")
            known = found.setdefault(endpoint, [])
            if len(known) < 2 and form not in known:
                known.append(form)
    return found


def answers_to(browser: WebClient, form: PageForm) -> Iterator[TestResponse]:
    """Type hostile text into all of a form, then into the names alone; follow each answer."""
    everything = dict.fromkeys(form.standing, HOSTILE)
    names = {name: HOSTILE for name in form.standing if name == "name"}
    typed = dict.fromkeys(form.addresses, HOSTILE_ADDRESS)
    for values in (everything, form.standing | names | typed):
        answer = browser.post(form.action, values)
        yield answer
        if answer.status_code == 303:
            yield browser.get(answer.location)


def test_every_form_shows_hostile_text_as_text(
    app: Flask, web: WebClient, paths: dict[str, list[str]]
) -> None:
    stranger = browser_for(app)
    doors = {name: paths[name] for name in ("dashboard.sign_in", "dashboard.invitation")}
    changers = {rule.endpoint for rule, _ in page_rules(app) if method_of(rule) != "GET"}
    found = [
        (endpoint, browser, form)
        for browser, some in ((stranger, doors), (web, paths))
        for endpoint, forms in forms_of(browser, some).items()
        for form in forms
    ]

    assert {endpoint for endpoint, _, _ in found} == changers - ON_NO_PAGE_HERE
    for endpoint, browser, form in sorted(found, key=lambda one: is_last(one[0])):
        for answer in answers_to(browser, form):
            assert (harm(answer), answer.status_code < 500) == ([], True), endpoint


def is_last(endpoint: str) -> int:
    return next((at for at, word in enumerate(LAST, 1) if f".{word}" in endpoint), 0)


def test_first_owner_is_called_as_they_typed(app: Flask) -> None:
    typed = {"name": HOSTILE, "email": HOSTILE_ADDRESS, "organization": HOSTILE}
    browser = browser_for(app)

    refused = browser.post("/set-up", {**typed, "password": "short"})
    browser.post("/set-up", {**typed, "project": HOSTILE, "password": "another horse staple"})
    answers = [refused, browser.get("/account"), browser.get(browser.get("/").location)]

    assert [harm(one) for one in answers] == [[]] * 3
    assert [ESCAPED in one.text for one in answers] == [True] * 3
