"""The filter ``data`` of the task list."""

from urllib.parse import quote

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_key, make_project
from flask import Flask

from taskbadger.services.tasks.search import plan


def found(api: ApiClient, *values: str, more: str = "") -> list[str]:
    query = "&".join(f"data={quote(value, safe='')}" for value in values)
    return [task["name"] for task in api.get(f"/tasks/?{query}{more}").json["results"]]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["customer:42"], "cba"),
        (['customer:"42"'], "b"),
        (["customer:42", "order.id:7"], "ca"),
        (["customer:42", "order.id:8"], ""),
        (["paid:true"], "a"),
        (["paid:null"], "b"),
        (['"a.b":x:y'], "c"),
        (["customer:4*"], "d"),
        (["customer:42,43"], ""),
    ],
)
def test_tasks_with_a_value_in_data_are_listed(
    api: ApiClient, values: list[str], names: str
) -> None:
    for name, data in (
        ("a", {"customer": 42, "order": {"id": 7}, "paid": True}),
        ("b", {"customer": "42", "paid": None}),
        ("c", {"customer": 42.0, "order": {"id": "7"}, "a.b": "x:y"}),
        ("d", {"customer": "4*"}),
        ("e", [42]),
    ):
        api.create(name=name, data=data)

    assert "".join(found(api, *values)) == names


def test_whole_task_is_listed_and_other_filters_count_as_well(api: ApiClient) -> None:
    task = api.create(data={"customer": 42}, status="error", tags={"env": "prod"})
    api.create(data={"customer": 42}, status="success")

    listed = api.get("/tasks/?data=customer:42&status=error&tag=env:prod").json

    assert listed == {"next": None, "previous": None, "results": [task]}


def test_pages_with_a_limit_of_work_visit_every_match_once(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        api.create(name=str(number), data={"customer": number % 6})
    monkeypatch.setattr(plan, "MAX_SCAN", 4)
    monkeypatch.setattr(plan, "MIN_SCAN", 4)

    pages, url = [], "/tasks/?data=customer:5&page_size=2"
    while url:
        page = api.get(url.removeprefix("http://localhost")).json
        pages.append([task["name"] for task in page["results"]])
        url = page["next"]

    assert [name for page in pages for name in page] == ["11", "5"]
    assert [] in pages


def test_tasks_of_other_projects_are_not_listed(app: Flask, api: ApiClient) -> None:
    api.create(name="own", data={"customer": 42})
    make_project("acme", "worker")
    key = make_key(slug=None)
    other = ApiClient(app.test_client(), key)

    answer = other.get("/api/acme/worker/tasks/?data=customer:42").json

    assert (answer["results"], found(api, "customer:42")) == ([], ["own"])


@pytest.mark.parametrize("tasks", [1, 30])
def test_page_takes_the_same_statements_for_any_number(api: ApiClient, tasks: int) -> None:
    for _ in range(tasks):
        api.create(data={"customer": 42})

    with count_queries() as statements:
        assert len(found(api, "customer:42")) == tasks

    assert len(statements) == 2


@pytest.mark.parametrize(
    "value", ["customer", "customer:", ":42", "a.b.c:1", ".a:1", 'a:"x', "", '"":1']
)
def test_wrong_value_is_named(api: ApiClient, value: str) -> None:
    answer = api.get(f"/tasks/?data={quote(value)}")

    detail = "Use key:value, or key.key:value for one level below."
    assert (answer.status_code, answer.json) == (400, wrong(("data", "invalid", detail)))


def test_nul_is_refused(api: ApiClient) -> None:
    answer = api.get("/tasks/?data=a:%00")

    detail = "Null characters are not allowed."
    assert (answer.status_code, answer.json) == (400, wrong(("data", "invalid", detail)))
