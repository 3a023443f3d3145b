"""The command line of the official SDK, unmodified, pointed here by TASKBADGER_HOST."""

import csv
import json
import re
from collections.abc import Callable
from datetime import datetime
from subprocess import CompletedProcess
from typing import Any

import pytest
from acceptance.live import LiveProject, with_times

Cli = Callable[..., CompletedProcess[str]]
HEADER = ["Task ID", "Created", "Name", "Status", "Percent"]


def printed(done: CompletedProcess[str]) -> str:
    """Return what a command that succeeded printed."""
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def shown(task: dict[str, Any]) -> list[str]:
    """Return the columns that the command line shows of a task."""
    created = datetime.fromisoformat(task["created"]).isoformat()
    return [task["id"], created, task["name"], task["status"], str(task["value_percent"])]


def test_create_prints_the_public_page(run_cli: Cli, live: LiveProject) -> None:
    done = run_cli(
        *("create", "nightly export", "--status", "pending", "--value-max", "10"),
        *("--queue", "night", "--metadata", "k=v", "--metadata-json", '{"n": [1, null]}'),
        *("--tag", "env=prod", "--tags-json", '{"team": "ops"}'),
    )

    [task] = live.tasks()
    assert printed(done) == f"Task created: {task['public_url']}\n"
    names = ("name", "status", "value", "value_max", "queue", "data", "tags")
    assert {name: task[name] for name in names} == {
        "name": "nightly export",
        "status": "pending",
        "value": None,
        "value_max": 10,
        "queue": "night",
        "data": {"k": "v", "n": [1, None]},
        "tags": {"env": "prod", "team": "ops"},
    }


def test_update_changes_the_task_that_create_named(run_cli: Cli, live: LiveProject) -> None:
    task_id = printed(run_cli("create", "quiet", "--quiet", "--tag", "env=prod")).strip()

    done = run_cli(
        *("update", task_id, "--name", "loud", "--status", "success", "--value", "7"),
        *("--value-max", "8", "--tag", "team=ops", "--metadata", "k=v", "--queue", "day"),
    )

    [task] = live.tasks()
    assert printed(done) == f"Task updated: {task['public_url']}\n"
    names = ("id", "name", "status", "value", "value_percent", "queue", "data", "tags")
    assert {name: task[name] for name in names} == {
        "id": task_id,
        "name": "loud",
        "status": "success",
        "value": 7,
        "value_percent": 87,
        "queue": "day",
        "data": {"k": "v"},
        "tags": {"env": "prod", "team": "ops"},
    }
    assert live.statuses(task_id) == ["processing", "success"]


def test_get_shows_a_task_in_three_formats(run_cli: Cli, live: LiveProject) -> None:
    task = live.create(value=3, value_max=4, tags={"env": "prod"}, data=[1, "two"])

    pretty = printed(run_cli("get", task["id"]))
    as_json = json.loads(printed(run_cli("get", task["id"], "--format", "json")))
    as_csv = printed(run_cli("get", task["id"], "--format", "csv"))

    task_id, created, name, status, percent = shown(task)
    assert pretty.splitlines() == [
        f"Task ID: {task_id}",
        f"Created: {created}",
        f"Name: {name}",
        f"Status: {status}",
        f"Percent: {percent}%",
    ]
    assert with_times(as_json) == with_times(task)
    assert list(csv.reader(as_csv.splitlines())) == [HEADER, shown(task)]


def test_list_shows_tasks_in_three_formats(run_cli: Cli, live: LiveProject) -> None:
    tasks = [live.create(name=f"task {number}", value=number) for number in range(3)][::-1]

    pretty = printed(run_cli("list"))
    as_json = json.loads(printed(run_cli("list", "--format", "json")))
    as_csv = printed(run_cli("list", "--format", "csv"))

    title, *lines = pretty.splitlines()
    assert title.strip() == f"Project: {live.slug}, Organization: {live.organization}"
    rows = [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in lines]
    assert [row for row in rows if row] == [HEADER, *map(shown, tasks)]
    assert as_json["next_token"] is None
    assert [with_times(task) for task in as_json["results"]] == [with_times(task) for task in tasks]
    assert list(csv.reader(as_csv.splitlines())) == [HEADER, *map(shown, tasks)]


def test_list_goes_on_where_it_stopped(run_cli: Cli, live: LiveProject) -> None:
    tasks = [live.create(name=f"task {number}") for number in range(3)][::-1]

    first = json.loads(printed(run_cli("list", "-f", "json", "--limit", "2")))
    *rows, [word, token] = csv.reader(
        printed(run_cli("list", "-f", "csv", "--limit", "2")).splitlines()
    )
    rest = json.loads(
        printed(run_cli("list", "-f", "json", "--limit", "2", "--start-token", token))
    )

    assert [task["id"] for task in first["results"]] == [task["id"] for task in tasks[:2]]
    assert (word, token) == ("next_token", first["next_token"])
    assert rows == [HEADER, *map(shown, tasks[:2])]
    assert [task["id"] for task in rest["results"]] == [tasks[2]["id"]]
    assert rest["next_token"] is None


