"""A real Celery worker on a real Redis, with the SDK's Celery integration."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acceptance.background import running
from acceptance.live import LiveProject, LiveServer
from acceptance.sdks import LATEST, SCRIPTS, Sdk, clean_environment, run_script
from processes import wait_until

TERMINAL = {"success", "error", "cancelled"}


def worker(sdk: Sdk, home: Path, variables: dict[str, str]) -> AbstractContextManager[None]:
    """Run a Celery worker until the block ends."""
    options = ("--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "INFO")
    command = [sdk.python, "-I", SCRIPTS / "celery_jobs.py", "worker", *options]
    return running(command, home, clean_environment(**variables))


@dataclass
class Ran:
    """What the publisher got back, and what the server holds when all is over."""

    live: LiveProject
    ids: dict[str, str | None]
    celery: dict[str, str]
    results: dict[str, Any]
    tasks: list[dict[str, Any]]

    def named(self, job: str) -> dict[str, Any]:
        """Return the task of the job that was published as *job*."""
        [task] = [
            task
            for task in self.tasks
            if task["external_id"] == self.celery[job] and task["parent"] is None
        ]
        return task


@pytest.fixture(scope="module")
def ran(
    sdk: Callable[[str], Sdk],
    live_server: LiveServer,
    redis_url: str,
    key_prefix: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ran]:
    """One of each job, published and done."""
    home, latest = tmp_path_factory.mktemp("celery"), sdk(LATEST)
    with live_server.new_project() as live:
        variables = {
            **live.script_variables,
            "LIVE_REDIS": redis_url,
            "LIVE_PREFIX": f"{key_prefix}{live.slug}:",
        }
        with worker(latest, home, variables):
            seen = run_script(latest, "celery_jobs.py", "publish", cwd=home, **variables)
            # A result is there a moment before the SDK has told the server.
            wait_until(
                lambda: {task["status"] for task in live.tasks()} <= TERMINAL, "the last status"
            )
        yield Ran(live, tasks=live.tasks(), **seen)


def part(task: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(task[name] for name in names)


def test_jobs_return_what_they_should(ran: Ran) -> None:
    assert ran.results == {
        "add": 5,
        "plain": "WORD",
        "ignored": "not tracked",
        "untracked": 2,
        "progress": None,
        "fail": "ValueError('no luck')",
        "flaky": "at last",
        "slow": 3,
        "map": [3, 7],
        "chain": 13,
        "children": [10, 20],
    }


def test_tracked_jobs_and_no_others_are_on_the_server(ran: Ran) -> None:
    assert sorted(part(task, "name", "status", "queue") for task in ran.tasks) == [
        ("jobs.add", "success", "jobs"),
        ("jobs.add", "success", "jobs"),
        ("jobs.add", "success", "jobs"),
        ("jobs.add (starmap 2)", "success", "jobs"),
        ("jobs.child", "success", "jobs"),
        ("jobs.child", "success", "jobs"),
        ("jobs.flaky", "error", "jobs"),
        ("jobs.flaky", "success", "jobs"),
        ("jobs.parent", "success", "jobs"),
        ("jobs.plain", "success", "jobs"),
        ("jobs.progress", "success", "jobs"),
        ("jobs.slow", "success", "jobs"),
        ("must fail", "error", "jobs"),
    ]


def test_tracked_job_goes_from_pending_to_success(ran: Ran) -> None:
    task = ran.named("add")

    assert task["id"] == ran.ids["add"]
    assert part(task, "value", "value_max", "tags") == (None, 3, {"kind": "sum"})
    assert ran.live.statuses(task["id"]) == ["pending", "processing", "success"]


def test_automatically_tracked_job_keeps_its_arguments(ran: Ran) -> None:
    assert ran.named("plain")["data"] == {"celery_task_args": ["word"], "celery_task_kwargs": {}}


def test_job_reports_its_own_progress(ran: Ran) -> None:
    task = ran.named("progress")

    assert part(task, "value", "value_max", "value_percent") == (4, 4, 100)
    assert ran.live.statuses(task["id"]) == ["pending", "processing", "success"]


def test_failing_job_keeps_its_traceback(ran: Ran) -> None:
    task = ran.named("fail")

    assert part(task, "name", "status") == ("must fail", "error")
    assert task["data"]["try"] == 1
    assert task["data"]["exception"].splitlines()[-1] == "ValueError: no luck"
    assert ran.live.statuses(task["id"]) == ["pending", "processing", "error"]


def test_retried_job_is_an_error_with_its_retry_below(ran: Ran) -> None:
    first = ran.named("flaky")
    [retry] = ran.live.tasks(parent=first["id"])

    assert first["data"]["exception"].splitlines()[-1].startswith("celery.exceptions.Retry")
    assert ran.live.statuses(first["id"]) == ["pending", "processing", "error"]
    assert part(retry, "name", "external_id") == ("jobs.flaky", ran.celery["flaky"])
    assert ran.live.statuses(retry["id"]) == ["pending", "processing", "success"]


def test_job_published_by_a_job_is_its_child(ran: Ran) -> None:
    parent = ran.named("parent")

    children = ran.live.tasks(parent=parent["id"])
    assert [part(task, "name", "status") for task in children] == [("jobs.child", "success")] * 2


def test_heartbeat_sets_a_stale_timeout_and_pings(ran: Ran) -> None:
    """The job itself waited for two changes that it had not made: see its result."""
    task = ran.named("slow")

    assert part(task, "stale_timeout", "status") == (1, "success")
    assert ran.live.statuses(task["id"]) == ["pending", "processing", "success"]


def test_canvas_job_says_how_much_it_does(ran: Ran) -> None:
    assert ran.named("map")["data"] == {"canvas_type": "celery.starmap", "item_count": 2}


def test_next_link_of_a_chain_is_no_child(ran: Ran) -> None:
    assert part(ran.named("chain"), "name", "parent") == ("jobs.add", None)
