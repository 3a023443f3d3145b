"""The monitor endpoints, and tasks that name their monitor."""

from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_key, make_project
from flask import Flask
from managing import NOT_FOUND
from watching import Watch, sweep

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef

HOURLY = {"name": "hourly", "type": "cron", "schedule": "0 * * * *"}
EVERY_TEN = {"name": "queue", "type": "interval", "interval": 600}
TO_EMAIL = {"integration": "email", "config": {"to": "ops@example.com"}}


@pytest.fixture
def admin(api: ApiClient) -> ApiClient:
    """A client whose key may manage the project ``acme/web``."""
    return ApiClient(api.client, make_key(scopes="admin"))


def created(admin: ApiClient, **fields: Any) -> dict[str, Any]:
    response = admin.post("/monitors/", json={**HOURLY, **fields})
    assert response.status_code == 201, response.text
    monitor: dict[str, Any] = response.json
    return monitor


# Create, read, change, delete


def test_cron_monitor_has_its_defaults(admin: ApiClient) -> None:
    monitor = created(admin)

    assert monitor == {
        "id": monitor["id"],
        "organization": "acme",
        "project": "web",
        "name": "hourly",
        "slug": "hourly",
        "ping_url": monitor["ping_url"],
        "task_name": None,
        "type": "cron",
        "schedule": "0 * * * *",
        "interval": None,
        "anchor": None,
        "timezone": "UTC",
        "start_grace": None,
        "max_runtime": None,
        "early_margin": None,
        "failure_threshold": 1,
        "recovery_threshold": 1,
        "status": "active",
        "muted_until": None,
        "action": [],
        "remind_after": 0,
        "escalation": [],
        "health": "new",
        "expected_at": monitor["expected_at"],
        "created": monitor["created"],
        "updated": monitor["created"],
    }
    assert monitor["expected_at"][13:] == ":00:00.000000Z"
    assert monitor["expected_at"] > monitor["created"]


def test_every_field_is_kept(admin: ApiClient) -> None:
    fields = {
        "name": "queue",
        "slug": "the_queue-2",
        "task_name": "import files",
        "type": "interval",
        "interval": 3600,
        "anchor": "end",
        "timezone": "Europe/Paris",
        "start_grace": 0,
        "max_runtime": 60,
        "early_margin": 0,
        "failure_threshold": 720,
        "recovery_threshold": 2,
        "status": "muted",
        "muted_until": "2999-01-01T00:00:00.000000Z",
        "action": [TO_EMAIL],
        "remind_after": 300,
        "escalation": [{"after": 900, "channels": [TO_EMAIL]}],
    }

    monitor = created(admin, schedule=None, **fields)

    assert {name: monitor[name] for name in fields} == fields
    assert (monitor["health"], monitor["expected_at"]) == ("new", None)


def test_monitor_can_be_read_back_by_who_may_read(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin)

    shown = {**monitor, "ping_url": None}
    assert api.get(f"/monitors/{monitor['id']}/").json == shown
    assert api.get("/monitors/").json == {"next": None, "previous": None, "results": [shown]}


def test_task_name_is_trimmed_and_given_back(admin: ApiClient) -> None:
    monitor = created(admin, task_name="  job ")
    path = f"/monitors/{monitor['id']}/"

    freed = admin.patch(path, json={"task_name": None})

    assert (monitor["task_name"], freed.json["task_name"]) == ("job", None)


def test_task_name_of_another_monitor_is_refused(admin: ApiClient) -> None:
    created(admin, task_name="job")

    answer = admin.post("/monitors/", json={**HOURLY, "task_name": "job"})

    assert (answer.status_code, answer.json["errors"]) == (
        400,
        [
            {
                "code": "invalid",
                "detail": "Another monitor of this project has the task name “job”.",
                "attr": "task_name",
            }
        ],
    )


