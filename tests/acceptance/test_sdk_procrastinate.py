"""A real Procrastinate worker on PostgreSQL, with the SDK's Procrastinate integration."""

from collections.abc import Callable
from typing import Any

from acceptance.live import LiveProject


def part(task: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(task[name] for name in names)


def test_procrastinate_jobs_are_tracked(
    run_sdk: Callable[..., Any], live: LiveProject, new_postgresql: Callable[[], str]
) -> None:
    jobs = run_sdk("procrastinate_jobs.py", LIVE_PG=new_postgresql())

    tasks = live.tasks()
    by_job = {task["external_id"]: task for task in tasks}
    names = ("add", "plain", "fail", "flaky", "parent")
    add, plain, fail, flaky, parent = (by_job[jobs[name]] for name in names)
    children = live.tasks(parent=parent["id"])
    assert len(tasks) == 7  # the excluded job is not among them
    assert part(add, "name", "status", "queue", "value", "value_percent", "tags", "data") == (
        "adds up",
        "success",
        "sums",
        5,
        100,
        {"kind": "sum"},
        {"procrastinate_task_kwargs": {"x": 2, "y": 3}, "sum": 5},
    )
    assert part(plain, "name", "status", "queue", "stale_timeout", "parent") == (
        "jobs.plain",
        "success",
        "jobs",
        60,
        None,
    )
    assert part(fail, "status", "data") == ("error", {"exception": "no luck"})
    assert part(flaky, "status", "data") == ("success", {"exception": "not yet"})
    assert [part(child, "name", "status") for child in children] == [
        ("jobs.plain", "success"),
        ("jobs.plain", "success"),
    ]
    assert [live.statuses(task["id"]) for task in (add, fail, flaky)] == [
        ["pending", "processing", "success"],
        ["pending", "processing", "error"],
        ["pending", "processing", "error", "processing", "success"],
    ]