def test_run_keeps_the_output_and_the_exit_code(run_cli: Cli, live: LiveProject) -> None:
    command = "echo out; echo err >&2; echo $TASKBADGER_TASK_ID; sleep 0.3; exit 3"

    done = run_cli("run", "fails", "--capture-output", "--tag", "env=prod", "--", command)

    [task] = live.tasks()
    assert (done.returncode, done.stdout) == (3, f"Task created: {task['public_url']}\n")
    names = ("name", "status", "value", "data", "tags", "stale_timeout")
    assert {name: task[name] for name in names} == {
        "name": "fails",
        "status": "error",
        "value": None,
        "data": {"stdout": f"out\n{task['id']}\n", "stderr": "err\n", "return_code": 3},
        "tags": {"env": "prod"},
        "stale_timeout": 10,
    }


def test_run_notes_success_and_passes_the_output_on(run_cli: Cli, live: LiveProject) -> None:
    done = run_cli("run", "works", "--", "sleep 0.1; echo out")

    [task] = live.tasks()
    assert printed(done) == f"Task created: {task['public_url']}\nout\n"
    assert (task["status"], task["value"], task["data"]) == ("success", 100, None)
    assert live.statuses(task["id"]) == ["processing", "success"]


@pytest.mark.parametrize("command", ["create", "update", "run"])
def test_action_is_added(run_cli: Cli, live: LiveProject, command: str) -> None:
    target = {
        "create": ("with action",),
        "update": (live.create()["id"] if command == "update" else "",),
        "run": ("with action",),
    }[command]
    rest = ("--", "true") if command == "run" else ()

    done = run_cli(command, *target, "--action", "error,50%", "email", "to:me@example.com", *rest)

    assert done.returncode == 0, done.stderr
    [task] = live.tasks()
    [action] = live.read(f"/tasks/{task['id']}/actions/")
    names = ("task", "trigger", "integration", "config", "status")
    assert {name: action[name] for name in names} == {
        "task": task["id"],
        "trigger": "error,50%",
        "integration": "email",
        "config": {"to": "me@example.com"},
        "status": "active",
    }


def test_configure_keeps_a_project_key(run_cli: Cli, live: LiveProject) -> None:
    task = live.create()

    configured = run_cli("configure", environment={}, typed=f"{live.key}\n")
    listed = run_cli("list", "--format", "csv", environment={"TASKBADGER_HOST": live.host})

    assert configured.returncode == 0, configured.stderr
    assert (
        f"Project key detected — organization: {live.organization}, project: {live.slug}"
        in configured.stdout
    )
    assert list(csv.reader(printed(listed).splitlines())) == [HEADER, shown(task)]


def test_configure_keeps_an_organization_key_and_slugs(run_cli: Cli, live: LiveProject) -> None:
    task = live.create()

    typed = f"{live.organization_key}\n{live.organization}\n{live.slug}\n"
    configured = run_cli("configure", environment={}, typed=typed)
    listed = run_cli("list", "--format", "csv", environment={"TASKBADGER_HOST": live.host})

    assert configured.returncode == 0, configured.stderr
    assert listed.returncode == 0, listed.stderr
    assert list(csv.reader(listed.stdout.splitlines())) == [HEADER, shown(task)]


def test_refused_create_says_the_status(run_cli: Cli, live: LiveProject) -> None:
    done = run_cli("create", "job", "--monitor-id", "nothing")

    assert done.stderr == "Error creating task: Unexpected status code: 400\n"
    assert live.tasks() == []


def test_wrong_key_is_unauthorized(run_cli: Cli, live: LiveProject) -> None:
    wrong = {"TASKBADGER_HOST": live.host, "TASKBADGER_API_KEY": f"{live.secret}x"}

    done = run_cli("--org", live.organization, "--project", live.slug, "list", environment=wrong)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Unauthorized: Authentication failed"


def test_run_goes_on_without_the_server(run_cli: Cli, live: LiveProject) -> None:
    wrong = {"TASKBADGER_HOST": live.host, "TASKBADGER_API_KEY": f"{live.secret}x"}
    slugs = ("--org", live.organization, "--project", live.slug)

    done = run_cli(*slugs, "run", "untracked", "--", "echo out", environment=wrong)

    assert (done.returncode, done.stdout) == (0, "out\n")
    assert done.stderr.splitlines()[-1] == "Error creating task: Authentication failed"
    assert live.tasks() == []
