"""A real PgBouncer in transaction mode, set up as docs/operating.md says."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clusters import Cluster, pgbouncer, running_cluster
from conftest import make_key_of
from processes import Server, serve, wait_until
from test_serving import is_ready

TASKS = 180
"""Each is five requests."""
CLIENTS = 8
TASKS_PATH = "/api/acme/web/tasks/"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def direct(cluster: Cluster) -> str:
    """The URL of the database without PgBouncer."""
    return cluster.create("tb")


@pytest.fixture
def server(cluster: Cluster, direct: str, tmp_path: Path) -> Iterator[Server]:
    variables = {"TASKBADGER_DATABASE_SESSION_FEATURES": "false"}
    # Fewer connections than clients, so that they take turns on them.
    with (
        pgbouncer(cluster, "tb", size=3) as url,
        serve(tmp_path, "--workers", "2", TASKBADGER_DATABASE_URL=url, **variables) as server,
    ):
        wait_until(lambda: is_ready(server), "a server")
        yield server


def use(server: Server, key: str, number: int) -> list[bool]:
    """Send five requests about a task; say for each whether its answer was right."""
    name = f"job {number}"
    status, body = server.request(
        "POST", TASKS_PATH, key=key, json_body={"name": name, "data": {"number": number}}
    )
    created = json.loads(body)
    place = f"{TASKS_PATH}{created.get('id')}/"
    right = [status == 201 and created["data"] == {"number": number}]
    for change in ({"status": "processing", "value": number % 100}, {"status": "success"}):
        status, body = server.request("PATCH", place, key=key, json_body=change)
        right.append(status == 200 and change.items() <= json.loads(body).items())
    status, body = server.get(place, key=key)
    right.append(status == 200 and json.loads(body)["name"] == name)
    status, body = server.get(f"{TASKS_PATH}?name={name.replace(' ', '%20')}", key=key)
    right.append(status == 200 and len(json.loads(body)["results"]) == 1)
    return right


def test_every_request_is_answered_right(server: Server, direct: str, tmp_path: Path) -> None:
    key = make_key_of(direct)
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = Counter(
            is_right
            for answers in pool.map(lambda number: use(server, key, number), range(TASKS))
            for is_right in answers
        )

    assert answers == {True: TASKS * 5}
    assert server.said("worker step failed") == server.said("database not available") == []
