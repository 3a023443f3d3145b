"""The API's list of tasks: reading its query parameters, and walking its pages."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from conftest import count_queries, make_project
from services.tasks.searching import NOW, make_task

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.services.pagination import Cursor, InvalidCursor, Page
from taskbadger.services.tasks import reads
from taskbadger.services.tasks.filters import NO_FILTERS, Filters
from taskbadger.services.tasks.lists import list_tasks, read_filters

ID = "AZqw7RwrcgChnTj1iQq1vA"
MONITOR = UUID("0192f3c4-0000-7000-8000-000000000001")


def names(page: Page) -> list[str]:
    return [row.name for row in page.rows]


def errors(parameters: Mapping[str, Sequence[str]]) -> list[FieldError]:
    with pytest.raises(ValidationFailed) as caught:
        read_filters(parameters)
    return list(caught.value.errors)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, Filters()),
        ({"unknown": ["x"], "page_size": ["3"]}, Filters()),
        ({"name": ["a"]}, Filters(name=("a",))),
        ({"name": ["a, b", "c"]}, Filters(name=("a", "b", "c"))),
        ({"queue": [""]}, Filters(queue=("",))),
        ({"external_id": ["x,y"]}, Filters(external_id=("x", "y"))),
        ({"status": ["error,stale"]}, Filters(status=("error", "stale"))),
        ({"parent": [ID]}, Filters(parent=(ID,))),
        ({"monitor": [str(MONITOR)]}, Filters(monitor=(MONITOR,))),
        ({"tag": ["a:b", "c:d,e:f"]}, Filters(tags=(("a", "b"), ("c", "d,e:f")))),
        ({"tag": [" a: b"]}, Filters(tags=((" a", " b"),))),
        ({"tag": [r"a\:b:c", r"a\:b:c"]}, Filters(tags=(("a:b", "c"),))),
        ({"name": [r"a\, b, c", "c"]}, Filters(name=("a, b", "c"))),
        ({"queue": [r"a\:b\\,\c"]}, Filters(queue=("a:b\\", r"\c"))),
        ({"search": [r"a\,b\\"]}, Filters(search=r"a\,b\\")),
        ({"tag": ["a:b"] * 490}, Filters(tags=(("a", "b"),))),
        ({"status": ["error," * 60 + "error"] * 2}, Filters(status=("error",))),
        ({"search": ["first", "Last, one"]}, Filters(search="Last, one")),
        (
            {"created_after": ["2026-01-01T00:00:00Z"], "updated_before": ["2026-01-02T00:00Z"]},
            Filters(
                moments={
                    "created_after": datetime(2026, 1, 1, tzinfo=UTC),
                    "updated_before": datetime(2026, 1, 2, tzinfo=UTC),
                }
            ),
        ),
        (
            {"created_after": ["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+01:00"]},
            Filters(moments={"created_after": datetime(2026, 1, 1, 1, tzinfo=UTC)}),
        ),
    ],
)
def test_parameters_are_read_as_filters(
    parameters: Mapping[str, Sequence[str]], expected: Filters
) -> None:
    assert read_filters(parameters) == expected


def test_no_parameters_are_no_filters() -> None:
    assert read_filters({}) is NO_FILTERS


@pytest.mark.parametrize(
    ("name", "text", "code", "detail"),
    [
        ("status", "done", "invalid_choice", '"done" is not a valid choice.'),
        ("parent", "x", "invalid", "“x” is not a valid task ID."),
        ("monitor", "x", "invalid", "“x” is not a valid UUID."),
        ("tag", "a", "invalid", "Use name:value."),
        ("tag", ":b", "invalid", "Use name:value."),
        ("tag", "a:", "invalid", "Use name:value."),
        ("created_after", "soon", "invalid", "Datetime has wrong format. Use ISO 8601."),
        ("updated_before", "", "invalid", "Datetime has wrong format. Use ISO 8601."),
        ("name", "a\x00", "invalid", "Null characters are not allowed."),
        ("search", "\x00", "invalid", "Null characters are not allowed."),
    ],
)
def test_bad_value_is_named(name: str, text: str, code: str, detail: str) -> None:
    assert errors({name: [text]}) == [FieldError(code, detail, name)]


def several(count: int, start: int = 0) -> list[str]:
    return [f"x{number}" for number in range(start, start + count)]


def test_number_of_values_is_limited() -> None:
    fifty = {"name": [",".join(several(50))], "queue": several(50)}
    too_many = [
        {"name": [",".join(several(30)), ",".join(several(30, 25))]},
        {"tag": [f"{name}:y" for name in several(51)]},
        {**fifty, "external_id": ["x"]},
    ]
    filter_limit = "Ensure this filter has no more than 50 different values."
    limit = "Ensure that all filters together have no more than 100 values."

    assert read_filters(fifty) == Filters(name=tuple(several(50)), queue=tuple(several(50)))
    assert [errors(parameters) for parameters in too_many] == [
        [FieldError("max_length", filter_limit, "name")],
        [FieldError("max_length", filter_limit, "tag")],
        [FieldError("max_length", limit, "external_id")],
    ]


def test_three_values_in_data_are_looked_for_at_most() -> None:
    detail = "Ensure this filter has no more than 3 different values."

    assert len(read_filters({"data": ["a:1", "b:2", "c:3", "a:1"]}).data) == 3
    assert errors({"data": ["a:1", "b:2", "c:3", "a:4"]}) == [
        FieldError("max_length", detail, "data")
    ]


def test_plus_that_became_a_space_gets_a_hint() -> None:
    plain = "Datetime has wrong format. Use ISO 8601."
    hint = f"{plain} In a URL, write %2B for +, which stands for a space there."
    texts = {
        "2026-01-01T00:00:00 02:00": hint,
        "2026-01-01 00:00:00.5 0530": hint,
        "2026-01-01T00:00 02 ": hint,
        "2026-13-01 00:00": plain,
        "2026-01-01T00:00:00 UTC": plain,
    }

    assert {text: errors({"created_after": [text]})[0].detail for text in texts} == texts


def test_every_bad_value_is_named_at_once() -> None:
    found = errors({"status": ["a,error,b"], "tag": ["x"], "name": ["fine"]})

    assert [(error.attr, error.detail) for error in found] == [
        ("status", '"a" is not a valid choice.'),
        ("status", '"b" is not a valid choice.'),
        ("tag", "Use name:value."),
    ]


def test_project_lists_its_own_tasks_newest_first(many: list[ProjectRef]) -> None:
    page = list_tasks(many[0], NO_FILTERS, None, 100)

    assert names(page) == ["a import", "c Export", "d import", "g import"]
    assert (page.next, page.previous) == (None, None)


def test_listed_task_is_what_reading_it_gives(project: ProjectRef) -> None:
    task = make_task(project, "job", status="processing", value=3, data="[1]", tags={"a": "b"})

    [row] = list_tasks(project, NO_FILTERS, None, 100).rows

    assert tuple(row) == tuple(reads.get_wire_task(project, task.id))


@pytest.mark.parametrize("filters", [NO_FILTERS, Filters(name=("a", "b", "c", "d", "e"))])
def test_pages_lead_down_and_up_again(project: ProjectRef, filters: Filters) -> None:
    for ago, name in enumerate("abcde"):
        make_task(project, name, ago=ago)

    first = list_tasks(project, filters, None, 2)
    second = list_tasks(project, filters, first.next, 2)
    third = list_tasks(project, filters, second.next, 2)
    back = list_tasks(project, filters, third.previous, 2)
    top = list_tasks(project, filters, back.previous, 2)

    pages = (first, second, third, back, top)
    assert [names(page) for page in pages] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
        ["c", "d"],
        ["a", "b"],
    ]
    assert [page.next is None for page in pages] == [False, False, True, False, False]
    assert [page.previous is None for page in pages] == [True, False, False, False, True]


def test_tasks_of_the_same_moment_are_listed_once_each(project: ProjectRef) -> None:
    made = {make_task(project).id for _ in range(5)}

    found: list[str] = []
    cursor = None
    while True:
        page = list_tasks(project, NO_FILTERS, cursor, 2)
        found += [row.id for row in page.rows]
        cursor = page.next
        if cursor is None:
            break

    assert found == sorted(made, key=ids.to_uuid, reverse=True)


def test_task_that_is_created_meanwhile_moves_no_page(project: ProjectRef) -> None:
    for ago, name in enumerate("abc", start=1):
        make_task(project, name, ago=ago)
    first = list_tasks(project, NO_FILTERS, None, 2)
    make_task(project, "new")

    second = list_tasks(project, NO_FILTERS, first.next, 2)

    assert (names(first), names(second)) == (["a", "b"], ["c"])


@pytest.mark.parametrize("key", ["x", to_wire(NOW), "7"])
def test_cursor_of_another_list_is_refused(project: ProjectRef, key: str) -> None:
    for filters in (NO_FILTERS, Filters(queue=("high",))):
        with pytest.raises(InvalidCursor):
            list_tasks(project, filters, Cursor((key,)), 2)


def test_cursor_of_a_task_that_is_gone_still_works(project: ProjectRef) -> None:
    make_task(project, "old", ago=60)
    between = Cursor((ids.first_id(NOW),))

    assert names(list_tasks(project, NO_FILTERS, between, 2)) == ["old"]


def test_page_is_one_query_however_long_it_is(project: ProjectRef) -> None:
    other = make_project("acme", "other")
    make_task(project)
    for _ in range(3):
        make_task(other)

    for where in (project, other):
        with count_queries() as statements:
            list_tasks(where, NO_FILTERS, None, 100)
            list_tasks(where, Filters(name=("job",)), None, 100)
        assert len(statements) == 2
