"""Why tasks failed, for lists."""

from alerting import create
from conftest import count_queries
from services.failures.failing import fail

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.failures.lines import read_lines


def test_lines_of_many_tasks_take_one_statement(project: ProjectRef) -> None:
    ids = [fail(project, f"ValueError: no row {number}") for number in range(3)]
    silent, fine = fail(project, data=None), create(project)

    with count_queries() as statements:
        found = read_lines([*ids, silent, fine])

    assert found == {task_id: f"ValueError: no row {at}" for at, task_id in enumerate(ids)}
    assert len(statements) == 1


def test_nobody_is_asked_about_nothing(project: ProjectRef) -> None:
    with count_queries() as statements:
        assert read_lines([]) == {}

    assert statements == []
