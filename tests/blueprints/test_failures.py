"""The endpoints of failure kinds."""

from typing import Any

import pytest
from answers import problem, wrong
from conftest import ApiClient, count_queries, make_key
from flask import Flask
from managing import NOT_FOUND, walk

from taskbadger.extensions import db


@pytest.fixture
def owner(app: Flask, api: ApiClient) -> ApiClient:
    """A client of the project with a key that may change everything."""
    return ApiClient(app.test_client(), make_key(scopes="admin"))


def fail(api: ApiClient, text: str = "ValueError: no row 7", **fields: Any) -> dict[str, Any]:
    return api.create(**{"status": "error", "data": {"exception": text}, **fields})


def test_failures_are_listed_and_read(owner: ApiClient) -> None:
    first, last = fail(owner), fail(owner)

    listed = owner.get("/failures/").json

    [shown] = listed["results"]
    assert shown == {
        "id": shown["id"],
        "name": "job",
        "title": "ValueError: no row ‹number›",
        "cause": "error",
        "state": "open",
        "count": 2,
        "first_seen": first["updated"],
        "last_seen": last["updated"],
        "sample_task": last["id"],
        "ignored_until": None,
    }
    assert listed == {"next": None, "previous": None, "results": [shown]}
    assert owner.get(f"/failures/{shown['id']}/").json == shown
    assert owner.get(f"/failures/?task={first['id']}").json == listed
    assert owner.get("/failures/?state=resolved").json["results"] == []
    assert owner.get("/failures/?name=job&search=no+row").json == listed


def test_failures_are_walked_by_the_latest(owner: ApiClient) -> None:
    words = [f"{a}{b}" for a in "abcd" for b in "efg"]
    for word in words:
        fail(owner, word)

    assert walk(owner, "/failures/", "title") == words[::-1]


@pytest.mark.parametrize("rows", [1, 50])
def test_statements_do_not_grow_with_the_failures(owner: ApiClient, rows: int) -> None:
    for number in range(rows):
        fail(owner, f"{'abcdefghij'[number % 10]}{'klmnop'[number // 10]}")
    kind = owner.get("/failures/").json["results"][0]["id"]
    db.session.rollback()
    counts = []
    for method, path in (
        ("GET", "/failures/"),
        ("GET", "/failures/?state=open&name=job&search=a"),
        ("GET", f"/failures/{kind}/"),
        ("PATCH", f"/failures/{kind}/"),
    ):
        options = {"json": {"state": "resolved"}} if method == "PATCH" else {}
        with count_queries() as statements:
            assert owner.open(method, path, **options).status_code == 200
        counts.append(len(statements))

    assert counts == [1, 1, 1, 4]


def test_failure_is_resolved_and_opened_by_the_next(owner: ApiClient) -> None:
    fail(owner)
    kind = owner.get("/failures/").json["results"][0]
    path = f"/failures/{kind['id']}/"

    changed = owner.patch(path, {"state": "resolved"})
    assert (changed.status_code, changed.json) == (200, {**kind, "state": "resolved"})
    assert owner.get(path).json == changed.json

    fail(owner)
    assert (owner.get(path).json["state"], owner.get(path).json["count"]) == ("open", 2)


def test_failure_is_ignored_until_a_time(owner: ApiClient) -> None:
    fail(owner)
    kind = owner.get("/failures/").json["results"][0]
    until = "2999-01-01T00:00:00.000000Z"

    changed = owner.patch(
        f"/failures/{kind['id']}/", {"state": "ignored", "ignored_until": until}
    ).json

    assert changed == {**kind, "state": "ignored", "ignored_until": until}


@pytest.mark.parametrize(
    ("body", "attr", "code", "detail"),
    [
        ({"state": "done"}, "state", "invalid_choice", '"done" is not a valid choice.'),
        ({"state": None}, "state", "null", "This field may not be null."),
        (
            {"ignored_until": "2999-01-01T00:00:00Z"},
            "ignored_until",
            "invalid",
            "Only an ignored kind has an end.",
        ),
        (
            {"state": "ignored", "ignored_until": "2020-01-01T00:00:00Z"},
            "ignored_until",
            "invalid",
            "Choose a time in the future.",
        ),
        (
            {"state": "ignored", "ignored_until": "soon"},
            "ignored_until",
            "invalid",
            "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z.",
        ),
    ],
)
def test_wrong_changes_change_nothing(
    owner: ApiClient, body: dict[str, Any], attr: str, code: str, detail: str
) -> None:
    fail(owner)
    kind = owner.get("/failures/").json["results"][0]

    answer = owner.patch(f"/failures/{kind['id']}/", body)

    assert (answer.status_code, answer.json) == (400, wrong((attr, code, detail)))
    assert owner.get("/failures/").json["results"] == [kind]


@pytest.mark.parametrize("number", ["0", "x", "99999999999999999999"])
def test_unknown_failure_is_not_found(owner: ApiClient, number: str) -> None:
    answers = [owner.get(f"/failures/{number}/"), owner.patch(f"/failures/{number}/", {})]

    assert [answer.json for answer in answers] == [NOT_FOUND] * 2


def test_reading_needs_read_and_changing_admin(app: Flask, owner: ApiClient) -> None:
    fail(owner)
    kind = owner.get("/failures/").json["results"][0]["id"]
    reader = ApiClient(app.test_client(), make_key(scopes="ingest,read"))

    assert reader.get("/failures/").status_code == 200
    denied = "You do not have permission to perform this action."
    answer = reader.patch(f"/failures/{kind}/", {"state": "resolved"})
    assert (answer.status_code, answer.json) == (403, problem("permission_denied", denied))


def test_wrong_filters_are_named(owner: ApiClient) -> None:
    answer = owner.get("/failures/?state=done&task=x")

    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json["errors"]] == ["state", "task"]
