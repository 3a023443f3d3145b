"""What surrounds the pages: the bar, and the count of what fails in title and icon."""

import re

from conftest import count_queries
from flask import Flask
from people import WebClient, browser_for, make_member
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db

HOME = "/a/acme/"
PAGES = (
    "tasks/",
    "names/",
    "monitors/",
    "monitors/new/",
    "alerts/",
    "alerts/new/",
    "alerts/channels/",
    "alerts/deliveries/",
    "settings/",
    "settings/keys/",
    "settings/members/",
    "settings/audit/",
    "settings/organization/",
    "tasks/missing/",
)


def make_failing(project: ProjectRef) -> None:
    Watch(project).run("12:00", "error")
    db.session.commit()


def test_every_page_with_a_bar_counts_what_fails_once(web: WebClient, project: ProjectRef) -> None:
    make_failing(project)

    for path in [*(HOME + page for page in PAGES), "/account?of=acme"]:
        with count_queries() as queries:
            page = web.get(path).text

        assert "<title>(1) " in page, path
        assert re.search(r'rel="icon"[^>]* href="[^"]*badge-failing', page), path
        assert 'data-failing="1"' in page, path
        assert '<nav class="sections"' in page, path
        counts = [one for one in queries if "count(" in one and "FROM incident" in one]
        assert len(counts) == 1, path


def test_account_has_the_bar_of_the_organization_that_one_came_from(app: Flask) -> None:
    for organization in ("acme", "other"):
        user = make_member(organization=organization)
    browser = browser_for(app, user)

    page = browser.get("/a/other/settings/").text
    link = re.search(r'href="(/account[^"]*)"', page)
    assert link is not None

    assert 'href="/a/other/tasks/"' in browser.get(link[1]).text
    assert 'href="/a/acme/tasks/"' in browser.get("/account?of=nobody").text


def test_account_of_a_user_of_no_organization_has_no_bar(app: Flask) -> None:
    browser = browser_for(app, make_member(role=None))

    page = browser.get("/account").text

    assert '<nav class="sections"' not in page
    assert "Sign out" in page


def test_problem_of_a_stranger_has_no_bar(app: Flask) -> None:
    make_member("grace@example.org", organization="other")
    browser = browser_for(app, make_member())

    for path in ("/a/other/tasks/", "/missing"):
        page = browser.get(path)
        assert (page.status_code, '<nav class="sections"' in page.text) == (404, False)
