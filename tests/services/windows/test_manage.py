"""Windows as people manage them: whole values, errors that change nothing, and the audit log."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from conftest import make_project
from holding import HOUR, MINUTE, NOW, make_many_windows, make_window
from managing import audited
from plans import plan_of
from watching import Watch

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.domain.windows import Span
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow
from taskbadger.services.pagination import Cursor, InvalidCursor, Page
from taskbadger.services.windows import manage
from taskbadger.services.windows.manage import Place

DAY = timedelta(days=1)


def change(place: ProjectRef, window_id: int, **changes: Any) -> None:
    data: Any = changes
    manage.update_window(place.organization_id, window_id, data, actor=SERVER, now=NOW)
    db.session.commit()


def ends_at(window_id: int) -> Any:
    return times_of(window_id)[1]


def times_of(window_id: int) -> tuple[Any, Any]:
    db.session.rollback()
    window = db.session.get_one(MaintenanceWindow, window_id)
    return window.starts_at, window.ends_at


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (NOW, NOW + HOUR)),
        ({"starts": NOW + HOUR, "ends": NOW + 2 * HOUR}, (NOW + HOUR, NOW + 2 * HOUR)),
        ({"starts": NOW - HOUR, "ends": NOW}, (None, None)),
        (
            {"schedule": "0 3 * * *", "duration": 600},
            (NOW.replace(minute=0, second=0), NOW.replace(minute=10, second=0)),
        ),
        (
            {"schedule": "0 3 * * *", "duration": 60},
            (NOW.replace(minute=0, second=0) + DAY, NOW.replace(minute=1, second=0) + DAY),
        ),
    ],
)
def test_current_or_next_span_is_kept(
    project: ProjectRef, fields: dict[str, Any], expected: Any
) -> None:
    assert times_of(make_window(project, **fields)) == expected


def test_change_moves_the_end_and_is_recorded(project: ProjectRef) -> None:
    window_id = make_window(project)

    change(project, window_id, ends=NOW + 2 * HOUR, project="web")

    assert ends_at(window_id) == NOW + 2 * HOUR
    window = manage.get_window(project.organization_id, window_id)
    assert manage.fields_of(window) == {
        "name": "deploy",
        "project": "web",
        "monitor": None,
        "name_pattern": "",
        "starts": "2026-05-04T03:02:01Z",
        "ends": "2026-05-04T05:02:01Z",
        "schedule": None,
        "duration": None,
        "timezone": "UTC",
    }
    assert [entry[2:] for entry in audited()] == [
        ("window.create", "deploy"),
        ("window.change", "deploy"),
    ]


def test_form_can_be_changed(project: ProjectRef) -> None:
    window_id = make_window(project)

    change(project, window_id, starts=None, ends=None, schedule="@daily", duration=600)

    assert ends_at(window_id) == NOW.replace(hour=0, minute=10, second=0) + DAY


@pytest.mark.parametrize(
    ("changes", "attr"),
    [
        ({"ends": NOW}, "ends"),
        ({"schedule": "@daily", "duration": 60}, "duration"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"project": "nowhere"}, "project"),
        ({"monitor": str(uuid4())}, "monitor"),
        ({"monitor": "x"}, "monitor"),
        ({"name_pattern": "("}, "name_pattern"),
        ({"project": "web", "name_pattern": "x"}, "name_pattern"),
    ],
)
def test_wrong_change_changes_nothing(
    project: ProjectRef, changes: dict[str, Any], attr: str
) -> None:
    window_id = make_window(project)
    window = manage.get_window(project.organization_id, window_id)
    before = manage.fields_of(window)

    with pytest.raises(ValidationFailed) as raised:
        change(project, window_id, name="new", **changes)

    assert [error.attr for error in raised.value.errors] == [attr]
    db.session.rollback()
    assert manage.fields_of(manage.get_window(project.organization_id, window_id)) == before


def test_monitor_of_another_organization_is_unknown(project: ProjectRef) -> None:
    monitor_id = str(Watch(make_project("other")).monitor.id)

    with pytest.raises(ValidationFailed) as raised:
        make_window(project, monitor=monitor_id)

    assert [error.detail for error in raised.value.errors] == [
        f"There is no monitor “{monitor_id}” in this organization."
    ]


def test_windows_of_others_are_not_found(project: ProjectRef) -> None:
    window_id, other = make_window(project), make_project("other").organization_id

    for operation in (
        lambda: manage.get_window(other, window_id),
        lambda: manage.update_window(other, window_id, {}, actor=SERVER, now=NOW),
        lambda: manage.delete_window(other, window_id, actor=SERVER, now=NOW),
    ):
        with pytest.raises(NotFound):
            operation()


def test_places_are_named(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    made = [
        make_window(project),
        make_window(project, project="web"),
        make_window(project, monitor=str(monitor.id)),
    ]
    found = manage.list_page(project.organization_id, None, 10).rows

    assert [row.id for row in found] == made[::-1]
    assert manage.places_of(found) == {
        made[0]: Place(None, None),
        made[1]: Place("web", None),
        made[2]: Place("web", "nightly"),
    }
    assert manage.fields_of(found[0])["monitor"] == "web/nightly"


def test_active_windows_come_first_and_those_that_are_over_apart(project: ProjectRef) -> None:
    names = {
        "later": {"starts": NOW + 2 * DAY, "ends": NOW + 3 * DAY},
        "soon": {"starts": NOW + DAY, "ends": NOW + 3 * DAY},
        "long": {"starts": NOW, "ends": NOW + 9 * DAY},
        "short": {"starts": NOW, "ends": NOW + HOUR},
        "over": {"starts": NOW - DAY, "ends": NOW - HOUR},
    }
    for name, times in names.items():
        make_window(project, name=name, **times)

    current = manage.list_current(project.organization_id, None, 10)
    over = manage.list_over(project.organization_id, None, 10)

    assert [one.name for one in current.rows] == ["long", "short", "soon", "later"]
    assert manage.list_all_current(project.organization_id) == list(current.rows)
    assert [one.name for one in over.rows] == ["over"]


List = Callable[[int, Cursor | None, int], Page[MaintenanceWindow]]


@pytest.mark.parametrize(
    ("read", "index", "number"),
    [
        (manage.list_page, "ix_maintenance_window_organization_id_id", 10_000),
        (manage.list_current, "ix_maintenance_window_current", 7_500),
        (manage.list_over, "ix_maintenance_window_over", 2_500),
    ],
)
def test_ten_thousand_windows_are_walked_on_an_index(
    project: ProjectRef, read: List, index: str, number: int
) -> None:
    make_many_windows(project, 10_000)
    make_many_windows(make_project("other"), 10)
    seen, cursor = [], None
    while True:
        page = read(project.organization_id, cursor, 1000)
        seen += [window.id for window in page.rows]
        cursor = page.next
        if cursor is None:
            break

    assert len(seen) == len(set(seen)) == number
    second = read(project.organization_id, None, 1000).next
    plan = plan_of(lambda: read(project.organization_id, second, 1000))
    assert index in plan
    assert not re.search("TEMP B-TREE|Sort", plan)


@pytest.mark.parametrize("key", [("x", "1"), ("2026-05-04T03:02:01Z", "x"), ("", "")])
def test_wrong_cursor_is_not_found(project: ProjectRef, key: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCursor):
        manage.list_current(project.organization_id, Cursor(key), 10)


def test_span_is_the_active_or_the_next_one(project: ProjectRef) -> None:
    number = make_window(project, schedule="0 3 * * *", duration=600)
    window = manage.get_window(project.organization_id, number)
    start = NOW.replace(minute=0, second=0)

    found = [
        manage.span_of(window, now=now)
        for now in (NOW - DAY, NOW, NOW + 10 * MINUTE, NOW + DAY + MINUTE)
    ]

    # The last two are computed: the worker has not moved the window on.
    spans = [Span(start + days * DAY, start + days * DAY + 10 * MINUTE) for days in (0, 0, 1, 1)]
    assert found == spans
    over = make_window(project, starts=NOW - HOUR, ends=NOW)
    assert manage.span_of(manage.get_window(project.organization_id, over), now=NOW) is None


def silence(place: ProjectRef, **scope: Any) -> dict[str, object]:
    made = manage.silence(place.organization_id, until=NOW + HOUR, actor=SERVER, now=NOW, **scope)
    db.session.commit()
    return {name: value for name, value in manage.fields_of(made).items() if value}


TIMES = {"starts": "2026-05-04T03:02:01Z", "ends": "2026-05-04T04:02:01Z", "timezone": "UTC"}


def test_silence_begins_now(project: ProjectRef) -> None:
    monitor_id = Watch(project).monitor.id

    assert silence(project) == {"name": "Silence of everything", **TIMES}
    assert silence(project, monitor_id=monitor_id) == {
        "name": "Silence of nightly",
        "monitor": "web/nightly",
        **TIMES,
    }
    assert silence(project, name="a.b (c)") == {
        "name": "Silence of a.b (c)",
        "name_pattern": r"^a\.b \(c\)$",
        **TIMES,
    }


def test_silence_of_a_name_that_is_too_long_is_an_error(project: ProjectRef) -> None:
    with pytest.raises(ValidationFailed) as raised:
        silence(project, name="." * 200)

    assert [error.attr for error in raised.value.errors] == ["name"]


def test_deleted_window_is_gone_and_recorded(project: ProjectRef) -> None:
    window_id = make_window(project)

    manage.delete_window(project.organization_id, window_id, actor=SERVER, now=NOW + MINUTE)
    db.session.commit()

    assert db.session.query(MaintenanceWindow).all() == []
    assert [entry[2:] for entry in audited()] == [
        ("window.create", "deploy"),
        ("window.delete", "deploy"),
    ]
