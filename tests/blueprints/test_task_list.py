"""The list of tasks: the walk in both directions, page sizes, and every filter."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from answers import assert_problem, assert_wrong
from conftest import ApiClient, count_queries
from flask import Flask
from sqlalchemy import event, text, update

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Task
from taskbadger.services.failures import backfill
from taskbadger.worker import sweeps

EMPTY = {"next": None, "previous": None, "results": []}


def page(api: ApiClient, url: str) -> dict[str, Any]:
    answer = api.get(url.removeprefix("http://localhost"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json or {}
    assert set(body) == {"next", "previous", "results"}
    return body


def names(api: ApiClient, query: str = "") -> list[str]:
    """Return the names of the tasks on the first page, oldest first."""
    return [task["name"] for task in page(api, f"/tasks/{query}")["results"]][::-1]


def walk(api: ApiClient, url: str, direction: str = "next") -> list[list[str]]:
    """Return the names on each page from *url* on."""
    pages, at = [], url
    while at:
        body = page(api, at)
        pages.append([task["name"] for task in body["results"]])
        at = body[direction]
    return pages


def make(api: ApiClient, count: int) -> None:
    for number in range(count):
        api.create(name=f"t{number}")


def test_empty_list(api: ApiClient) -> None:
    assert api.get().json == EMPTY


def test_newest_comes_first_as_get_shows_it(api: ApiClient) -> None:
    made = [api.create(name=name, data={"x": 1}, tags={"a": "b"}) for name in "abc"]

    assert api.get().json == {**EMPTY, "results": made[::-1]}


def test_walk_in_both_directions_meets_each_task_once(api: ApiClient) -> None:
    make(api, 7)

    forwards = walk(api, "/tasks/?page_size=3")
    last = page(api, page(api, page(api, "/tasks/?page_size=3")["next"])["next"])
    back = walk(api, last["previous"], "previous")

    assert forwards == [["t6", "t5", "t4"], ["t3", "t2", "t1"], ["t0"]]
    assert back == [["t3", "t2", "t1"], ["t6", "t5", "t4"]]


def test_walk_is_stable_whatever_is_created_meanwhile(api: ApiClient) -> None:
    make(api, 6)

    seen, url = [], "/tasks/?page_size=2"
    while url:
        body = page(api, url)
        seen += [task["name"] for task in body["results"]]
        api.create(name="new")
        url = body["next"]

    assert seen == ["t5", "t4", "t3", "t2", "t1", "t0"]


def test_new_tasks_are_before_the_page_that_was_first(api: ApiClient) -> None:
    make(api, 3)
    second = page(api, page(api, "/tasks/?page_size=2")["next"])
    api.create(name="new")

    assert walk(api, second["previous"], "previous") == [["t2", "t1"], ["new"]]


def test_tasks_of_one_instant_are_walked_by_their_ids(api: ApiClient, project: ProjectRef) -> None:
    made = [api.create(name="t") for _ in range(5)]
    db.session.execute(update(Task).values(created=datetime.fromisoformat(made[0]["created"])))
    db.session.commit()

    seen, url = [], "/tasks/?page_size=2"
    while url:
        body = page(api, url)
        seen += [task["id"] for task in body["results"]]
        url = body["next"]

    expected = sorted((task["id"] for task in made), key=lambda one: ids.to_bytes(one) or b"")
    assert seen == expected[::-1]


@pytest.mark.parametrize("path", ["/tasks/", "/tasks"])
def test_urls_are_absolute_and_keep_the_other_parameters(api: ApiClient, path: str) -> None:
    for _ in range(3):
        api.create(tags={"a:": "b&", "c": "é"})

    query = "?tag=c%3A%C3%A9&status=pending,error&unknown=1&page_size=1&status=success"
    second = page(api, page(api, f"{path}{query}")["next"])

    for url in (second["next"], second["previous"]):
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query)
        assert (parts.scheme, parts.netloc) == ("http", "localhost")
        assert parts.path == f"/api/acme/web{path}"
        assert [name for name, _ in parameters[:2]] == ["cursor", "page_size"]
        assert parameters[1:] == [
            ("page_size", "1"),
            ("tag", "c:é"),
            ("status", "pending,error"),
            ("status", "success"),
            ("unknown", "1"),
        ]


def test_urls_carry_the_page_size_that_was_used(api: ApiClient) -> None:
    make(api, 101)

    body = page(api, "/tasks/")

    assert len(body["results"]) == 100
    assert dict(parse_qsl(urlsplit(body["next"]).query))["page_size"] == "100"


def test_urls_start_with_the_address_that_was_set(api: ApiClient, make_app: Any) -> None:
    make(api, 2)
    app = make_app(BASE_URL="https://tasks.example.com/badger/")

    body = ApiClient(app.test_client(), api.key).get("/tasks/?page_size=1").json or {}

    start = "https://tasks.example.com/badger"
    assert body["next"].startswith(f"{start}/api/acme/web/tasks/?cursor=")
    task = body["results"][0]
    assert task["url"] == f"{start}/a/acme/tasks/{task['id']}/"
    assert task["public_url"] == f"{start}/public/tasks/{task['id']}/"


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "x", "", "1e3"])
def test_page_size_is_a_whole_number_above_0(api: ApiClient, size: str) -> None:
    answer = api.get(f"/tasks/?page_size={size}")

    assert_wrong(answer, ("page_size", "invalid", "A whole number above 0 is required."))


@pytest.mark.parametrize("size", ["1000", "1001", "99999999999999999999"])
def test_page_size_is_cut_to_1000(api: ApiClient, size: str) -> None:
    make(api, 2)

    assert names(api, f"?page_size={size}") == ["t0", "t1"]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        "é",
        "bnwyMDI2LTAxLTAxVDAwOjAwOjAwWnxub25l",
        "bnxub3d8QUFBQUFBQUFBQUFBQUFBQUFBQUFBQQ",
    ],
)
def test_bad_cursor_is_not_found(api: ApiClient, cursor: str) -> None:
    task = api.create()

    for path in ("/tasks/", f"/tasks/{task['id']}/events/"):
        assert_problem(api.get(f"{path}?cursor={cursor}"), 404, "not_found", "Invalid cursor")


# Filters


@pytest.fixture
def several(api: ApiClient) -> dict[str, dict[str, Any]]:
    """Tasks that differ in everything that a filter asks for."""
    a = api.create(name="a", queue="fast", external_id="x1", tags={"env": "prod", "team": "red"})
    b = api.create(
        name="b", queue="slow", external_id="x2", tags={"env": "prod"}, status="processing"
    )
    c = api.create(name="c", parent=a["id"], tags={"env": "test"}, status="error")
    d = api.create(name="Größe 50%_\\x", parent=a["id"], queue="fast", status="success")
    return {"a": a, "b": b, "c": c, "d": d}


D = "Größe 50%_\\x"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=pending", ["a"]),
        ("status=pending,error", ["a", "c"]),
        ("status=pending&status=success", ["a", D]),
        ("status=pending, error&status=success", ["a", "c", D]),
        ("status=stale", []),
        ("name=a", ["a"]),
        ("name=A", []),
        ("name=a,c", ["a", "c"]),
        ("name=none", []),
        ("queue=fast", ["a", D]),
        ("queue=fast,slow", ["a", "b", D]),
        ("queue=", ["c"]),
        ("external_id=x1", ["a"]),
        ("external_id=x1,x2", ["a", "b"]),
        ("tag=env:prod", ["a", "b"]),
        ("tag=env:prod&tag=team:red", ["a"]),
        ("tag=env:prod&tag=env:test", []),
        ("tag=env:PROD", []),
        ("search=GRÖSSE", [D]),
        ("search=größe", [D]),
        ("search=%25", [D]),
        ("search=_", [D]),
        ("search=0%25_", [D]),
        ("search=%5C", [D]),
        ("search=/", []),
        ("search=", ["a", "b", "c", D]),
        ("queue=fast&status=success", [D]),
        ("queue=fast&status=pending&tag=env:prod&search=A&name=a&external_id=x1", ["a"]),
        ("queue=slow&status=pending", []),
        ("monitor=0190163d-8694-739b-aea5-966c26f8ad91", []),
        ("unknown=1&colour=red", ["a", "b", "c", D]),
    ],
)
@pytest.mark.usefixtures("several")
def test_filter(api: ApiClient, query: str, expected: list[str]) -> None:
    assert names(api, f"?{query}") == expected


def test_filters_find_names_with_signs_in_them(api: ApiClient) -> None:
    signs = {"a": "Smith, Sons & Co", "b": "Smith", "c": "C:\\jobs", "d": "a\\,b", "e": "*"}
    for letter, sign in signs.items():
        api.create(name=sign, queue=f"{letter}:{sign}", tags={f"{letter}:{sign}": sign})

    def found(parameter: str, *values: str) -> list[str]:
        query = "&".join(f"{parameter}={quote(value)}" for value in values)
        return [key for key, sign in signs.items() if sign in names(api, f"?{query}")]

    assert found("name", r"Smith\, Sons & Co") == ["a"]
    assert found("name", "Smith, Sons & Co") == ["b"]
    assert found("name", r"C:\jobs, a\\\,b,*") == ["c", "d", "e"]
    assert found("queue", r"a:Smith\, Sons & Co", r"c\:C\:\jobs") == ["a", "c"]
    assert found("tag", r"a\:Smith, Sons & Co:Smith, Sons & Co") == ["a"]
    assert found("tag", r"c\:C\:\jobs:C:\jobs") == ["c"]
    assert found("tag", r"e\:*:*") == ["e"]


def test_value_that_is_asked_for_often_counts_once(api: ApiClient) -> None:
    made = api.create(tags={"a": "b"})
    url = f"/tasks/?{'&'.join(['tag=a:b'] * 490)}"
    many = "&".join(f"tag=a:{number}" for number in range(51))

    with count_queries() as statements:
        assert page(api, url)["results"] == [made]

    assert statements[-1].count("FROM task_tag") == 1
    detail = "Ensure this filter has no more than 50 different values."
    assert_wrong(api.get(f"/tasks/?{many}"), ("tag", "max_length", detail))


def test_too_many_values_in_data_are_an_error_and_nothing_is_read(api: ApiClient) -> None:
    made = api.create(data=dict.fromkeys("abcd", 1))

    assert page(api, "/tasks/?data=a:1&data=b:1&data=c:1")["results"] == [made]
    with count_queries() as statements:
        answer = api.get("/tasks/?data=a:1&data=b:1&data=c:1&data=d:1")

    detail = "Ensure this filter has no more than 3 different values."
    assert_wrong(answer, ("data", "max_length", detail))
    assert not any("json_each" in statement for statement in statements)


def test_filter_by_parent(api: ApiClient, several: dict[str, dict[str, Any]]) -> None:
    a, b = several["a"]["id"], several["b"]["id"]

    assert names(api, f"?parent={a}") == ["c", D]
    assert names(api, f"?parent={b}") == []
    assert names(api, f"?parent={b},{a}") == ["c", D]
    assert names(api, f"?parent={'A' * 22}") == []
    assert names(api, f"?parent={a}&status=error") == ["c"]


def test_filters_by_time_include_after_and_exclude_before(
    api: ApiClient, several: dict[str, dict[str, Any]]
) -> None:
    patched = api.patch(f"/tasks/{several['a']['id']}/", json={}).json or {}
    moments = {name: quote(task["created"]) for name, task in several.items()}

    assert names(api, f"?created_after={moments['b']}") == ["b", "c", D]
    assert names(api, f"?created_before={moments['b']}") == ["a"]
    assert names(api, f"?created_after={moments['b']}&created_before={moments['d']}") == ["b", "c"]
    assert names(api, f"?updated_after={quote(patched['updated'])}") == ["a"]
    assert names(api, f"?updated_before={quote(patched['updated'])}") == ["b", "c", D]
    later = datetime.fromisoformat(several["b"]["created"]) + timedelta(microseconds=1)
    assert names(api, f"?created_after={quote(to_wire(later))}") == ["c", D]
    local = later.astimezone(tz=None).isoformat()
    assert names(api, f"?created_after={quote(local)}") == ["c", D]


def test_filter_by_failure_finds_the_tasks_of_a_kind(api: ApiClient) -> None:
    api.create()
    failed = [api.create(status="error", data={"error": "a"})["id"] for _ in range(3)]
    other = api.create(status="error", data={"error": "b"})["id"]
    kinds = {kind["title"]: kind["id"] for kind in api.get("/failures/").json["results"]}

    def found(query: str) -> list[str]:
        return [task["id"] for task in page(api, f"/tasks/?{query}")["results"]]

    assert found(f"failure={kinds['a']}") == failed[::-1]
    assert found(f"failure={kinds['a']}&page_size=2") == failed[:0:-1]
    assert found(f"failure={kinds['a']},{kinds['b']}") == [other, *failed[::-1]]
    assert found("failure=999") == []
    answer = api.get("/tasks/?failure=x")
    assert_wrong(answer, ("failure", "invalid", "“x” is not the ID of a failure."))


def test_filtered_walk_keeps_its_filter(api: ApiClient) -> None:
    for number in range(9):
        api.create(name=f"t{number}", status=["pending", "error", "success"][number % 3])

    assert walk(api, "/tasks/?page_size=2&status=error,success") == [
        ["t8", "t7"],
        ["t5", "t4"],
        ["t2", "t1"],
    ]


MOMENT = "Datetime has wrong format. Use ISO 8601."
PLUS = "In a URL, write %2B for +, which stands for a space there."


@pytest.mark.parametrize(
    ("name", "value", "code", "detail"),
    [
        ("status", "foo", "invalid_choice", '"foo" is not a valid choice.'),
        ("status", "pending,", "invalid_choice", '"" is not a valid choice.'),
        ("status", "PENDING", "invalid_choice", '"PENDING" is not a valid choice.'),
        ("parent", "x", "invalid", "“x” is not a valid task ID."),
        ("monitor", "x", "invalid", "“x” is not a valid UUID."),
        ("incident", "x", "invalid", "“x” is not the ID of an incident."),
        ("incident", "-1", "invalid", "“-1” is not the ID of an incident."),
        ("tag", "env", "invalid", "Use name:value."),
        ("tag", ":x", "invalid", "Use name:value."),
        ("tag", "env:", "invalid", "Use name:value."),
        ("created_after", "now", "invalid", MOMENT),
        ("created_before", "2026-13-01T00:00:00Z", "invalid", MOMENT),
        ("updated_after", "0001-01-01T00:00:00%2B01:00", "invalid", MOMENT),
        ("updated_before", "", "invalid", MOMENT),
        ("created_after", "2026-01-01T00:00:00+02:00", "invalid", f"{MOMENT} {PLUS}"),
        ("search", "%00", "invalid", "Null characters are not allowed."),
        ("name", "a%00", "invalid", "Null characters are not allowed."),
        ("queue", "%00", "invalid", "Null characters are not allowed."),
        ("external_id", "%00", "invalid", "Null characters are not allowed."),
        ("tag", "a:%00", "invalid", "Null characters are not allowed."),
    ],
)
def test_value_that_a_field_cannot_have_is_wrong(
    api: ApiClient, name: str, value: str, code: str, detail: str
) -> None:
    assert_wrong(api.get(f"/tasks/?{name}={value}"), (name, code, detail))


def test_every_wrong_parameter_is_listed(api: ApiClient) -> None:
    answer = api.get("/tasks/?status=foo&created_after=now&page_size=0&parent=x,y")

    assert_wrong(
        answer,
        ("status", "invalid_choice", '"foo" is not a valid choice.'),
        ("created_after", "invalid", MOMENT),
        ("page_size", "invalid", "A whole number above 0 is required."),
        ("parent", "invalid", "“x” is not a valid task ID."),
        ("parent", "invalid", "“y” is not a valid task ID."),
    )


@pytest.mark.parametrize(
    "query", ["name=%ff", "search=%ed%a0%80", "tag=%f0:%9f", "queue=" + "x" * 3000]
)
def test_text_that_is_nowhere_finds_nothing(api: ApiClient, query: str) -> None:
    api.create()

    assert api.get(f"/tasks/?{query}").json == EMPTY


# Indexes


@pytest.fixture
def many(app: Flask, project: ProjectRef, backend: str) -> None:
    """So many tasks that a planner has a choice."""
    now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    parent = ids.new_id(now)
    rows = [
        {
            "id": parent if number == 0 else ids.new_id(now + timedelta(seconds=number)),
            "project_id": project.id,
            "name": f"job {number % 30}",
            "name_folded": f"job {number % 30}",
            "status": "error" if number % 20 == 0 else "success",
            "parent": parent if number % 20 == 5 else None,
            "value_max": 100,
            "monitor_id": uuid.UUID(int=number % 20),
            "created": now + timedelta(seconds=number),
            "updated": now,
        }
        for number in range(6000)
    ]
    db.session.execute(Task.__table__.insert(), rows)
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    "query",
    ["", "status=error", "name=job+7", f"monitor={uuid.UUID(int=7)}", "parent=PARENT"],
)
@pytest.mark.parametrize("direction", ["first", "next", "previous"])
def test_walk_reads_an_index_in_its_order(
    api: ApiClient, backend: str, query: str, direction: str
) -> None:
    oldest = page(api, "/tasks/?created_before=2026-01-01T00:00:01Z")["results"][0]
    url = f"/tasks/?page_size=150&{query.replace('PARENT', oldest['id'])}"
    if direction != "first":
        url = page(api, url)["next"]
    if direction == "previous":
        url = page(api, url)["previous"]
    url = url.replace("page_size=150", "page_size=5")
    plans: list[str] = []

    with explained(backend, plans):
        assert page(api, url)["results"]

    plan = "\n".join(plans)
    assert "ix_task_" in plan
    for costly in ("Sort", "Seq Scan", "TEMP B-TREE", "SCAN task\n"):
        assert costly not in plan + "\n", plan


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("is_first", [True, False])
def test_walk_of_a_failure_reads_its_index(
    api: ApiClient, project: ProjectRef, backend: str, is_first: bool
) -> None:
    backfill.start(project.id)
    db.session.commit()
    assert not sweeps.count_old_failures()
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    kind = api.get("/failures/").json["results"][0]["id"]
    url = f"/tasks/?failure={kind}&page_size=5"
    plans: list[str] = []

    with explained(backend, plans):
        assert page(api, url if is_first else page(api, url)["next"])["results"]

    plan = "\n".join(plans)
    assert "ix_failure_kind_id_task_id" in plan
    for costly in ("Sort", "Seq Scan", "TEMP B-TREE", "SCAN task\n"):
        assert costly not in plan + "\n", plan


@contextmanager
def explained(backend: str, plans: list[str]) -> Iterator[None]:
    """Collect the plans of the statements that the block sends."""
    prefix = "EXPLAIN QUERY PLAN " if backend == "sqlite" else "EXPLAIN "

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM task \n" in statement or "FROM task JOIN failure" in statement:
            if backend == "postgresql":
                # For the last few rows a sort is cheap too; asked for is that none is needed.
                cursor.execute("SET enable_sort = off; SET enable_bitmapscan = off")
            cursor.execute(prefix + statement, parameters)
            plans.extend(str(row[-1]) for row in cursor.fetchall())
            if backend == "postgresql":
                cursor.execute("RESET enable_sort; RESET enable_bitmapscan")

    engine = db.engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", explain)