def test_task_of_the_name_is_a_run(admin: ApiClient) -> None:
    monitor = created(admin, task_name="job")

    task = admin.create(name="job", status="success")

    slots = admin.get(f"/monitors/{monitor['id']}/slots/").json["results"]
    assert [(each["state"], each["task"]) for each in slots] == [
        ("expected", None),
        ("ok", task["id"]),
    ]


def test_patch_changes_what_it_names(admin: ApiClient) -> None:
    monitor = created(admin, max_runtime=60)

    changed = admin.patch(
        f"/monitors/{monitor['id']}/", json={"name": "renamed", "max_runtime": None}
    )

    assert changed.json == monitor | {
        "name": "renamed",
        "max_runtime": None,
        "updated": changed.json["updated"],
    }


def test_put_keeps_what_is_left_out(admin: ApiClient) -> None:
    monitor = created(admin, max_runtime=60)

    changed = admin.put(f"/monitors/{monitor['id']}/", json={"name": "new", "type": "cron"})

    assert changed.json == monitor | {"name": "new", "updated": changed.json["updated"]}


def test_put_asks_for_name_and_type(admin: ApiClient) -> None:
    monitor = created(admin)

    refused = admin.put(f"/monitors/{monitor['id']}/", json={})

    assert refused.json["errors"] == [
        {"code": "required", "detail": "This field is required.", "attr": "name"},
        {"code": "required", "detail": "This field is required.", "attr": "type"},
    ]


def test_type_can_be_changed(admin: ApiClient) -> None:
    monitor = created(admin)

    changed = admin.patch(
        f"/monitors/{monitor['id']}/", json={"type": "interval", "interval": 60}
    ).json

    assert [changed[name] for name in ("type", "schedule", "interval", "anchor")] == [
        "interval",
        None,
        60,
        "start",
    ]


def test_deleted_monitor_is_gone_and_its_tasks_stay(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin)
    task = run(api, monitor["id"]).json

    assert admin.delete(f"/monitors/{monitor['id']}/").status_code == 204

    assert admin.delete(f"/monitors/{monitor['id']}/").json == NOT_FOUND
    assert admin.get(f"/monitors/{monitor['id']}/").json == NOT_FOUND
    assert api.patch(f"/tasks/{task['id']}/", json={"status": "success"}).status_code == 200


def test_status_pauses_and_resumes(admin: ApiClient) -> None:
    path = f"/monitors/{created(admin)['id']}/"

    seen = [
        admin.patch(path, json={"status": status}).json for status in ("paused", "muted", "active")
    ]

    assert [(monitor["status"], monitor["health"]) for monitor in seen] == [
        ("paused", "paused"),
        ("muted", "new"),
        ("active", "new"),
    ]


def test_mute_that_has_run_out_is_none(admin: ApiClient, project: ProjectRef) -> None:
    watch = Watch(project, "2020-01-01 00:00", {"status": "muted"})
    watch.edit("2020-01-01 00:00", muted_until=utcnow().replace(year=2021))

    shown = admin.get(f"/monitors/{watch.monitor.id}/").json

    assert (shown["status"], shown["muted_until"]) == ("active", None)


# What is refused

