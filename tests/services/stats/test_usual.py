"""How long tasks of a name usually run."""

import pytest
from conftest import count_queries, make_project
from services.stats.counting import NOW, count, run

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.stats.usual import usual_run_times

DAY = 86_400


def test_usual_run_time_is_the_median_of_the_last_days(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    for ago, took in ((0, 10), (0, 12), (3 * DAY, 300), (3 * DAY, 14), (20 * DAY, 9000)):
        run(project, "import", ago=ago, took=took, status="success")
    for took in (500, 600, 700):
        run(other, "import", took=took, status="success")
    count()
    wanted = {(project.id, "import"), (other.id, "import"), (project.id, "unknown")}

    with count_queries() as statements:
        found = usual_run_times(wanted, now=NOW)

    assert found == {
        (project.id, "import"): pytest.approx(12, rel=0.05),
        (other.id, "import"): pytest.approx(600, rel=0.05),
    }
    assert len(statements) == 1


def test_nothing_is_usual_after_two_runs(project: ProjectRef) -> None:
    for _ in range(2):
        run(project, "import", took=10, status="success")
    run(project, "import", took=10, status="cancelled")
    count()

    assert usual_run_times({(project.id, "import")}, now=NOW) == {}


def test_nobody_is_asked_about_nothing(project: ProjectRef) -> None:
    with count_queries() as statements:
        assert usual_run_times(set(), now=NOW) == {}

    assert statements == []
