"""The endpoints of projects."""

from collections.abc import Callable

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from managing import DENIED, NOT_FOUND, audited, manager, walk, without

WEB = {
    "organization": "acme",
    "slug": "web",
    "name": "web",
    "public_pages": True,
    "public_data": False,
    "public_tags": False,
    "retention_days": None,
    "retention_days_success": None,
    "retention_days_failure": None,
    "retention_days_unfinished": None,
    "quiet_after": 86400,
}


def test_project_is_made_read_and_listed(admin: ApiClient) -> None:
    made = admin.post("/projects/", {"slug": "jobs", "name": "Jobs", "retention_days": 30})

    assert (made.status_code, without(made.json, "created")) == (
        201,
        {**WEB, "slug": "jobs", "name": "Jobs", "retention_days": 30},
    )
    assert admin.get("/projects/jobs/").json == made.json
    listed = admin.get("/projects/").json
    assert [without(one, "created") for one in listed["results"]] == [
        WEB,
        without(made.json, "created"),
    ]
    assert (listed["next"], listed["previous"]) == (None, None)
    assert audited() == [
        ("key", "terraform", "project.create", "jobs"),
        ("key", "terraform", "project.change", "jobs"),
    ]


def test_change_touches_what_it_names(admin: ApiClient) -> None:
    changed = admin.patch("/projects/web/", {"public_pages": False, "public_tags": True})

    assert (changed.status_code, without(changed.json, "created")) == (
        200,
        {**WEB, "public_pages": False, "public_tags": True},
    )
    assert admin.get("/projects/web/").json == changed.json
    assert audited() == [("key", "terraform", "project.change", "web")]


def test_change_of_nothing_is_not_in_the_audit_log(admin: ApiClient) -> None:
    assert admin.patch("/projects/web/", {"name": "web"}).status_code == 200
    assert audited() == []


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {},
            wrong(
                ("name", "required", "This field is required."),
                ("slug", "required", "This field is required."),
            ),
        ),
        (
            {"slug": "jobs", "name": "", "public_pages": "yes", "retention_days": 0},
            wrong(
                ("name", "blank", "This field may not be blank."),
                ("public_pages", "invalid", "Must be a valid boolean."),
                (
                    "retention_days",
                    "min_value",
                    "Ensure this value is greater than or equal to 1.",
                ),
            ),
        ),
        (
            {"slug": "-", "name": "Dash"},
            wrong(
                (
                    "slug",
                    "invalid",
                    "“-” is not a valid slug. Use 1 to 50 of a-z, 0-9, - and _; start and end "
                    "with a letter or digit.",
                )
            ),
        ),
        (
            {"slug": "web", "name": "Web"},
            wrong(("slug", "invalid", "This organization already has a project “web”.")),
        ),
    ],
)
def test_wrong_project_is_refused(
    admin: ApiClient, body: dict[str, object], answer: dict[str, object]
) -> None:
    refused = admin.post("/projects/", body)

    assert (refused.status_code, _sorted(refused.json)) == (400, _sorted(answer))
    assert [one["slug"] for one in admin.get("/projects/").json["results"]] == ["web"]


def _sorted(answer: dict[str, object]) -> dict[str, object]:
    return {**answer, "errors": sorted(answer["errors"], key=lambda one: one["attr"])}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (299, ("min_value", "Ensure this value is greater than or equal to 300.")),
        (2592001, ("max_value", "Ensure this value is less than or equal to 2592000.")),
        ("soon", ("invalid", "A valid integer is required.")),
        (None, ("null", "This field may not be null.")),
    ],
)
def test_incidents_close_after_five_minutes_to_thirty_days(
    admin: ApiClient, seconds: object, error: tuple[str, str]
) -> None:
    refused = admin.patch("/projects/web/", {"quiet_after": seconds, "name": "new"})

    assert (refused.status_code, refused.json) == (400, wrong(("quiet_after", *error)))
    assert without(admin.get("/projects/web/").json, "created") == WEB
    for number in (300, 2592000):
        changed = admin.patch("/projects/web/", {"quiet_after": number})
        assert without(changed.json, "created") == {**WEB, "quiet_after": number}


RETENTIONS = (
    "retention_days",
    "retention_days_success",
    "retention_days_failure",
    "retention_days_unfinished",
)


