"""Attempts of one run: only the last one counts."""

import pytest
from alerting import NOW, after, update
from conftest import count_queries, make_project
from services.incidents.happening import Seen, end, follow, incidents
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure
from taskbadger.services.stats import runs
from taskbadger.services.stats.rows import STATS, read_stats
from taskbadger.services.stats.runs import DAY
from taskbadger.services.tasks import write


def counts() -> list[tuple[str, int, int, int]]:
    """Name, successful and failed runs and retried attempts of each day."""
    rows = read_stats(STATS.c.seconds == DAY)
    return [(row.name, row.success, row.error + row.stale, row.retried) for row in rows]


def superseded() -> dict[str, str | None]:
    db.session.rollback()
    rows = db.session.execute(select(Failure.task_id, Failure.superseded_by))
    return {row.task_id: row.superseded_by for row in rows}


def test_failure_that_was_tried_again_is_no_failed_run(project: ProjectRef) -> None:
    first = end(project, external_id="a")
    second = end(project, external_id="a", minute=1)
    third = end(project, "success", 2, external_id="a")
    follow(2)

    assert incidents() == []
    assert superseded() == {first: second, second: third}
    assert counts() == [("job", 1, 0, 2)]


def test_failure_is_taken_back_when_the_next_attempt_is_made_later(project: ProjectRef) -> None:
    end(project, "stale", external_id="a")
    follow()
    assert (incidents(), counts()) == ([Seen("job", 0, None, 1)], [("job", 0, 1, 0)])

    end(project, "processing", 1, external_id="a")
    follow(1)

    assert (incidents(), counts()) == ([], [("job", 0, 0, 1)])


def test_incident_stays_open_for_its_other_runs(project: ProjectRef) -> None:
    end(project, external_id="a")
    end(project, external_id="b")
    follow()
    end(project, "pending", 1, external_id="a")
    follow(1)

    assert incidents() == [Seen("job", 0, None, 1)]


def test_last_attempt_that_fails_is_a_failed_run(project: ProjectRef) -> None:
    end(project, external_id="a")
    last = end(project, external_id="a", minute=1)
    follow(1)

    assert incidents() == [Seen("job", 1, None, 1)]
    assert superseded()[last] is None
    assert counts() == [("job", 0, 1, 1)]


def test_attempt_that_fails_after_the_next_one_was_made(project: ProjectRef) -> None:
    """The Celery integration makes the next task before it marks the last one as failed."""
    first = end(project, "processing", external_id="a")
    end(project, "pending", 1, external_id="a")
    follow(1)
    update(project, first, NOW, status="error")
    follow(2)

    assert incidents() == []


def test_other_names_projects_and_empty_external_ids_are_other_runs(
    project: ProjectRef,
) -> None:
    other_project = make_project(slug="other")
    end(project, external_id="a")
    end(project)
    end(project, external_id="a", name="other")
    end(other_project, external_id="a")
    end(project, minute=1)
    follow(1)

    assert set(superseded().values()) == {None}
    assert incidents() == [
        Seen("job", 0, None, 3),
        Seen("other", 0, None, 1),
        Seen("job", 0, None, 1),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_it_does_not_matter_where_the_history_is_cut(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(runs, "BATCH", size)
    end(project, external_id="a")
    end(project, external_id="a", minute=1)
    end(project, "stale", external_id="b", minute=1)
    end(project, external_id="a", minute=2)
    end(project, "success", 3, external_id="a", name="other")
    end(project, "processing", 3, external_id="b")
    end(project, "success", 4, external_id="a")
    follow(5)

    assert [one for one in incidents() if one.runs] == []
    assert sorted(counts()) == [("job", 1, 0, 4), ("other", 1, 0, 0)]


def test_news_of_a_failure_that_was_tried_again_are_those_of_the_last_attempt(
    project: ProjectRef,
) -> None:
    first = end(project, external_id="a", error="new")
    second = end(project, external_id="a", error="new", minute=1)
    third = end(project, external_id="a", error="new", minute=2)
    follow(2)

    rows = db.session.execute(select(Failure.task_id, Failure.news))
    assert {row.task_id: row.news for row in rows} == {first: "new", second: "", third: "new"}


def test_attempt_that_fails_again_is_taken_out_once(project: ProjectRef) -> None:
    first = end(project, "processing", external_id="a", stale_timeout=30)
    write.mark_stale(project, [first], now=after(minutes=1))
    db.session.commit()
    end(project, minute=1)
    follow(1)
    end(project, "pending", 2, external_id="a")
    follow(2)
    assert incidents() == [Seen("job", 1, None, 1)]

    update(project, first, after(minutes=3), status="error")
    follow(3)

    assert incidents() == [Seen("job", 1, None, 1)]


def test_cost_does_not_grow_with_the_runs_of_a_name(project: ProjectRef) -> None:
    for number in range(3):
        end(project, external_id=f"run {number}", minute=1)
    follow(1)
    counts_of_queries = []
    for many in (1, 5):
        for number in range(many):
            end(project, external_id=f"{many} {number}", minute=1)
        with count_queries() as statements:
            follow(1)
        counts_of_queries.append(len([one for one in statements if "task_event" not in one]))

    assert counts_of_queries[0] == counts_of_queries[1]


def test_name_whose_only_failure_was_tried_again_has_no_last_outcome(project: ProjectRef) -> None:
    end(project, external_id="a")
    follow()
    end(project, "processing", 1, external_id="a")
    follow(1)

    [row] = read_stats(STATS.c.seconds == DAY)
    assert (row.error, row.retried, row.last_outcome) == (0, 1, None)
