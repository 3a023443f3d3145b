"""The history of a task over the API: oldest first, walked by cursors."""

from typing import Any

import pytest
from answers import NOT_FOUND, assert_problem, assert_wrong
from conftest import ApiClient


def page(api: ApiClient, url: str) -> dict[str, Any]:
    answer = api.get(url.removeprefix("http://localhost"))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json or {}
    return body


@pytest.fixture
def path(api: ApiClient) -> str:
    """The path of a history: created, then six changes of state."""
    task = api.create()
    for number in range(6):
        status = ["processing", "error"][number % 2]
        api.patch(f"/tasks/{task['id']}/", json={"status": status, "value": number})
    return f"/tasks/{task['id']}/events/"


def test_history_is_oldest_first(api: ApiClient, path: str) -> None:
    body = page(api, path)

    events = body["results"]
    assert (body["next"], body["previous"]) == (None, None)
    assert [(event["type"], event["status"], event["value"]) for event in events] == [
        ("created", "pending", None),
        ("status", "processing", 0),
        ("status", "error", 1),
        ("status", "processing", 2),
        ("status", "error", 3),
        ("status", "processing", 4),
        ("status", "error", 5),
    ]
    assert {tuple(event["actor"].items()) for event in events} == {
        (("type", "key"), ("name", "ci"))
    }
    assert all(set(event) == set(events[0]) for event in events)
    assert [event["created"] for event in events] == sorted(event["created"] for event in events)


def test_last_entry_is_as_old_as_the_last_update(api: ApiClient, path: str) -> None:
    task = page(api, path.removesuffix("events/"))

    assert page(api, path)["results"][-1]["created"] == task["updated"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_walk_in_both_directions(api: ApiClient, path: str, slash: str) -> None:
    whole = [event["id"] for event in page(api, path)["results"]]
    url = f"{path.rstrip('/')}{slash}?page_size=3"

    pages = [page(api, url)]
    while pages[-1]["next"]:
        pages.append(page(api, pages[-1]["next"]))
    back = [page(api, pages[-1]["previous"])]
    while back[-1]["previous"]:
        back.append(page(api, back[-1]["previous"]))

    assert [[e["id"] for e in one["results"]] for one in pages] == [
        whole[:3],
        whole[3:6],
        whole[6:],
    ]
    assert [[e["id"] for e in one["results"]] for one in back] == [whole[3:6], whole[:3]]
    assert pages[0]["previous"] is None


def test_entries_that_come_meanwhile_are_at_the_end_of_the_walk(api: ApiClient, path: str) -> None:
    first = page(api, f"{path}?page_size=5")
    api.patch(path.removesuffix("events/"), json={"status": "success"})

    second = page(api, first["next"])

    assert [event["status"] for event in second["results"]] == ["processing", "error", "success"]


def test_bad_page_size_and_bad_cursor(api: ApiClient, path: str) -> None:
    size = api.get(f"{path}?page_size=0")

    assert_wrong(size, ("page_size", "invalid", "A whole number above 0 is required."))
    for cursor in ("x", "bnxhYmM", "bnwtMQ", "bnw5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"):
        answer = api.get(f"{path}?cursor={cursor}")
        assert_problem(answer, 404, "not_found", "Invalid cursor")


def test_history_of_an_unknown_task_is_not_found(api: ApiClient) -> None:
    assert_problem(api.get(f"/tasks/{'A' * 22}/events/"), 404, *NOT_FOUND)
