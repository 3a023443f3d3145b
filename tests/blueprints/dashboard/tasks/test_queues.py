"""The page of queues."""

import html
import re
from datetime import timedelta

import pytest
from blueprints.dashboard.doing import count_runs
from blueprints.dashboard.forms_read import HOSTILE, live
from conftest import count_queries, make_project
from markupsafe import escape
from people import WebClient

from taskbadger.blueprints.dashboard.tasks import queues as page_of_queues
from taskbadger.blueprints.dashboard.tasks.queues import throughput, verdict, why
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.queues import Queue, Trend
from taskbadger.extensions import db
from taskbadger.process import process_of
from taskbadger.services.stats import queues as service
from taskbadger.services.tasks import write

QUEUES = "/a/acme/queues/"
NOW = utcnow()


def put(project: ProjectRef, queue: str, *, ago: float = 0, status: str = "") -> None:
    """Put a task into a queue, and let it enter *status* now."""
    actor, now = Actor("key", "ci"), utcnow()
    created = now - timedelta(seconds=ago)
    task = write.create_task(project, {"name": "job", "queue": queue}, now=created, actor=actor)
    if status:
        write.update_task(project, task.id, {"status": status}, now=now, actor=actor)
    db.session.commit()


def queue(name: str = "mail", trend: Trend = Trend.GROWING, **fields: object) -> Queue:
    """Return a queue as the service describes it."""
    described: dict[str, object] = {
        "project": "web",
        "pending": 1200,
        "running": 3,
        "oldest_pending": NOW,
        "wait_p95": 1.5,
        "finished": 300,
        "arrived": 1500,
        "departed": 300,
        "time_to_empty": None,
        "backlog": [0, 1200],
        "rates_since": NOW,
        "trend_since": NOW,
        "finished_per_minute": 5.0,
    }
    return Queue(name=name, trend=trend, **{**described, **fields})  # type: ignore[arg-type]


def cells(page: str) -> list[list[str]]:
    """Return the text of each cell of each row."""
    rows = re.findall(r"<tr data-row.*?</tr>", page, re.DOTALL)
    found = [re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row] for row in found]


def test_queues_are_listed_with_the_most_urgent_first(web: WebClient, project: ProjectRef) -> None:
    for _ in range(2):
        put(project, "idle", ago=20, status="success")
    put(project, "", ago=30)
    put(project, "mail", ago=1300)
    put(project, "mail", ago=1300)
    put(make_project("other", "web"), "foreign", ago=20)
    count_runs()

    page = web.get(QUEUES).text

    waited = "≈ 20 s"
    assert [row[:6] for row in cells(page)] == [
        ["mail", "not moving nothing left it", "2", "21 min ago", "0", "–"],
        ["(no queue)", "keeping up 1 arrived, 0 left", "1", "30 s ago", "0", "–"],
        ["idle", "nothing waiting 2 arrived, 2 left", "0", "–", "0", cells(page)[2][5]],
    ]
    assert cells(page)[2][5] in (waited, "≈ 21 s", "≈ 19 s")
    assert "“mail” is not moving." in page


def test_numbers_lead_to_the_tasks_that_they_count(web: WebClient, project: ProjectRef) -> None:
    put(project, "")
    put(project, "night, mail", status="processing")
    put(project, "night, mail")

    page = web.get(QUEUES).text
    links = re.findall(r'<td[^>]*><a[^>]*href="([^"]*)"', page)

    counts = []
    for href in map(html.unescape, links):
        listed = web.get(href)
        assert listed.status_code == 200, href
        assert 'role="alert"' not in listed.text
        counts.append(len(re.findall("<tr data-row", listed.text)))
    # For each queue: all of its tasks, those that wait, those that run.
    assert counts == [1, 1, 0, 2, 1, 1]


def test_empty_page_says_what_a_queue_is(web: WebClient, project: ProjectRef) -> None:
    page = web.get(QUEUES).text

    assert "No queues yet" in page
    assert "backing up" not in page


