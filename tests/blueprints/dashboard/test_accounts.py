"""Signing in and out, the first owner, and a person's own account."""

from flask import Flask
from people import PASSWORD, WebClient, browser_for, make_member

SET_UP = {"email": "ada@example.org", "password": PASSWORD, "organization": "Acme Inc."}


def test_empty_server_leads_to_its_set_up(app: Flask) -> None:
    browser = browser_for(app)

    first = browser.get("/")
    second = browser.get(first.location)

    assert (first.status_code, first.location) == (303, "/sign-in?next=/")
    assert (second.status_code, second.location) == (303, "/set-up")


def test_first_visitor_becomes_the_owner(app: Flask) -> None:
    browser = browser_for(app)

    made = browser.post("/set-up", SET_UP)

    assert (made.status_code, made.location) == (303, "/")
    assert browser.get("/").location == "/a/acme-inc/"


def test_account_page(web: WebClient) -> None:
    assert web.get("/account").status_code == 200
