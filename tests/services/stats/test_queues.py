"""Queues: which there are, what waits in each, and where it is going."""

from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from services.stats.counting import NOW, count
from services.stats.queueing import queued

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.queues import Trend
from taskbadger.extensions import db
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.stats import queues
from taskbadger.services.stats.queues import Queue

RATES_SINCE = NOW.replace(hour=11, minute=0, second=0)
TREND_SINCE = NOW.replace(hour=11, minute=45, second=0)


def names(projects: list[ProjectRef], limit: int = 100) -> list[tuple[str, str]]:
    found, _ = queues.list_queues(projects, limit, now=NOW)
    return [(queue.project, queue.name) for queue in found]


def test_queue_is_described_whole(project: ProjectRef) -> None:
    queued(project, ago=1200)
    queued(project, ago=600, started=500, ended=100)
    queued(project, ago=300, started=200)
    queued(project, ago=3000, started=2990, ended=2900)
    for _ in range(6):
        queued(project, ago=120)
    count()

    [found], more = queues.list_queues([project], 10, now=NOW)

    assert not more
    assert found == Queue(
        project="web",
        name="mail",
        pending=7,
        running=1,
        oldest_pending=NOW - timedelta(seconds=1200),
        wait_p95=pytest.approx(100, rel=0.05),
        finished=2,
        arrived=8,
        departed=2,
        trend=Trend.GROWING,
        time_to_empty=None,
        backlog=[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 7, 7],
        rates_since=RATES_SINCE,
        trend_since=TREND_SINCE,
        finished_per_minute=pytest.approx(2 / 60.5),
    )


def test_queues_are_those_with_open_tasks_and_those_of_the_last_day(project: ProjectRef) -> None:
    other, foreign = make_project("acme", "worker"), make_project("other", "web")
    queued(project, "waiting", ago=10)
    queued(project, "", ago=10)
    queued(project, "long ago", ago=200_000)
    queued(project, "quiet", ago=70_000, started=69_999, ended=69_998)
    queued(other, "waiting", ago=10)
    queued(foreign, "foreign", ago=10)
    count()
    queued(project, "not counted yet", ago=0)
    queued(project, "done before it was counted", ago=2, started=1, ended=0)

    assert names([project, other]) == [
        ("web", ""),
        ("web", "long ago"),
        ("web", "not counted yet"),
        ("web", "quiet"),
        ("web", "waiting"),
        ("worker", "waiting"),
    ]
    assert names([]) == []
    assert names([project], 2) == [("web", ""), ("web", "long ago")]


def test_what_has_moved_on_is_not_counted_as_open(project: ProjectRef) -> None:
    for status in ("success", "error", "cancelled", "stale", "processing", "post_processing"):
        queued(project, ago=10, ended=5, status=status)

    [found], _ = queues.list_queues([project], 10, now=NOW)

    assert (found.pending, found.running, found.oldest_pending) == (0, 2, None)
    assert (found.trend, found.wait_p95) == (Trend.EMPTY, None)


def test_numbers_of_tasks_stop_at_the_cap(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "COUNT_CAP", 2)
    for _ in range(3):
        queued(project, ago=10)
        queued(project, ago=10, started=5)

    [found], _ = queues.list_queues([project], 10, now=NOW)

    assert (found.pending, found.running) == (2, 2)


def test_stuck_queue_says_so_though_nothing_arrives(project: ProjectRef) -> None:
    queued(project, ago=1300)
    count()

    [found], _ = queues.list_queues([project], 10, now=NOW)

    assert (found.trend, found.arrived, found.departed) == (Trend.STUCK, 0, 0)


def test_shrinking_queue_says_when_it_will_be_empty(project: ProjectRef) -> None:
    for _ in range(10):
        queued(project, ago=2000, started=60)
    for _ in range(5):
        queued(project, ago=1900)
    count()

    [found], _ = queues.list_queues([project], 10, now=NOW)

    assert found.trend == Trend.SHRINKING
    assert found.time_to_empty == (NOW - TREND_SINCE) / 2


NAMES = ["", "Ärger", "a|b", "beta", "x" * 255, "y" * 254 + "💥"]


def test_pages_visit_each_queue_once_in_both_directions(project: ProjectRef) -> None:
    for number, name in enumerate(NAMES):
        queued(project, name, ago=10, ended=5 if number % 2 else None)
    count()

    forward, cursor = [], None
    for _ in range(3):
        page = queues.page_queues(project, cursor, 2, now=NOW)
        forward += [queue.name for queue in page.rows]
        cursor = page.next
    assert cursor is None
    assert sorted(forward) == sorted(NAMES)
    back = queues.page_queues(project, page.previous, 2, now=NOW)
    assert [queue.name for queue in back.rows] == forward[2:4]
    first = queues.page_queues(project, back.previous, 2, now=NOW)
    assert ([queue.name for queue in first.rows], first.previous) == (forward[:2], None)


@pytest.mark.parametrize("key", ["*", "_w==", "AA=="])
def test_cursor_that_names_no_queue_is_refused(project: ProjectRef, key: str) -> None:
    with pytest.raises(InvalidCursor):
        queues.page_queues(project, Cursor((key,)), 2, now=NOW)


@pytest.mark.parametrize("number", [1, 60])
def test_any_number_of_queues_takes_two_statements(project: ProjectRef, number: int) -> None:
    others = [make_project("acme", f"p{place}") for place in range(number)]
    for place, other in enumerate(others):
        queued(other, f"q{place}", ago=10)
    count()

    with count_queries() as statements:
        found, more = queues.list_queues(others, 100, now=NOW)

    assert (len(found), more, len(statements)) == (number, False, 2)


# PostgreSQL chooses by the number of tasks: of so few, it may read some in another way.
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
def test_open_tasks_are_counted_from_their_index_alone(project: ProjectRef) -> None:
    for place in range(30):
        queued(project, f"q{place % 3}", ago=10, ended=None if place % 10 == 0 else 5)
    statement = queues._statement([project], queues.FROM_START, 10)

    compiled = statement.compile(db.engine, compile_kwargs={"render_postcompile": True})
    plan = f"EXPLAIN QUERY PLAN {compiled}"
    rows = db.session.connection().exec_driver_sql(plan, _values(compiled)).all()
    steps = [row[-1] for row in rows if " task " in f"{row[-1]} "]

    assert len(steps) == 5
    assert [step for step in steps if "ix_task_project_id_queue_status_id" not in step] == []


def _values(compiled: object) -> object:
    params = compiled.construct_params()  # type: ignore[attr-defined]
    processors = compiled._bind_processors  # type: ignore[attr-defined]
    made = {
        name: processors[name](value) if name in processors else value
        for name, value in params.items()
    }
    order = compiled.positiontup  # type: ignore[attr-defined]
    return tuple(made[name] for name in order) if order else made
