"""Reading incidents: the list and its filters, one with its timeline, and the failure kinds."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from conftest import count_queries, make_project
from incidents import NOW, after, make_event, make_failure, make_incident, make_kind
from sqlalchemy import insert, text
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.models.types import Query
from taskbadger.services.incidents import lists
from taskbadger.services.incidents.lists import Filters, ListedIncident
from taskbadger.services.pagination import Cursor, InvalidCursor

ALL = Filters()


def listed(project: ProjectRef, filters: Filters = ALL) -> list[tuple[int, str, str]]:
    page = lists.list_incidents(project.organization_id, filters, None, 100)
    return [(row.incident.id, row.project, row.subject) for row in page.rows]


def test_list_names_what_fails_newest_first(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    first = make_incident(project, "import", closed_at=NOW)
    second = make_incident(project, None, monitor_id=monitor.id)
    third = make_incident(make_project(slug="shop"), "import")
    make_incident(make_project("globex"))

    assert listed(project) == [
        (third, "shop", "import"),
        (second, "web", "nightly"),
        (first, "web", "import"),
    ]


def test_filters_narrow_the_list(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    closed = make_incident(project, "Import", closed_at=NOW)
    failing = make_incident(project, None, monitor_id=monitor.id)
    shop = make_incident(make_project(slug="shop"), "export_ü")

    def ids(**filters: object) -> list[int]:
        return [row[0] for row in listed(project, Filters(**filters))]  # type: ignore[arg-type]

    assert ids(state="open") == [shop, failing]
    assert ids(state="closed") == [closed]
    assert ids(project="shop") == [shop]
    assert ids(project="none") == []
    assert ids(name="Import") == [closed]
    assert ids(name="import") == []
    assert ids(project="web", name="Import", state="open") == []
    assert ids(monitor=monitor.id) == [failing]
    assert ids(monitor=uuid4()) == []
    assert ids(search="IMP") == [closed]
    assert ids(search="nig") == [failing]
    assert ids(search="t_") == [shop]
    assert ids(search="t%") == []


@pytest.mark.parametrize(
    ("parameters", "attrs"),
    [
        ({"state": "ajar"}, ["state"]),
        ({"monitor": "m1"}, ["monitor"]),
        ({"name": "a\x00b"}, ["name"]),
        ({"project": "\x00", "state": "x", "monitor": "y"}, ["project", "state", "monitor"]),
    ],
)
def test_wrong_filters_are_all_named(parameters: dict[str, str], attrs: list[str]) -> None:
    with pytest.raises(ValidationFailed) as raised:
        lists.read_filters(parameters)

    assert [error.attr for error in raised.value.errors] == attrs


def test_filters_are_read() -> None:
    monitor = uuid4()

    read = lists.read_filters(
        {"state": "open", "project": "web", "name": "a", "monitor": str(monitor), "other": "x"}
    )

    assert read == Filters("open", "web", "a", monitor)
    assert lists.read_filters({}) == Filters()


def walk(project: ProjectRef, filters: Filters, size: int) -> list[ListedIncident]:
    found: list[ListedIncident] = []
    cursor: Cursor | None = None
    while True:
        page = lists.list_incidents(project.organization_id, filters, cursor, size)
        found += page.rows
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("filters", [Filters(), Filters("closed"), Filters(search="name")])
def test_pages_skip_none_and_repeat_none(project: ProjectRef, filters: Filters) -> None:
    made = [make_incident(project, f"name {number}", closed_at=NOW) for number in range(7)]

    assert [row.incident.id for row in walk(project, filters, 3)] == made[::-1]


def test_bad_cursor_is_an_error(project: ProjectRef) -> None:
    with pytest.raises(InvalidCursor):
        lists.list_incidents(project.organization_id, Filters(), Cursor(("x",)), 3)


@pytest.mark.parametrize("number", [1, 20])
def test_page_takes_two_queries(project: ProjectRef, number: int) -> None:
    for place in range(number):
        kind = make_kind(project, f"kind {place}", f"name {place}")
        incident = make_incident(project, f"name {place}")
        make_failure(project, kind, incident, f"name {place}")
    db.session.rollback()

    with count_queries() as statements:
        page = lists.list_incidents(project.organization_id, Filters(), None, 100)
        kinds = lists.failures_of([row.incident.id for row in page.rows])

    assert (len(page.rows), len(kinds), len(statements)) == (number, number, 2)


def test_incident_is_found_in_its_organization_only(project: ProjectRef) -> None:
    number = make_incident(project)
    foreign = make_project("globex").organization_id

    found = lists.get_incident(project.organization_id, number)

    assert (found.incident.id, found.project, found.subject) == (number, "web", "import")
    for organization_id, wanted in ((foreign, number), (project.organization_id, number + 1)):
        with pytest.raises(NotFound):
            lists.get_incident(organization_id, wanted)
        with pytest.raises(NotFound):
            lists.find_version(organization_id, wanted, now=NOW)


@pytest.mark.parametrize("wrong", ["", "x", "-1", "1.5", "9" * 30, "1 ", "٣"])
def test_other_texts_are_no_ids(wrong: str) -> None:
    with pytest.raises(NotFound):
        lists.read_id(wrong)


def test_failure_kinds_are_those_of_the_incident(project: ProjectRef) -> None:
    old, both, other = (make_kind(project, title) for title in ("old", "both", "other"))
    earlier = make_incident(project, closed_at=NOW)
    number, monitors = make_incident(project), make_incident(project, None)
    for kind, incident in ((old, earlier), (both, earlier), (both, number), (other, None)):
        make_failure(project, kind, incident)
    latest = make_kind(project, "latest", last_seen=after(minutes=5))
    make_failure(project, latest, number)

    assert lists.failures_of([earlier, number, monitors]) == {
        earlier: [old, both],
        number: [both, latest],
        monitors: [],
    }
    assert lists.failures_of([]) == {}
    assert [kind.title for kind in lists.list_kinds(number)] == ["latest", "both"]


def test_timeline_is_in_order_and_has_the_latest(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_EVENTS", 3)
    number, other = make_incident(project), make_incident(project, "other")
    for place in range(4):
        make_event(number, "reminded", detail=str(place))
        make_event(other, "opened")

    assert [event.detail for event in lists.list_events(number)] == ["1", "2", "3"]


def test_open_incident_of_a_name_is_found(project: ProjectRef) -> None:
    make_incident(project, closed_at=NOW)
    assert lists.find_open(project.id, "import") is None

    number = make_incident(project)

    found = lists.find_open(project.id, "import")
    assert found is not None
    assert found.id == number
    assert lists.find_open(make_project(slug="shop").id, "import") is None


def test_open_incidents_are_counted_up_to_a_limit(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_incident(project, closed_at=NOW)
    make_incident(make_project("globex"))
    assert lists.count_open(project.organization_id) == 0

    for place in range(4):
        make_incident(project, f"name {place}")

    assert lists.count_open(project.organization_id) == 4
    monkeypatch.setattr(lists, "COUNT_CAP", 3)
    assert lists.count_open(project.organization_id) == 3


CHANGES: dict[str, Callable[[ProjectRef, int], object]] = {
    "event": lambda _, number: make_event(number, "told"),
    "kind": lambda project, number: make_failure(project, make_kind(project, "new"), number),
    **{
        column: lambda _, number, column=column, value=value: db.session.execute(  # type: ignore[misc]
            text(f"UPDATE incident SET {column} = {value} WHERE id = {number}")
        )
        for column, value in (
            ("runs", "99"),
            ("bad_slots", "99"),
            ("closed_at", "opened_at"),
            ("acknowledged_at", "opened_at"),
            ("acknowledged_by", "'x'"),
            ("snoozed_at", "opened_at"),
            ("snoozed_until", "opened_at"),
            ("last_failed_at", "NULL"),
        )
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_version_changes_with_what_a_page_shows(project: ProjectRef, change: str) -> None:
    number = make_incident(project)

    def version() -> object:
        return lists.find_version(project.organization_id, number, now=NOW)

    before = version()
    assert version() == before

    CHANGES[change](project, number)
    db.session.commit()

    assert version() != before


def test_version_changes_when_a_snooze_ends(project: ProjectRef) -> None:
    number = make_incident(project, snoozed_at=NOW, snoozed_until=after(hours=1))

    first, second = (
        lists.find_version(project.organization_id, number, now=now)
        for now in (after(minutes=59), after(minutes=60))
    )

    assert first != second


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "ix_incident_organization_id_id"),
        (Filters("open"), "ix_incident_open"),
        (Filters(project="web", name="import"), "ix_incident_project_id_name_id"),
        (Filters(monitor=uuid4()), "ix_incident_monitor_id_id"),
    ],
)
def test_list_walks_an_index(project: ProjectRef, filters: Filters, index: str) -> None:
    fill_many(project)

    steps = plan_of(lists._narrowed(project.organization_id, filters))

    # PostgreSQL may as well walk all ids, of which many are those of this organization.
    assert index in steps or (filters == ALL and "pk_incident" in steps)
    assert "TEMP B-TREE" not in steps
    assert "Sort" not in steps


def fill_many(project: ProjectRef) -> None:
    """Insert so many incidents that a planner has a choice."""
    others = [make_project(f"other-{place}") for place in range(20)]
    rows = [
        {
            "organization_id": place.organization_id,
            "project_id": place.id,
            "name": f"name {number}",
            "opened_at": NOW,
            "closed_at": NOW if number % 20 else None,
            "bad_slots": 0,
            "notified": False,
        }
        for place in (project, *others)
        for number in range(200)
    ]
    db.session.execute(insert(Incident), rows)
    monitors = [Watch(project, fields={"name": f"m{number}"}).monitor.id for number in range(9)]
    closed = {"closed_at": NOW, "bad_slots": 1, "notified": False, "opened_at": NOW}
    place_of = {"organization_id": project.organization_id, "project_id": project.id}
    db.session.execute(
        insert(Incident),
        [{**place_of, **closed, "monitor_id": monitor} for monitor in monitors for _ in range(40)],
    )
    db.session.commit()
    db.session.execute(text("ANALYZE incident"))
    db.session.commit()


def plan_of(query: Query) -> str:
    """Return how the database reads the first page of *query*."""
    compiled = (
        query.order_by(Incident.id.desc())
        .limit(10)
        .compile(db.engine, compile_kwargs={"literal_binds": True})
    )
    explain = "EXPLAIN QUERY PLAN"
    if db.engine.dialect.name == "postgresql":
        explain = "EXPLAIN"
        # A table of few rows is read whole.
        for way in ("seqscan", "bitmapscan"):
            db.session.execute(text(f"SET LOCAL enable_{way} = off"))
    rows = db.session.connection().exec_driver_sql(f"{explain} {compiled}")
    return "\n".join(str(row[-1]) for row in rows)