REFUSED = [
    ({"schedule": None}, "required", "This field is required.", "schedule"),
    (
        {"schedule": "0 25 * * *"},
        "invalid",
        'hour: "25" is not valid; use 0 to 23.',
        "schedule",
    ),
    (
        {"schedule": "0 0 * *"},
        "invalid",
        "day-of-week: the field is missing; a schedule has five: minute hour day-of-month month "
        "day-of-week.",
        "schedule",
    ),
    (
        {"schedule": "0 0 31 2 *"},
        "invalid",
        'day-of-month: "31" never occurs with month "2" and day-of-week "*".',
        "schedule",
    ),
    (
        {"timezone": "Mars/Olympus"},
        "invalid",
        'timezone: "Mars/Olympus" is unknown; use an IANA name such as Europe/Paris or UTC.',
        "timezone",
    ),
    ({"type": "daily"}, "invalid_choice", '"daily" is not a valid choice.', "type"),
    ({"interval": 60}, "invalid", "Only valid for monitors of type interval.", "interval"),
    ({"anchor": "end"}, "invalid", "Only valid for monitors of type interval.", "anchor"),
    (
        {"type": "interval", "interval": 60},
        "invalid",
        "Only valid for monitors of type cron.",
        "schedule",
    ),
    ({"type": "interval", "schedule": None}, "required", "This field is required.", "interval"),
    (
        {"type": "interval", "interval": 59, "schedule": None},
        "min_value",
        "Ensure this value is greater than or equal to 60.",
        "interval",
    ),
    (
        {"type": "interval", "interval": 31_536_001, "schedule": None},
        "max_value",
        "Ensure this value is less than or equal to 31536000.",
        "interval",
    ),
    (
        {"start_grace": -1},
        "min_value",
        "Ensure this value is greater than or equal to 0.",
        "start_grace",
    ),
    (
        {"max_runtime": 0},
        "min_value",
        "Ensure this value is greater than or equal to 1.",
        "max_runtime",
    ),
    (
        {"early_margin": "soon"},
        "invalid",
        "A valid integer is required.",
        "early_margin",
    ),
    (
        {"failure_threshold": 721},
        "max_value",
        "Ensure this value is less than or equal to 720.",
        "failure_threshold",
    ),
    (
        {"remind_after": 299},
        "min_value",
        "Give 0, or 300 seconds or more.",
        "remind_after",
    ),
    (
        {"escalation": [{"after": 60, "channels": []}]},
        "invalid",
        "Choose at least one e-mail address or channel.",
        "escalation.0.channels",
    ),
    ({"recovery_threshold": None}, "null", "This field may not be null.", "recovery_threshold"),
    ({"name": " "}, "blank", "This field may not be blank.", "name"),
    ({"task_name": " "}, "blank", "This field may not be blank.", "task_name"),
    (
        {"task_name": "x" * 256},
        "max_length",
        "Ensure this field has no more than 255 characters.",
        "task_name",
    ),
    ({"status": "off"}, "invalid_choice", '"off" is not a valid choice.', "status"),
    (
        {"muted_until": "2999-01-01T00:00:00Z"},
        "invalid",
        "Only valid with the status muted.",
        "muted_until",
    ),
    (
        {"status": "muted", "muted_until": "2020-01-01T00:00:00Z"},
        "invalid",
        "Give a time in the future.",
        "muted_until",
    ),
    ({"action": {}}, "invalid", "Expected a list of channels.", "action"),
    (
        {"action": [TO_EMAIL] * 11},
        "max_length",
        "Ensure this field has no more than 10 channels.",
        "action",
    ),
    (
        {"action": [{"integration": "email", "config": {}}]},
        "required",
        "This field is required.",
        "action.0.config.to",
    ),
    ({"action": [{}]}, "required", "This field is required.", "action.0.integration"),
    (
        {"action": [TO_EMAIL, {"integration": "webhook:ops"}]},
        "does_not_exist",
        "There is no channel “webhook:ops” in this organization.",
        "action.1.integration",
    ),
]


@pytest.mark.parametrize(("fields", "code", "detail", "attr"), REFUSED)
def test_wrong_field_is_named(
    admin: ApiClient, fields: dict[str, Any], code: str, detail: str, attr: str
) -> None:
    refused = admin.post("/monitors/", json={**HOURLY, **fields})

    assert (refused.status_code, refused.json) == (400, wrong((attr, code, detail)))


def test_all_wrong_fields_are_named(admin: ApiClient) -> None:
    refused = admin.post(
        "/monitors/", json={**HOURLY, "interval": 60, "schedule": "? * * * *", "timezone": "X"}
    )

    assert [one["attr"] for one in refused.json["errors"]] == ["interval", "timezone", "schedule"]