def test_one_project_is_chosen_and_an_unknown_one_not_found(
    web: WebClient, project: ProjectRef
) -> None:
    put(project, "mail")
    put(make_project("acme", "worker"), "mail")

    assert [row[:2] for row in cells(web.get(QUEUES).text)] == [["mail", "web"], ["mail", "worker"]]
    assert [row[0] for row in cells(web.get(QUEUES + "?project=web").text)] == ["mail"]
    assert web.get(QUEUES + "?project=nowhere").status_code == 404


def test_name_of_a_queue_is_text(web: WebClient, project: ProjectRef) -> None:
    put(project, HOSTILE)
    put(project, "\u200b")

    page = web.get(QUEUES).text

    assert HOSTILE not in page
    assert str(escape(HOSTILE)) in page
    assert "(invisible: U+200B)" in page


@pytest.mark.parametrize(
    ("queues", "answer"),
    [
        ([], []),
        ([queue(trend=Trend.STEADY)], [("ok", "No queue is backing up.")]),
        ([queue()], [("bad", "“mail” is backing up.")]),
        (
            [queue("a"), queue("", Trend.STUCK), queue("b")],
            [("bad", "(no queue) is not moving."), ("bad", "2 queues (“a”, “b”) are backing up.")],
        ),
        (
            [queue(name) for name in "abcdefg"],
            [("bad", "7 queues (“a”, “b”, “c”, “d”, “e” and 2 more) are backing up.")],
        ),
    ],
)
def test_verdict_answers_in_a_sentence(queues: list[Queue], answer: list[tuple[str, str]]) -> None:
    found = verdict(queues, many_projects=False)

    assert [(each.tone, each.text) for each in found] == answer


def test_verdict_is_about_the_queues_shown_where_there_are_more() -> None:
    calm = [queue("a", Trend.STEADY), queue("b", Trend.STEADY)]

    [found] = verdict(calm, many_projects=False, more=True)

    assert (found.tone, found.text) == ("warn", "None of the 2 queues shown is backing up.")


def test_verdict_names_the_project_where_there_are_several() -> None:
    [found] = verdict([queue()], many_projects=True)

    assert found.text == "“mail” in web is backing up."


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "1,500 arrived, 300 left"),
        ({"trend": Trend.STUCK}, "nothing left it"),
        ({"trend": Trend.EMPTY, "arrived": 0, "departed": 0}, "nothing arrived"),
        (
            {"trend": Trend.SHRINKING, "time_to_empty": timedelta(minutes=20)},
            "1,500 arrived, 300 left; empty in ≈ 20 min",
        ),
    ],
)
def test_trend_says_what_it_is_read_from(fields: dict[str, object], words: str) -> None:
    assert why(queue(**fields)) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("per_minute", "words"), [(0.0, "–"), (0.5, "30/h"), (1.0, "1/min"), (2400.0, "2,400/min")]
)
def test_throughput_is_by_the_minute_or_the_hour(per_minute: float, words: str) -> None:
    finished = round(per_minute * 60)

    assert throughput(queue(finished=finished, finished_per_minute=per_minute)) == words


def test_counts_at_the_cap_are_lower_bounds(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (service, page_of_queues):
        monkeypatch.setattr(module, "COUNT_CAP", 2)
    for _ in range(3):
        put(project, "mail")
    put(project, "mail", status="processing")

    [row] = cells(web.get(QUEUES).text)

    assert (row[2], row[4]) == ("2+", "1")


@pytest.mark.parametrize("number", [1, 50])
def test_statements_do_not_grow_with_the_queues(
    web: WebClient, project: ProjectRef, number: int
) -> None:
    for place in range(number):
        put(project, f"q{place}")
    db.session.rollback()

    with count_queries() as statements:
        assert len(cells(web.get(QUEUES).text)) == number

    assert len(statements) == 10


def test_open_page_is_told_of_a_new_queue(web: WebClient, project: ProjectRef) -> None:
    put(project, "mail")
    before = live(web, QUEUES)

    put(project, "import")
    process_of(web.client.application).forget()

    assert live(web, QUEUES, etag=before.headers["ETag"]).status_code == 200


def test_page_says_when_the_counts_lag_behind(web: WebClient, project: ProjectRef) -> None:
    put(project, "mail", ago=1300)
    lagging = web.get(QUEUES).text
    count_runs()
    counted = web.get(QUEUES).text

    words = "Is the background worker running?"
    assert (words in lagging, words in counted) == (True, False)