@pytest.mark.parametrize(
    ("days", "error"),
    [
        (0, ("min_value", "Ensure this value is greater than or equal to 1.")),
        (-30, ("min_value", "Ensure this value is greater than or equal to 1.")),
        (3651, ("max_value", "Ensure this value is less than or equal to 3650.")),
        (10**30, ("max_value", "Ensure this value is less than or equal to 3650.")),
        ("a month", ("invalid", "A valid integer is required.")),
        (1.5, ("invalid", "A valid integer is required.")),
        (True, ("invalid", "A valid integer is required.")),
    ],
)
def test_wrong_retention_is_refused_and_nothing_changed(
    admin: ApiClient, days: object, error: tuple[str, str]
) -> None:
    refused = admin.patch("/projects/web/", {"name": "new", **dict.fromkeys(RETENTIONS, days)})

    problems = wrong(*((field, *error) for field in RETENTIONS))
    assert (refused.status_code, _sorted(refused.json)) == (400, _sorted(problems))
    assert without(admin.get("/projects/web/").json, "created") == WEB
    assert audited() == []


def test_retention_is_a_number_of_days_or_null(admin: ApiClient) -> None:
    for field in RETENTIONS:
        for number in (1, 3650, None):
            changed = admin.patch("/projects/web/", {field: number})
            assert without(changed.json, "created") == {**WEB, field: number}
    assert audited() == [("key", "terraform", "project.change", "web")] * 12


def test_unknown_kind_of_retention_is_refused_and_nothing_changed(admin: ApiClient) -> None:
    body = {"retention_days_sucess": 7, "retention_days": 7, "color": "red"}

    refused = admin.patch("/projects/web/", body)

    problem = ("retention_days_sucess", "invalid", "Unknown field.")
    assert (refused.status_code, refused.json) == (400, wrong(problem))
    assert without(admin.get("/projects/web/").json, "created") == WEB
    assert admin.post("/projects/", {**body, "slug": "a", "name": "A"}).status_code == 400


def test_new_projects_keep_tasks_as_long_as_the_operator_says(
    make_app: Callable[..., Flask], admin: ApiClient
) -> None:
    client = ApiClient(make_app(DEFAULT_RETENTION_DAYS=90).test_client(), admin.key, admin.base)

    made = [
        client.post("/projects/", {"slug": f"p{number}", "name": "New", **more}).json
        for number, more in enumerate(({}, {"retention_days": 7}, {"retention_days": None}))
    ]

    assert [one["retention_days"] for one in made] == [90, 7, None]
    assert client.get("/projects/web/").json["retention_days"] is None


def test_project_of_another_organization_is_not_there(app: Flask, admin: ApiClient) -> None:
    make_project("other", "secret")

    assert admin.get("/projects/secret/").json == NOT_FOUND
    assert admin.patch("/projects/secret/", {"name": "x"}).json == NOT_FOUND
    assert admin.get("/api/other/-/projects/").json == NOT_FOUND
    assert admin.get("/projects/we%00b/").json == NOT_FOUND
    assert [one["slug"] for one in admin.get("/projects/").json["results"]] == ["web"]


def test_project_key_sees_and_changes_its_own_project_alone(app: Flask) -> None:
    make_project("acme", "jobs")
    own = manager(app, slug="web")

    assert [one["slug"] for one in own.get("/projects/").json["results"]] == ["web"]
    assert own.patch("/projects/web/", {"name": "Site"}).json["name"] == "Site"
    assert own.get("/projects/jobs/").json == NOT_FOUND
    assert own.patch("/projects/jobs/", {"name": "x"}).json == NOT_FOUND
    assert own.post("/projects/", {"slug": "more", "name": "More"}).json == DENIED


def test_list_is_walked_page_by_page(admin: ApiClient) -> None:
    slugs = [f"p{number}" for number in range(7)]
    for slug in slugs:
        admin.post("/projects/", {"slug": slug, "name": slug})

    assert walk(admin, "/projects/", "slug") == ["web", *slugs]
    page = admin.get("/projects/?page_size=3").json
    second = admin.get(page["next"].removeprefix("http://localhost")).json
    back = admin.get(second["previous"].removeprefix("http://localhost")).json
    assert back["results"] == page["results"]


@pytest.mark.parametrize("cursor", ["x", "bnw", "bnxhYmM", "bnwxfDI"])
def test_bad_cursor_is_not_found(admin: ApiClient, cursor: str) -> None:
    answer = admin.get(f"/projects/?cursor={cursor}")

    assert (answer.status_code, answer.json["errors"][0]["detail"]) == (404, "Invalid cursor")


def test_list_takes_as_many_queries_for_one_as_for_a_hundred(admin: ApiClient) -> None:
    admin.get("/projects/")
    with count_queries() as one:
        admin.get("/projects/")
    for number in range(100):
        make_project("acme", f"p{number}")
    admin.get("/projects/")  # The key is known again.
    with count_queries() as hundred:
        assert len(admin.get("/projects/?page_size=200").json["results"]) == 101

    assert len(hundred) == len(one) <= 2


def test_what_is_missing_comes_before_what_is_wrong(admin: ApiClient) -> None:
    wrong_body = {"name": None, "role": None}

    assert admin.patch("/projects/none/", wrong_body).json == NOT_FOUND
