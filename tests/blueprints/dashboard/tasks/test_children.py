"""What tells children apart."""

from datetime import UTC, datetime

import pytest

from taskbadger.blueprints.dashboard.tasks.children import tell_apart
from taskbadger.blueprints.dashboard.tasks.rows import TaskRow

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def child(name: str, external_id: str = "", **tags: str) -> TaskRow:
    return TaskRow(
        id=name + external_id,
        project="web",
        name=name,
        queue="",
        status="pending",
        value=None,
        value_max=100,
        value_percent=None,
        tags=tags,
        external_id=external_id,
        created=NOON,
        updated=NOON,
        start_time=None,
        end_time=None,
        version=1,
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([child("part", "a", env="prod")], [({}, "")]),
        (
            [child("part", "a", env="prod", customer="1"), child("part", "b", env="prod")],
            [({"customer": "1"}, ""), ({}, "")],
        ),
        (
            [child("part", "a", env="prod"), child("part", "b", env="prod"), child("sum", "c")],
            [({"env": "prod"}, "a"), ({"env": "prod"}, "b"), ({}, "")],
        ),
    ],
)
def test_tags_that_differ_tell_children_apart_or_else_the_external_id(
    rows: list[TaskRow], expected: list[tuple[dict[str, str], str]]
) -> None:
    assert [(one.tags, one.external_id) for one in tell_apart(rows)] == expected
