"""The list of monitors."""

import html
import re
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.doing import assert_same_queries, count_runs
from blueprints.dashboard.forms_read import live, rows, words
from blueprints.dashboard.monitors.pages import (
    MONITORS,
    page_of,
)
from conftest import make_project
from people import WebClient
from sqlalchemy import delete
from watching import ACTOR, Watch, at, sweep

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.tasks import write


def test_list_shows_health_words_slots_and_what_is_next(
    web: WebClient, project: ProjectRef
) -> None:
    watch = Watch(project, fields={"timezone": "Europe/Paris"})
    watch.run("12:00", "success")
    sweep("13:01:30")
    Watch(make_project("other", "web"), fields={"name": "foreign"})

    with time_machine.travel(at("13:30"), tick=False):
        page = web.get(MONITORS).text

    assert re.search(rf'data-row-link\s+href="{page_of(watch.monitor)}">nightly</a>', page)
    assert page.count("data-row-link") == 1
    strip, _, legend = page.partition('class="legend"')
    assert re.findall(r'href="#s-([a-z]+)"', strip) == ["ok", "missed", "waiting"]
    assert len(re.findall(r'href="#s-([a-z]+)"', legend)) == 9
    text = words(page)
    assert "At the start of every hour" in text
    assert "in 30 min" in text
    assert "2026-06-01 14:00:00 UTC" in text
    assert '<span class="there num">Mon 01 Jun 16:00 CEST</span>' in page
    assert "failing since" in text


def test_tab_of_failing_monitors_counts_what_it_lists(web: WebClient, project: ProjectRef) -> None:
    for number in range(3):
        Watch(project, fields={"name": f"m{number}"}).run("12:00", "error", name=f"job {number}")
    moment = utcnow()
    write.create_task(project, {"name": "j", "status": "error"}, now=moment, actor=ACTOR)
    db.session.commit()
    count_runs()

    def number(query: str = "") -> str:
        found = re.search(r">Failing(.*?)</a>", web.get(MONITORS + query).text, re.DOTALL)
        assert found is not None
        return words(found[1]).strip()

    assert "(4) " in web.get(MONITORS).text  # Three jobs of monitors, and a name without one.
    assert len(rows(web.get(f"{MONITORS}?state=failing").text)) == 3
    assert (number(), number("?state=failing")) == ("3", "3")
    assert (number("?project=web"), number("?q=m1")) == ("", "")


def test_list_is_narrowed_to_a_project_and_to_what_fails(
    web: WebClient, project: ProjectRef
) -> None:
    Watch(make_project("acme", "worker"), fields={"name": "fine"})
    failing = Watch(project, fields={"name": "broken"})
    failing.run("12:00", "error")

    def names(query: str) -> list[str]:
        return sorted(rows(web.get(MONITORS + query).text))

    assert names("") == ["broken", "fine"]
    assert names("?project=worker") == ["fine"]
    assert names("?state=failing") == ["broken"]
    assert names("?state=failing&project=worker") == []
    assert web.get(MONITORS + "?project=nope").status_code == 404


def test_empty_lists_say_what_to_do(web: WebClient, project: ProjectRef) -> None:
    assert "No monitors yet" in web.get(MONITORS).text
    assert "No monitor is failing" in web.get(MONITORS + "?state=failing").text


def test_list_takes_as_many_queries_for_50_monitors_as_for_one(
    web: WebClient, project: ProjectRef
) -> None:
    def make(number: int) -> None:
        watch = Watch(project)
        if not number:
            watch.run("12:00", "error")

    assert_same_queries(web, MONITORS, make, max_queries=10)


def test_list_goes_by_name_with_what_fails_on_top(web: WebClient, project: ProjectRef) -> None:
    for name in ("b", "Äa", "a", "C"):
        Watch(project, fields={"name": name})
    Watch(project, fields={"name": "z"}).run("12:00", "error")

    assert rows(web.get(MONITORS).text)[:4] == ["z", "a", "b", "C"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("BACK", ["nightly Backup"]), ("Ä", ["Ärger"]), ("%", ["100%"]), ("x", [])],
)
def test_list_is_searched_by_name(
    web: WebClient, project: ProjectRef, search: str, found: list[str]
) -> None:
    for name in ("nightly Backup", "Ärger", "100%"):
        Watch(project, fields={"name": name})

    page = web.get(MONITORS, query_string={"q": search}).text

    assert rows(page) == found
    assert ("No matching monitors" in page) == (found == [])
    assert "?q=" in page


def test_run_that_is_due_says_so(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 3600, "anchor": "end"})
    watch.run("12:00", "success")

    def shown(time: str) -> tuple[str, int]:
        with time_machine.travel(at(time), tick=False):
            page = web.get(MONITORS)
            detail = web.get(page_of(watch.monitor))
        return words(page.text), words(detail.text).count("was due")

    early, late = shown("12:59"), shown("13:00:30")

    assert ("2026-06-01 13:00:00 UTC" in early[0], "was due" in early[0], early[1]) == (
        True,
        False,
        0,
    )
    assert ("was due 30 s ago" in late[0], late[1]) == (True, 1)


@pytest.mark.usefixtures("fresh_versions")
def test_open_list_learns_that_a_run_is_due(web: WebClient, project: ProjectRef) -> None:
    Watch(project).run("12:00", "success")

    def ask(time: str, etag: str | None = None) -> Any:
        with time_machine.travel(at(time), tick=False):
            return live(web, MONITORS, etag)

    etag = ask("12:59").headers["ETag"]

    assert ask("12:59:30", etag).status_code == 304
    assert "was due" in ask("13:00:30", etag).text


def test_list_has_pages(web: WebClient, project: ProjectRef) -> None:
    for number in range(52):
        Watch(project, fields={"name": f"m{number}"})

    first = web.get(MONITORS).text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text

    assert first.count("data-row-link") == 50
    assert second.count("data-row-link") == 2
    assert 'rel="prev"' in second
    newer = html.unescape(re.findall(r'rel="prev" href="([^"]*)"', second)[0])
    assert rows(web.get(newer).text) == rows(first)
    assert web.get(MONITORS + "?cursor=bnxub3Bl").status_code == 404
    db.session.execute(delete(Monitor))
    db.session.commit()
    assert web.get(older).status_code == 404
