"""Days and values of ``data`` in the search of the task list."""

import html
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from blueprints.dashboard.forms_read import live
from conftest import count_queries
from people import WebClient
from services.tasks.searching import make_task

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.process import process_of
from taskbadger.services.tasks import write

LIST = "/a/acme/tasks/"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def listed(web: WebClient, search: str) -> list[str]:
    page = web.get(LIST, query_string={"q": search}).text
    return re.findall(r'data-row-link\s+href="[^"]*">([^<]*)</a>', page)


def put(project: ProjectRef, name: str, at: str) -> None:
    now = datetime.fromisoformat(f"2026-11-{at}:00+00:00")
    write.create_task(project, {"name": name}, now=now, actor=Actor("key", "ci"))
    db.session.commit()


def test_failed_import_of_a_customer_is_found(web: WebClient, project: ProjectRef) -> None:
    for name, status, customer in (
        ("import a", "error", 42),
        ("import b", "error", 43),
        ("import c", "success", 42),
        ("export d", "error", 42),
    ):
        data = json.dumps({"customer": customer})
        make_task(project, name, status=status, data=data)

    assert listed(web, "import status:error data.customer:42") == ["import a"]


def test_days_are_those_of_the_visitor(web: WebClient, project: ProjectRef) -> None:
    put(project, "late on Saturday", "21T23:30")
    put(project, "Sunday", "22T12:00")
    put(project, "late on Sunday", "22T23:30")
    put(project, "Monday", "23T11:00")

    with time_machine.travel(NOON, tick=False):
        in_utc = listed(web, "yesterday"), listed(web, "today")
        web.client.set_cookie("own_zone", "Europe/Berlin")
        in_berlin = listed(web, "yesterday"), listed(web, "today"), listed(web, "after:today")
        page = html.unescape(web.get(f"{LIST}?q=yesterday").text)
        web.client.set_cookie("zone", "utc")
        again_in_utc = listed(web, "yesterday"), listed(web, "today")

    assert in_utc == (["late on Sunday", "Sunday"], ["Monday"])
    monday = ["Monday", "late on Sunday"]
    assert in_berlin == (["Sunday", "late on Saturday"], monday, monday)
    assert again_in_utc == in_utc
    assert "“yesterday” is 2026-11-22 (Europe/Berlin), by the time of creation." in page


@pytest.mark.parametrize("zone", ["Nowhere/Else", "../../etc/passwd", "x" * 500, ""])
def test_unknown_zone_is_utc(web: WebClient, project: ProjectRef, zone: str) -> None:
    web.client.set_cookie("own_zone", zone)

    assert "(UTC), by the time of creation." in web.get(f"{LIST}?q=today").text


@pytest.mark.parametrize(("search", "shown"), [("today", (False, True)), ("-today", (True, False))])
def test_open_pages_in_different_zones_share_no_rows(
    web: WebClient, project: ProjectRef, search: str, shown: tuple[bool, bool]
) -> None:
    put(project, "late on Sunday", "22T23:30")
    path = f"{LIST}?q={search}"

    with time_machine.travel(NOON, tick=False):
        in_utc = live(web, path).text
        web.client.set_cookie("own_zone", "Europe/Berlin")
        in_berlin = live(web, path).text

    assert ("late on Sunday" in in_utc, "late on Sunday" in in_berlin) == shown


def test_open_page_moves_on_to_the_next_day(web: WebClient, project: ProjectRef) -> None:
    path = f"{LIST}?q=today"
    put(project, "Monday", "23T11:00")
    with time_machine.travel(NOON, tick=False):
        etag = live(web, path).headers["ETag"]
    with time_machine.travel(NOON + timedelta(days=1), tick=False):
        process_of(web.client.application).forget()
        later = live(web, path, etag)

    assert later.status_code == 200
    assert "Monday" not in later.text


def test_hint_says_how_an_equation_was_read(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "tagged", tags={"customer": "42"})
    make_task(project, "customer=42")

    page = html.unescape(web.get(f"{LIST}?q=customer=42").text)

    assert listed(web, "customer=42") == ["tagged"]
    assert listed(web, '"customer=42"') == ["customer=42"]
    assert (
        "“customer=42” is read as tag:customer:42. In data, it is found by data.customer:42" in page
    )


def test_wrong_key_is_a_clear_message(web: WebClient, project: ProjectRef) -> None:
    page = html.unescape(web.get(f"{LIST}?q=data.a.b.c:1").text)

    assert "Use data.key:value, or data.key.key:value for one level below" in page
    assert listed(web, "data.a.b.c:1") == []


def test_too_many_values_in_data_are_a_clear_message_and_nothing_is_read(
    web: WebClient, project: ProjectRef
) -> None:
    data = json.dumps(dict.fromkeys("abcd", 1))
    make_task(project, "import", data=data)
    three, four = (" ".join(f"data.{key}:1" for key in keys) for keys in ("abc", "abcd"))

    with count_queries() as reading:
        assert listed(web, three) == ["import"]
    with count_queries() as refusing:
        page = html.unescape(web.get(LIST, query_string={"q": four}).text)

    assert "A search can look for at most 3 values in data." in page
    assert listed(web, four) == []
    read = [any(".data" in statement for statement in sent) for sent in (reading, refusing)]
    assert read == [True, False]
