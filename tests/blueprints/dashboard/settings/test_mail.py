"""Whether there is a mail server: the page that says so, and the warnings that lead to it."""

import re
from collections.abc import Callable

import pytest
from blueprints.dashboard.forms_read import words
from flask import Flask
from people import WebClient, browser_for, make_member
from watching import Watch

from taskbadger.domain.identity import ProjectRef

MAIL = "/a/acme/settings/mail/"
WARNING = "No mail server is set up, so e-mails are not sent."
SMTP = {"SMTP_URL": "smtp://127.0.0.1:9", "MAIL_FROM": "Badger <badger@example.com>"}
MakeApp = Callable[..., Flask]
FORMS = (
    "/a/acme/alerts/new/",
    "/a/acme/alerts/channels/new/email/",
    "/a/acme/monitors/new/",
)


@pytest.mark.parametrize("path", FORMS)
def test_fields_for_addresses_warn_until_there_is_a_mail_server(
    web: WebClient, project: ProjectRef, make_app: MakeApp, path: str
) -> None:
    with_server = browser_for(make_app(**SMTP), make_member("eve@example.org"))

    warned = web.get(path).text

    assert WARNING in warned
    assert re.search(rf'href="{MAIL}"[^>]*>\s*What to do', warned)
    assert "TASKBADGER_" not in warned
    assert WARNING not in with_server.get(path).text


def test_page_of_a_monitor_that_mails_warns(
    web: WebClient, project: ProjectRef, make_app: MakeApp
) -> None:
    mailing = Watch(project).monitor
    silent = Watch(project, fields={"name": "silent", "action": []}).monitor
    with_server = browser_for(make_app(**SMTP), make_member("eve@example.org"))

    assert WARNING in web.get(f"/a/acme/monitors/{mailing.id}/").text
    assert WARNING not in web.get(f"/a/acme/monitors/{silent.id}/").text
    assert WARNING not in with_server.get(f"/a/acme/monitors/{mailing.id}/").text


def test_form_of_invitations_says_who_sends_the_link(web: WebClient, project: ProjectRef) -> None:
    page = web.get("/a/acme/settings/members/").text

    assert "No mail server is set up, so you send the link yourself." in page


@pytest.mark.parametrize(
    ("role", "is_told_how"), [("owner", True), ("admin", False), ("viewer", False)]
)
def test_only_owners_are_told_how_to_set_one_up(
    app: Flask, project: ProjectRef, role: str, *, is_told_how: bool
) -> None:
    page = browser_for(app, make_member("bo@example.org", role)).get(MAIL).text

    assert WARNING in page
    assert ("TASKBADGER_SMTP_URL" in page) is is_told_how
    assert ("Ask the operator of this server to set one up." in page) is not is_told_how


def test_page_says_that_e_mails_are_sent(make_app: MakeApp, project: ProjectRef) -> None:
    web = browser_for(make_app(**SMTP), make_member())
    complete = browser_for(
        make_app(**SMTP, BASE_URL="http://localhost"), make_member("eve@example.org")
    )

    page, good = words(web.get(MAIL).text), words(complete.get(MAIL).text)

    assert "E-mails are sent, as Badger <badger@example.com>." in good
    assert "invitations are not mailed" not in good
    assert "The server does not know its own address, so invitations are not mailed." in page
    assert "TASKBADGER_BASE_URL" in page