def test_refused_change_leaves_the_monitor_as_it_was(admin: ApiClient) -> None:
    monitor = created(admin)

    assert admin.patch(f"/monitors/{monitor['id']}/", json={"interval": 60}).status_code == 400

    assert admin.get(f"/monitors/{monitor['id']}/").json == monitor


def test_key_without_the_admin_scope_changes_nothing(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin)
    path = f"/monitors/{monitor['id']}/"

    answers = [
        api.post("/monitors/", json=HOURLY),
        api.patch(path, json={"name": "x"}),
        api.put(path, json=HOURLY),
        api.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert answers[0].json["errors"][0]["code"] == "permission_denied"


def test_key_that_may_only_ingest_sees_no_monitors(app: Flask, admin: ApiClient) -> None:
    created(admin)
    ingest = ApiClient(app.test_client(), make_key(scopes="ingest"))

    assert ingest.get("/monitors/").status_code == 403


@pytest.mark.parametrize("part", ["", "slots/", "incidents/", "expected/"])
def test_monitor_of_another_project_is_not_found(admin: ApiClient, part: str) -> None:
    other = Watch(make_project("acme", "jobs")).monitor.id

    for name in (other, "00000000-0000-0000-0000-000000000000", "nonsense"):
        assert admin.get(f"/monitors/{name}/{part}").json == NOT_FOUND


def test_monitor_of_another_project_cannot_be_changed(admin: ApiClient) -> None:
    path = f"/monitors/{Watch(make_project('acme', 'jobs')).monitor.id}/"

    answers = [
        admin.patch(path, json={"name": "ours"}),
        admin.put(path, json={"name": ""}),
        admin.delete(path),
    ]

    assert [answer.json for answer in answers] == [NOT_FOUND] * 3


# Lists


def walk(client: ApiClient, path: str) -> list[list[Any]]:
    """Return the pages of a list, walked forwards and then back."""
    pages, url = [], f"{path}?page_size=2"
    while url:
        page = client.get(url.partition("/api/acme/web")[2] or url).json
        pages.append(page["results"])
        url = page["next"]
    back = page["previous"]
    while back:
        page = client.get(back.partition("/api/acme/web")[2]).json
        pages.append(page["results"])
        back = page["previous"]
    return pages


def test_monitors_are_listed_newest_first_in_pages(admin: ApiClient) -> None:
    names = [created(admin, name=f"m{number}")["name"] for number in range(5)]

    pages = [[monitor["name"] for monitor in page] for page in walk(admin, "/monitors/")]

    assert sorted(name for page in pages[:3] for name in page) == names
    assert [len(page) for page in pages] == [2, 2, 1, 2, 2]
    assert pages[3:] == [pages[1], pages[0]]


def test_slots_are_listed_newest_first_in_pages(api: ApiClient, project: ProjectRef) -> None:
    watch = Watch(project)
    task = watch.run("11:40", "success")
    watch.run("11:41", "success")
    for hour in (12, 13, 14):
        sweep(f"{hour}:01")

    pages = walk(api, f"/monitors/{watch.monitor.id}/slots/")

    assert [[slot["state"] for slot in page] for page in pages] == [
        ["expected", "missed"],
        ["missed", "missed"],
        ["ok"],
        ["missed", "missed"],
        ["expected", "missed"],
    ]
    assert pages[2][0] == {
        "expected_at": "2026-06-01T11:00:00.000000Z",
        "last_expected_at": "2026-06-01T11:00:00.000000Z",
        "count": 1,
        "deadline_at": None,
        "state": "ok",
        "started_at": "2026-06-01T11:40:00.000000Z",
        "ended_at": "2026-06-01T11:40:00.000000Z",
        "task": task,
        "extra_runs": 1,
    }


def test_incidents_are_listed_newest_first_in_pages(api: ApiClient, project: ProjectRef) -> None:
    watch = Watch(project)
    for hour in range(12, 17):
        watch.run(f"{hour}:00", "success" if hour % 2 else "error")

    pages = walk(api, f"/monitors/{watch.monitor.id}/incidents/")

    assert [[one["opened_at"][11:16] for one in page] for page in pages] == [
        ["16:00", "14:00"],
        ["12:00"],
        ["16:00", "14:00"],
    ]
    assert pages[1][0] == {
        "id": pages[1][0]["id"],
        "opened_at": "2026-06-01T12:00:00.000000Z",
        "closed_at": "2026-06-01T13:00:00.000000Z",
        "bad_slots": 1,
    }
    assert pages[0][0]["closed_at"] is None


@pytest.mark.parametrize("path", ["/monitors/", "slots/", "incidents/"])
def test_bad_cursor_is_not_found(api: ApiClient, project: ProjectRef, path: str) -> None:
    if path != "/monitors/":
        path = f"/monitors/{Watch(project).monitor.id}/{path}"

    for cursor in ("bnx4", "nonsense"):  # "n|x", and none at all
        answer = api.get(f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json["errors"][0]["detail"]) == (404, "Invalid cursor")


def test_list_takes_the_same_queries_for_one_and_for_three(
    api: ApiClient, project: ProjectRef
) -> None:
    counts = []
    for _ in range(2):
        Watch(project).run("12:00", "error")
        api.get("/monitors/")
        with count_queries() as statements:
            answer = api.get("/monitors/").json
        counts.append(len(statements))
        Watch(project)

    assert [one["health"] for one in answer["results"]].count("failing") == 2
    assert counts[0] == counts[1]


def test_expected_runs_are_in_both_zones(admin: ApiClient, project: ProjectRef) -> None:
    fields = {"schedule": "30 1 * * *", "timezone": "Europe/London"}
    watch = Watch(project, "2026-03-27 12:00", fields)

    runs = admin.get(f"/monitors/{watch.monitor.id}/expected/?count=3").json

    assert runs == [
        {
            "expected_at": "2026-03-28T01:30:00.000000Z",
            "local_time": "2026-03-28T01:30:00+00:00",
        },
        {
            "expected_at": "2026-03-29T01:00:00.000000Z",
            "local_time": "2026-03-29T02:00:00+01:00",
        },
        {
            "expected_at": "2026-03-30T00:30:00.000000Z",
            "local_time": "2026-03-30T01:30:00+01:00",
        },
    ]


def test_expected_runs_are_five_unless_asked(admin: ApiClient, project: ProjectRef) -> None:
    cron, new = Watch(project), Watch(project, fields={"interval": 60})
    interval, paused = Watch(project, fields={"interval": 60}), Watch(project)
    interval.run("12:00", "success")
    paused.edit("11:40", status="paused")

    answers = [
        admin.get(f"/monitors/{one.monitor.id}/expected/").json
        for one in (cron, new, interval, paused)
    ]
    found = [[run["expected_at"][11:16] for run in runs] for runs in answers]

    assert found == [
        ["12:00", "13:00", "14:00", "15:00", "16:00"],
        [],
        ["12:01", "12:02", "12:03", "12:04", "12:05"],
        [],
    ]


@pytest.mark.parametrize("count", ["0", "101", "x", "-1", "", "9" * 5000, "00000000199999999"])
def test_count_of_expected_runs_is_checked(
    admin: ApiClient, project: ProjectRef, count: str
) -> None:
    path = f"/monitors/{Watch(project).monitor.id}/expected/?count={count}"

    assert admin.get(path).json == wrong(
        ("count", "invalid", "A whole number, 1 to 100, is required.")
    )


# Tasks


def run(api: ApiClient, monitor: str, **fields: Any) -> Any:
    headers = {"X-TASKBADGER-MONITOR": monitor}
    return api.post("/tasks/", json={"name": "job", **fields}, headers=headers)


def test_task_with_the_header_fills_the_monitors_slot(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin, **EVERY_TEN, schedule=None)
    path = f"/monitors/{monitor['id']}/"

    task = run(api, monitor["id"], status="processing").json
    going = api.get(f"{path}slots/").json["results"]
    api.patch(f"/tasks/{task['id']}/", json={"status": "success"})
    ended = api.get(f"{path}slots/").json["results"]

    assert [(slot["state"], slot["task"]) for slot in going] == [
        ("expected", None),
        ("running", task["id"]),
    ]
    assert [slot["state"] for slot in ended] == ["expected", "ok"]
    assert api.get(path).json["health"] == "healthy"


def test_failing_task_makes_the_monitor_fail(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin)
    path = f"/monitors/{monitor['id']}/"

    run(api, monitor["id"], status="error")

    assert api.get(path).json["health"] == "failing"
    assert len(api.get(f"{path}incidents/").json["results"]) == 1
    assert admin.patch(path, json={"name": "x"}).json["health"] == "failing"


def test_tasks_of_a_monitor_can_be_listed(admin: ApiClient, api: ApiClient) -> None:
    monitor = created(admin)
    task = run(api, monitor["id"]).json
    api.create()

    found = api.get(f"/tasks/?monitor={monitor['id']}").json["results"]

    assert [one["id"] for one in found] == [task["id"]]


def test_header_that_names_no_monitor_is_refused(api: ApiClient) -> None:
    other = str(Watch(make_project("acme", "jobs")).monitor.id)

    for name in (other, "00000000-0000-0000-0000-000000000000", "nonsense", ""):
        refused = run(api, name)
        assert refused.status_code == 400
        detail = f"There is no monitor “{name}” in this project."
        assert refused.json == wrong(("X-TASKBADGER-MONITOR", "does_not_exist", detail))
    assert api.get().json["results"] == []


def test_task_of_no_monitor_pays_nothing_for_monitors(admin: ApiClient, api: ApiClient) -> None:
    created(admin)
    task = api.create(status="processing")

    with count_queries() as statements:
        api.patch(f"/tasks/{task['id']}/", json={"status": "success"})

    others = [text for text in statements if "FROM task " not in text]
    assert [text for text in others if "monitor " in text or "slot" in text] == []


# Slugs


def test_slugs_are_made_of_names(admin: ApiClient) -> None:
    names = ("Nightly Größe!", "nightly grosse", "日本", "日本", "x" * 150)

    made = [created(admin, name=name)["slug"] for name in names]

    assert made == ["nightly-grosse", "nightly-grosse-2", "monitor", "monitor-2", "x" * 100]


def test_slug_is_changed_and_free_again(admin: ApiClient) -> None:
    one = created(admin, slug="a")
    admin.patch(f"/monitors/{one['id']}/", json={"slug": "b"})

    assert created(admin, slug="a")["slug"] == "a"
    assert admin.get(f"/monitors/{one['id']}/").json["slug"] == "b"


def test_slug_of_another_monitor_is_refused(admin: ApiClient) -> None:
    created(admin, slug="a")
    other = created(admin, slug="b", name="other")
    detail = "Another monitor of this project has the slug “a”."

    answers = [
        admin.post("/monitors/", json={**HOURLY, "slug": "a"}),
        admin.patch(f"/monitors/{other['id']}/", json={"slug": "a", "name": "changed"}),
    ]

    assert [answer.json for answer in answers] == [wrong(("slug", "invalid", detail))] * 2
    assert admin.get(f"/monitors/{other['id']}/").json["name"] == "other"


@pytest.mark.parametrize("slug", ["", "A", "ä", "a b", "a/b", "a" * 101, None, 1])
def test_slug_with_other_signs_is_refused(admin: ApiClient, slug: Any) -> None:
    answer = admin.post("/monitors/", json={**HOURLY, "slug": slug})

    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json["errors"]] == ["slug"]
