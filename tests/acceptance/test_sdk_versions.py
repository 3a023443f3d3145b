"""The basics with four versions of the official SDK."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from acceptance.live import LiveProject, LiveServer, with_times
from acceptance.sdks import HEALTHCHECKS, REQUIREMENTS, Sdk, run_script


def part(task: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(task[name] for name in names)


Ran = tuple[dict[str, Any], LiveProject]


@pytest.fixture(
    scope="module", params=[version for version in REQUIREMENTS if version != HEALTHCHECKS]
)
def ran(
    request: pytest.FixtureRequest,
    sdk: Callable[[str], Sdk],
    live_server: LiveServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ran]:
    """What each step gave with one version of the SDK, and the project that it worked on."""
    home = tmp_path_factory.mktemp("sdk")
    with live_server.new_project() as live:
        steps = run_script(sdk(request.param), "basics.py", cwd=home, **live.script_variables)
        yield steps, live


def test_basics_of_the_sdk_work(ran: Ran) -> None:
    steps, live = ran

    created = steps["create"]
    progress = ("status", "value", "value_max", "value_percent")
    assert part(created, "organization", "project", "name") == (
        live.organization,
        live.slug,
        "basics",
    )
    assert part(created, *progress) == ("pending", 1, 20, 5)
    assert part(created, "max_runtime", "stale_timeout") == (60, 30)
    assert created["data"] == {"a": {"b": [1, 2.5, None]}}
    assert created["tags"] == {"env": "prod"}
    assert created["url"] == f"{live.host}/a/{live.organization}/tasks/{created['id']}/"
    assert created["public_url"] == f"{live.host}/public/tasks/{created['id']}/"
    assert steps["get"] == created
    assert part(steps["starting"], *progress) == ("processing", 0, 20, 0)
    assert part(steps["update_value"], *progress) == ("processing", 5, 20, 25)
    assert part(steps["increment"], *progress) == ("processing", 8, 20, 40)
    assert steps["merge"]["data"] == {"a": {"b": [1, 2.5, None]}, "c": "✓"}
    assert steps["tag"]["tags"] == {"env": "test", "team": "ops"}
    assert steps["ping"] == {**steps["tag"], "updated": steps["ping"]["updated"]}
    assert with_times(steps["ping"])["updated"] > with_times(steps["tag"])["updated"]
    assert part(steps["update"], "name", "data", "value_max") == ("renamed", {"d": 1}, 50)
    assert part(steps["success"], *progress) == ("success", 50, 50, 100)
    assert part(steps["error"], "status", "value", "data") == ("error", 7, {"why": "because"})
    assert steps["canceled"]["status"] == "cancelled"


def test_server_holds_what_the_sdk_was_told(ran: Ran) -> None:
    steps, live = ran

    held = live.tasks()
    assert [part(task, "name", "status", "max_runtime") for task in held] == [
        ("renamed", "success", 60),
        ("in a session", "error", None),
        ("cancelled in a session", "cancelled", None),
        ("__main__.double", "success", None),
        ("explodes", "error", 9),
    ]
    last = [steps["success"], steps["error"], steps["canceled"]]
    assert [with_times(task) for task in last] == [with_times(task) for task in held[:3]]
    assert [with_times(task) for task in steps["list"]] == [
        with_times(task) for task in held[:1:-1]
    ]
    assert held[4]["data"] == {"exception": "boom"}
    assert live.statuses(held[0]["id"]) == ["pending", "processing", "success"]
    assert live.statuses(held[4]["id"]) == ["processing", "error"]
