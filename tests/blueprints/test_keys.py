"""The endpoints of API keys."""

import logging

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_key, make_project
from flask import Flask
from managing import NOT_FOUND, audited, manager, walk, without

TIMES = ("id", "created", "last_used", "prefix")


def test_secret_is_shown_once_and_kept_by_nobody(app: Flask, admin: ApiClient) -> None:
    made = admin.post("/keys/", {"name": "ci", "project": "web"})

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert without(made.json, "key", *TIMES) == {
        "organization": "acme",
        "project": "web",
        "name": "ci",
        "scopes": ["ingest", "read"],
        "expires": None,
        "revoked": None,
        "ping_url": None,
        "dsn": None,
    }
    key = ApiClient(app.test_client(), made.json["key"])
    assert key.get("/tasks/").status_code == 200
    assert key.post("/tasks/", {"name": "job"}).status_code == 201
    shown = admin.get(f"/keys/{made.json['id']}/")
    assert without(shown.json, "last_used") == without(
        made.json, "key", "ping_url", "dsn", "last_used"
    )
    assert made.json["key"] not in admin.get("/keys/").text + shown.text
    assert audited() == [("key", "terraform", "key.create", "ci")]


def test_secret_is_in_no_log(admin: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    secret = admin.post("/keys/", {"name": "ci"}).json["key"]

    assert secret not in caplog.text


def test_organization_key_opens_every_project(app: Flask, admin: ApiClient) -> None:
    make_project("acme", "jobs")
    made = admin.post("/keys/", {"name": "all", "scopes": ["read", "ingest"]}).json

    key = ApiClient(app.test_client(), made["key"])
    statuses = [key.get(f"/api/acme/{slug}/tasks/").status_code for slug in ("web", "jobs")]

    assert (made["project"], made["scopes"], statuses) == (None, ["ingest", "read"], [200, 200])


def test_revoked_key_stops_working_at_once_and_stays_listed(app: Flask, admin: ApiClient) -> None:
    made = admin.post("/keys/", {"name": "ci", "project": "web"}).json
    key = ApiClient(app.test_client(), made["key"])
    assert key.get("/tasks/").status_code == 200

    answers = [admin.delete(f"/keys/{made['id']}/").status_code for _ in range(2)]

    assert answers == [204, 204]
    assert key.get("/tasks/").status_code == 401
    assert admin.get(f"/keys/{made['id']}/").json["revoked"] is not None
    assert [entry[2] for entry in audited()] == ["key.create", "key.revoke"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ("name", "required", "This field is required.")),
        ({"name": ""}, ("name", "blank", "This field may not be blank.")),
        ({"name": "x", "scopes": []}, ("scopes", "invalid", "Give at least one scope.")),
        ({"name": "x", "scopes": "read"}, ("scopes", "invalid", "Expected a list of scopes.")),
        ({"name": "x", "scopes": None}, ("scopes", "null", "This field may not be null.")),
        (
            {"name": "x", "scopes": ["read", "root"]},
            ("scopes.1", "invalid_choice", '"root" is not a valid choice.'),
        ),
        (
            {"name": "x", "project": "none"},
            ("project", "does_not_exist", "There is no project “none” that this key opens."),
        ),
        (
            {"name": "x", "expires": "2020-01-01T00:00:00Z"},
            ("expires", "invalid", "Give a time in the future."),
        ),
    ],
)
def test_wrong_key_is_refused(
    admin: ApiClient, body: dict[str, object], error: tuple[str, str, str]
) -> None:
    refused = admin.post("/keys/", body)

    assert (refused.status_code, refused.json) == (400, wrong(error))


def test_keys_of_another_organization_are_not_there(app: Flask, admin: ApiClient) -> None:
    other = manager(app, "other")
    theirs = other.post("/keys/", {"name": "theirs"}).json

    assert admin.get(f"/keys/{theirs['id']}/").json == NOT_FOUND
    assert admin.delete(f"/keys/{theirs['id']}/").json == NOT_FOUND
    assert admin.get("/keys/x/").json == NOT_FOUND
    assert admin.get(f"/keys/{'9' * 18}/").json == NOT_FOUND
    assert "theirs" not in admin.get("/keys/").text
    assert other.get(f"/keys/{theirs['id']}/").json["revoked"] is None


def test_project_key_manages_the_keys_of_its_project_alone(app: Flask, admin: ApiClient) -> None:
    make_project("acme", "jobs")
    others = admin.post("/keys/", {"name": "others", "project": "jobs"}).json
    own = manager(app, slug="web")

    made = own.post("/keys/", {"name": "mine"}).json

    assert (made["project"], made["scopes"]) == ("web", ["ingest", "read"])
    assert [one["name"] for one in own.get("/keys/").json["results"]] == ["terraform", "mine"]
    assert own.get(f"/keys/{others['id']}/").json == NOT_FOUND
    assert own.post("/keys/", {"name": "x", "project": "jobs"}).json == wrong(
        ("project", "does_not_exist", "There is no project “jobs” that this key opens.")
    )
    assert own.post("/keys/", {"name": "x", "project": None}).json == wrong(
        ("project", "does_not_exist", "A project key makes keys for its own project only.")
    )


def test_list_is_walked_with_as_many_queries_for_one_as_for_a_hundred(admin: ApiClient) -> None:
    admin.get("/keys/")
    with count_queries() as one:
        admin.get("/keys/")
    for number in range(100):
        make_key(name=f"key {number}")
    admin.get("/keys/")  # The key is known again.
    with count_queries() as hundred:
        assert len(admin.get("/keys/?page_size=200").json["results"]) == 101

    assert len(hundred) == len(one) <= 2
    assert walk(admin, "/keys/", "name") == ["terraform", *(f"key {n}" for n in range(100))]
