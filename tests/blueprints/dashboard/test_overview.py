"""The overview."""

import html
import re
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from blueprints.dashboard.doing import count_runs, make_task
from blueprints.dashboard.forms_read import HOSTILE, live
from conftest import count_queries, make_project
from flask import Flask
from people import WebClient, browser_for, make_member

from taskbadger.blueprints.dashboard import overview
from taskbadger.caches import TimedCache
from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, Monitor
from taskbadger.process import process_of
from taskbadger.services import outage
from taskbadger.services.stats.figures import Figures
from taskbadger.services.tasks import write

OVERVIEW = "/a/acme/"
pytestmark = pytest.mark.usefixtures("fresh_versions")
CI = Actor("key", "ci")


def figures(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>([^<]*)</dt><dd>(?:<a [^>]*>)?([^<]*)", page)
    return {label: value.strip() for label, value in found}


def test_overview_says_that_no_worker_runs(
    app: Flask, web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_of(app), "counts", TimedCache(0.0))
    make_task(project, "import")

    never = web.get(OVERVIEW)
    outage.tick(now=utcnow())
    db.session.commit()
    works, seen = web.get(OVERVIEW), web.get(OVERVIEW, headers={"X-Live": "1"})
    with time_machine.travel(utcnow() + timedelta(seconds=61)):
        silent = web.get(OVERVIEW)
        polled = web.get(OVERVIEW, headers={"X-Live": "1", "If-None-Match": seen.headers["ETag"]})

    assert "No background worker has run yet." in never.text
    assert "No background worker" not in works.text
    assert "No background worker has run since <time" in silent.text
    assert "No background worker has run since <time" in polled.text


def test_overview_shows_how_things_are(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "import", status="processing", value=40)
    make_task(project, "broken", ago=60, status="error")
    make_task(project, "lost", ago=70, status="stale")
    make_task(project, "fine", ago=80, status="success")
    make_task(make_project("other", "web"), "foreign", status="error")
    count_runs()

    page = web.get(OVERVIEW).text

    shown = figures(page)
    assert [shown[name] for name in ("Running now", "Failed in the last 24 h", "Stale")] == [
        "1",
        "1",
        "1",
    ]
    assert re.findall(r'data-key="(Running|Failed)-', page) == ["Running", "Failed"]
    assert '<progress value="40"' in page
    assert "foreign" not in page
    assert page.count("data-chart ") == 2


def test_long_job_that_failed_just_now_is_first_of_what_failed_last(
    web: WebClient, project: ProjectRef
) -> None:
    long = make_task(project, "long", ago=9000, status="processing")
    for number in range(8):
        make_task(project, f"short {number}", ago=60 + number, status="error")
    whole = live(web, OVERVIEW)
    write.update_task(project, long, {"status": "error"}, now=utcnow(), actor=CI)
    db.session.commit()

    page = live(web, OVERVIEW, etag=whole.headers["ETag"])

    assert 'id="failed"' in page.text
    names = re.findall(r"data-row-link\s+href=\"[^\"]*\">([^<]*)</a>", page.text)
    assert names == ["long", *(f"short {number}" for number in range(7))]


def test_recent_failures_say_why(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "broken", status="error", data='{"exception": "access denied for key 42"}')

    page = web.get(OVERVIEW).text

    assert re.findall(r'<small class="why[^>]*>([^<]*)<', page) == ["access denied for key 42"]


def test_running_tasks_show_how_long_they_usually_take(web: WebClient, project: ProjectRef) -> None:
    for _ in range(3):
        ended = make_task(project, "import", ago=230, status="processing")
        write.update_task(project, ended, {"status": "success"}, now=utcnow(), actor=CI)
    count_runs()
    make_task(project, "import", ago=70, status="processing")

    page = web.get(OVERVIEW).text

    assert re.search(
        r'data-since="[^"]*">1 min( \d+ s)?</span> <small [^>]*>usually 3\.[789] min<', page
    )


def test_number_of_failures_leads_to_what_failed_in_that_time(
    web: WebClient, project: ProjectRef
) -> None:
    retried = make_task(project, "retried", ago=90_000, status="processing")
    make_task(project, "yesterday", ago=100_000, status="error")
    for seconds in (300, 200, 100):
        at = utcnow() - timedelta(seconds=seconds)
        for status in ("error", "processing"):
            write.update_task(project, retried, {"status": status}, now=at, actor=CI)
    write.update_task(project, retried, {"status": "error"}, now=utcnow(), actor=CI)
    db.session.commit()
    count_runs()

    page = web.get(OVERVIEW).text

    [(link, number, before)] = re.findall(
        r'Failed in the last 24 h</dt><dd><a href="([^"]*)">(\d+)</a> <small>([^<]*)<', page
    )
    assert (number, before) == ("4", "1 the day before")
    assert link == "/a/acme/tasks/?q=status:error+ended:24h"
    found = re.findall(r"data-row-link\s+href=\"[^\"]*\">([^<]*)</a>", web.get(link).text)
    assert found == ["retried"]


@pytest.mark.parametrize(("span", "points"), [("1h", 60), ("24h", 24), ("7d", 28)])
def test_charts_have_their_numbers_in_a_table(
    web: WebClient, project: ProjectRef, span: str, points: int
) -> None:
    make_task(project, status="error")
    count_runs()

    page = web.get(OVERVIEW + f"?range={span}").text

    assert len(re.findall(r'<tr>\s*<th scope="row">', page)) == 2 * points
    assert f'range={span}#history" aria-current="page"' in page


def make_monitor(project: ProjectRef, name: str, *, failing: bool) -> None:
    now = utcnow()
    monitor = Monitor(
        id=uuid4(),
        project_id=project.id,
        name=name,
        type="cron",
        schedule="0 * * * *",
        expected_at=None if failing else now + timedelta(minutes=5),
        created=now,
        updated=now,
    )
    db.session.add(monitor)
    db.session.flush()
    if failing:
        db.session.add(
            Incident(
                organization_id=project.organization_id,
                project_id=project.id,
                monitor_id=monitor.id,
                opened_at=now,
                bad_slots=1,
                notified=True,
            )
        )
    db.session.commit()


def make_dead_delivery(project: ProjectRef, error: str, integration: str = "webhook:ops") -> None:
    now = utcnow()
    delivery = Delivery(
        id=ids.new_id(now),
        organization_id=project.organization_id,
        kind="task",
        integration=integration,
        config="{}",
        destination="ops",
        message="{}",
        state="dead",
        error=error,
        created=now,
        finished=now,
    )
    db.session.add(delivery)
    db.session.commit()


def test_monitors_and_lost_messages_are_shown(web: WebClient, project: ProjectRef) -> None:
    make_task(project)
    quiet = web.get(OVERVIEW).text
    make_monitor(project, "nightly" + HOSTILE, failing=True)
    make_monitor(project, "hourly", failing=False)
    make_dead_delivery(project, "answered 500" + HOSTILE)
    make_monitor(make_project("other", "web"), "foreign", failing=True)

    page = web.get(OVERVIEW).text

    assert [words in quiet for words in ("No runs are expected.", "Undelivered alerts</h2>")] == [
        True,
        False,
    ]
    shown = figures(page)
    assert (shown["Failing now"], shown["Undelivered alerts"]) == ("1", "1")
    assert "<title>(1) Overview" in page
    assert "answered 500" in page
    assert "hourly" in page
    assert "foreign" not in page
    assert "<script>alert" not in page


def causes(page: str) -> list[tuple[str, str, str]]:
    """Return why alerts were not delivered: the link to them, how many they are, and the error."""
    row = r'<strong>[^<]*</strong> <a href="([^"]*)">([^<]*)</a><div class="muted">([^<]*)<'
    return [(html.unescape(href), words, error) for href, words, error in re.findall(row, page)]


def test_undelivered_alerts_are_sent_again_by_cause(web: WebClient, project: ProjectRef) -> None:
    make_task(project)
    for error in ("answered 500", "answered 500", "answered 404"):
        make_dead_delivery(project, error, "email")

    page = web.get(OVERVIEW).text
    [fewer, more] = causes(page)
    answer = web.post(re.findall(r'formaction="([^"]*)"', page)[1], follow_redirects=True).text

    assert fewer[1:] == ("1 alert", "answered 404")
    assert more[1:] == ("2 alerts", "answered 500")
    assert (
        "Only what email did not get because of this error: answered 500" in web.get(more[0]).text
    )
    assert "2 deliveries queued for another attempt." in answer
    assert causes(answer) == [fewer]


def test_alerts_of_a_deleted_channel_cannot_be_sent_again(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project)
    make_dead_delivery(project, "answered 500")
    [link] = re.findall(r'formaction="([^"]*)"', web.get(OVERVIEW).text)

    page = web.post(link, follow_redirects=True).text

    assert "Its channel was deleted, so it can only be dismissed." in page
    assert "1 alert</a>" in page


def test_viewers_send_nothing_again(app: Flask, web: WebClient, project: ProjectRef) -> None:
    make_task(project)
    make_dead_delivery(project, "answered 500")
    viewer = browser_for(app, make_member("vi@example.org", "viewer"))

    page = viewer.get(OVERVIEW).text

    assert "1 alert</a>" in page
    assert "Send again" not in page


def test_name_is_failing_from_a_failed_run_until_one_succeeds(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "import" + HOSTILE, status="error")
    count_runs()
    page = web.get(OVERVIEW)
    tasks_page = web.get(OVERVIEW + "tasks/").text
    polled = live(web, OVERVIEW)

    make_task(project, "import" + HOSTILE, status="success")
    count_runs()
    process_of(app).counts.clear()
    healed = live(web, OVERVIEW, etag=polled.headers["ETag"]).text

    assert figures(page.text)["Failing now"] == "1"
    assert page.text.count('data-key="incident-') == 1
    assert "<title>(1) Overview" in page.text
    assert "<title>(1) Tasks" in tasks_page
    assert "<script>alert" not in page.text
    assert regions(healed) >= {"failing", "figures"}
    assert 'data-failing="0"' in healed
    assert 'data-key="incident-' not in healed


def test_open_page_learns_of_monitors_and_lost_messages(
    app: Flask, web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_of(app), "counts", TimedCache(0.0))
    make_task(project)
    etag = live(web, OVERVIEW).headers["ETag"]
    for make in (
        lambda: make_monitor(project, "nightly", failing=True),
        lambda: make_monitor(project, "hourly", failing=False),
        lambda: make_dead_delivery(project, "answered 500"),
    ):
        make()
        answer = live(web, OVERVIEW, etag=etag)
        assert answer.status_code == 200
        etag = answer.headers["ETag"]


def test_unknown_range_is_not_found(web: WebClient, project: ProjectRef) -> None:
    make_task(project)

    assert web.get(OVERVIEW + "?range=1y").status_code == 404


def test_charts_say_when_the_worker_is_behind(web: WebClient, project: ProjectRef) -> None:
    make_task(project, ago=120, status="success")
    words = "The charts end at"

    assert words in web.get(OVERVIEW).text
    count_runs()
    assert words not in web.get(OVERVIEW).text


def test_quiet_organization_reads_calmly(web: WebClient, project: ProjectRef) -> None:
    make_task(project)

    page = web.get(OVERVIEW).text

    assert "Nothing is running." in page
    assert "No failures." in page
    assert "Nothing finished in this period" in page


def test_hostile_names_are_escaped(web: WebClient, project: ProjectRef) -> None:
    make_task(project, HOSTILE, status="error")
    make_task(project, HOSTILE, status="processing")

    page = web.get(OVERVIEW).text

    assert "<script>alert" not in page
    assert "<img" not in page


def test_open_page_gets_304_after_one_look_up(web: WebClient, project: ProjectRef) -> None:
    make_task(project)
    etag = live(web, OVERVIEW).headers["ETag"]

    with count_queries() as statements:
        again = live(web, OVERVIEW, etag=etag)

    assert again.status_code == 304
    assert len([one for one in statements if "FROM task" in one]) == 1
    assert len(statements) == 3  # The visitor and the projects, beside it.


def regions(page: str) -> set[str]:
    """Return the ids of the parts that an answer holds."""
    return set(re.findall(r'id="([a-z]+)" data-live', page))


def test_open_page_gets_only_the_parts_that_changed(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    make_task(project)
    whole = live(web, OVERVIEW)
    before = live(web, OVERVIEW, etag=whole.headers["ETag"])
    make_task(project, "broken", status="error")

    after = live(web, OVERVIEW, etag=whole.headers["ETag"])

    assert before.status_code == 304
    assert regions(whole.text) >= {"failing", "figures", "running", "failed", "expected", "charts"}
    assert regions(after.text) == {"failed"}
    assert "broken" in after.text
    assert live(web, OVERVIEW, etag=after.headers["ETag"]).status_code == 304


@pytest.mark.parametrize("name", [field.name for field in fields(Figures)])
def test_open_page_gets_the_figures_again_when_any_of_them_changed(
    app: Flask, web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    figures = Figures(running=0, stale=0, failed=7, failed_before=0)
    monkeypatch.setattr(overview.task_stats, "read_figures", lambda *_, **__: figures)
    make_task(project)
    before = live(web, OVERVIEW)
    figures = replace(figures, **{name: 4711})
    process_of(app).pages.clear()
    process_of(app).counts.clear()
    make_task(project)

    after = live(web, OVERVIEW, etag=before.headers["ETag"]).text

    assert "figures" in regions(after)
    assert "4,711" in after


def test_open_page_names_the_projects_once_there_are_several(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "broken", status="error")
    before = live(web, OVERVIEW)
    make_task(make_project("acme", "second"))
    process_of(app).pages.clear()

    after = live(web, OVERVIEW, etag=before.headers["ETag"]).text

    assert "failed" in regions(after)
    assert f'<span class="muted">{project.slug}</span>' in after


def test_open_page_learns_of_a_failing_monitor_and_of_lost_messages(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    make_task(project)
    quiet = live(web, OVERVIEW)
    make_monitor(project, "nightly", failing=True)
    make_dead_delivery(project, "answered 500")
    process_of(app).counts.clear()

    page = live(web, OVERVIEW, etag=quiet.headers["ETag"]).text

    assert regions(page) == {"failing", "figures", "dead"}
    assert "nightly" in page
    assert "answered 500" in page
    assert 'data-failing="1"' in page
    assert 'data-failing="0"' in quiet.text


def test_open_page_learns_that_a_run_is_due(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    make_task(project)
    make_monitor(project, "hourly", failing=False)

    def ask(minutes: int, etag: str = "") -> Any:
        process_of(app).pages.clear()
        process_of(app).counts.clear()
        with time_machine.travel(begin + timedelta(minutes=minutes), tick=False):
            return live(web, OVERVIEW, etag=etag)

    begin = utcnow()
    etag = ask(1).headers["ETag"]

    assert "was due" not in ask(4).text
    page = ask(6, etag).text
    assert re.search(r"was due <time [^>]*>(1 min|59 s) ago", page)
    assert "expected" in regions(page)


def test_number_of_queries_does_not_grow_with_the_tasks(
    web: WebClient, project: ProjectRef
) -> None:
    numbers = []
    for tasks_made in (1, 5):
        for _ in range(tasks_made):
            make_task(project, status="processing")
            make_task(project, status="error")
        count_runs()
        with count_queries() as statements:
            web.get(OVERVIEW)
        numbers.append(len(statements))

    assert numbers[0] == numbers[1]
    assert numbers[0] <= 21


def test_overview_of_a_new_organization_shows_how_to_begin(
    web: WebClient, project: ProjectRef
) -> None:
    page = web.get(OVERVIEW).text

    assert "Send your first task" in page
    make_task(project)
    overview = web.get(OVERVIEW).text
    assert "Running now" in overview
    assert 'href="/a/acme/how-to/">How to send tasks' in overview
