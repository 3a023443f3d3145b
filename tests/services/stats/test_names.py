"""Statistics by name."""

from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from services.stats.counting import NOW, count, run

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.stats import names


def test_names_tell_how_often_how_well_and_how_long(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    for took in (1, 1, 1, 100):
        run(project, "import", took=took, status="success")
    run(project, "import", ago=86_400, took=1, status="error")
    run(other, "Mail", ago=5, took=1, status="cancelled")
    run(make_project("other", "web"), "foreign", status="success")
    count()

    with count_queries() as statements:
        found, more = names.list_names([project, other], now=NOW)

    assert len(statements) == 2
    assert not more
    assert [(one.project, one.name, one.count) for one in found] == [
        ("web", "import", 5),
        ("worker", "Mail", 1),
    ]
    imports, mails = found
    assert imports.outcomes == {"success": 4, "error": 1, "cancelled": 0, "stale": 0}
    assert (imports.success_rate, mails.success_rate) == (0.8, None)
    assert (imports.last, mails.last) == (NOW, NOW - timedelta(seconds=5))
    assert (imports.p50, imports.p95) == (
        pytest.approx(1, rel=0.05),
        pytest.approx(100, rel=0.05),
    )
    assert imports.trend == [0] * 12 + [1, 4]
    assert imports.failed == [0] * 12 + [1, 0]
    assert imports.p95_change is None
    assert sum(imports.histogram) == 5
    assert (mails.p50, mails.histogram) == (None, [0] * 8)


def test_p95_of_a_week_is_compared_with_the_week_before(project: ProjectRef) -> None:
    day = 86_400
    for ago, took in ((7, 10), (13, 10), (6, 30), (0, 30)):
        for _ in range(3):
            run(project, "import", ago=ago * day, took=took, status="success")
    count()

    [found], _ = names.list_names([project], now=NOW)

    assert found.trend == [3, *[0] * 5, 3, 3, *[0] * 5, 3]
    assert found.p95_change == pytest.approx(2, rel=0.1)


def test_names_are_searched_without_case_and_cut(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("import a", "Import b", "mail%"):
        run(project, name, status="success")
    count()

    def found(search: str) -> list[str]:
        return [one.name for one in names.list_names([project], now=NOW, search=search)[0]]

    assert sorted(found("IMPORT")) == ["Import b", "import a"]
    assert found("%") == ["mail%"]
    assert found("nothing") == []
    monkeypatch.setattr(names, "MAX_NAMES", 2)
    assert [len(found("")), names.list_names([project], now=NOW)[1]] == [2, True]


def test_one_name_is_found_by_project(project: ProjectRef) -> None:
    run(project, "import", status="success")
    count()

    found = names.find_name(project, "import", now=NOW)

    assert found is not None
    assert found.count == 1
    assert names.find_name(make_project("acme", "worker"), "import", now=NOW) is None


def test_neighbours_are_the_runs_of_the_same_name(project: ProjectRef) -> None:
    made = [run(project, "import", ago=ago) for ago in (30, 20, 10)]
    run(project, "other", ago=15)
    run(make_project("acme", "worker"), "import", ago=15)

    with count_queries() as statements:
        found = [names.neighbours(task) for task in made]

    assert found == [(None, made[1].id), (made[0].id, made[2].id), (made[1].id, None)]
    assert len(statements) == 3
