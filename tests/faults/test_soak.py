"""Many mixed requests: what a web worker holds of memory, open files and threads at the end."""

import http.client
import itertools
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2
import psutil
import pytest
from blueprints.dashboard.form_filling import read_forms
from conftest import make_key_of
from people import PASSWORD
from processes import Server, run_server, serve, wait_until
from test_serving import is_ready

REQUESTS = int(os.environ.get("TASKBADGER_TEST_SOAK", "1500"))
"""Mixed requests; ``make faults`` asks for more. One in fifteen is a search of its own."""
CLIENTS = 4
MAX_MEGABYTES = 120
"""What a web worker may take in the end."""
MAX_GROWTH = 8
"""Megabytes that a worker may grow by in the last third, however many requests that has."""
WORDS = ("import", "export", "report", "mail", "sync", "backup", "nightly", "invoice")

pytestmark = pytest.mark.timeout(300 + REQUESTS // 50)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str], dict[str, str]]]:
    """A server, the headers of an API client, and those of a signed-in browser."""
    url = f"sqlite:///{tmp_path}/test.db"
    options = ("--workers", "2", "--no-worker")
    variables = {"TASKBADGER_DATABASE_URL": url, "TASKBADGER_LOG_REQUESTS": "false"}
    with serve(tmp_path, *options, **variables) as server:
        wait_until(lambda: is_ready(server), "a server")
        key = make_key_of(url)
        command = ("users", "create", "ada@example.org", "--org", "acme", "--password-stdin")
        done = run_server(*command, home=tmp_path, stdin=PASSWORD, TASKBADGER_DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
        api = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        yield server, api, {"Cookie": sign_in(server.address)}


def sign_in(address: str) -> str:
    with httpx2.Client(base_url=address, trust_env=False, timeout=60) as browser:
        (form,) = read_forms("/sign-in", browser.get("/sign-in").text)
        typed = form.standing | {"email": "ada@example.org", "password": PASSWORD}
        assert browser.post(form.action, data=typed).status_code == 303
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


class Client:
    """One client: fifteen kinds of requests in turn."""

    def __init__(self, address: str, api: dict[str, str], page: dict[str, str]) -> None:
        parts = urlsplit(address)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.api, self.page = api, page
        self.ids: list[str] = []

    def request(self, number: int) -> None:
        if number % 200 == 0:
            self.connection.close()  # The next one may reach another worker.
        word = WORDS[number % len(WORDS)]
        tasks = "/api/acme/web/tasks/"
        match number % 15:
            case 0 | 1 | 2:
                body = {"name": f"{word} {number % 300}", "data": {"number": number}}
                task = json.loads(self.send("POST", tasks, self.api, body))
                self.ids = [*self.ids[-50:], task["id"]]
            case 3 | 4 | 5 | 6 if self.ids:
                path = f"{tasks}{self.ids[number % len(self.ids)]}/"
                self.send("PATCH", path, self.api, {"status": "processing", "value": number % 100})
            case 7 | 8 if self.ids:
                self.send("GET", f"{tasks}{self.ids[-1]}/", self.api)
            case 9:
                self.send("GET", f"{tasks}?name={quote(f'{word} {number % 300}')}", self.api)
            case 10:
                self.send("GET", f"/a/acme/tasks/?q={quote(f'{word} no{number}')}", self.page)
            case 11:
                self.send("GET", "/a/acme/", self.page | {"X-Live": "1"})
            case 12:
                self.send("GET", "/a/acme/tasks/", self.page | {"X-Live": "1"})
            case 13 if self.ids:
                self.send("GET", f"/a/acme/tasks/{self.ids[0]}/", self.page)
            case _:
                self.send("GET", "/a/acme/names/", self.page)

    def send(self, method: str, path: str, headers: dict[str, str], body: object = None) -> bytes:
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 201), (method, path, answer.status, content[:300])
        return content


def megabytes(workers: list[psutil.Process]) -> list[float]:
    return [round(worker.memory_info().rss / 2**20, 1) for worker in workers]


def test_memory_stays_bounded(
    server: tuple[Server, dict[str, str], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    running, api, page = server
    workers = running.gunicorn.children()
    clients = [Client(running.address, api, page) for _ in range(CLIENTS)]
    numbers = itertools.count()
    sizes = [megabytes(workers)]

    def work(client: Client, count: int) -> None:
        for _ in range(count):
            client.request(next(numbers))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(3):
            list(pool.map(work, clients, [REQUESTS // 3 // CLIENTS] * CLIENTS))
            sizes.append(megabytes(workers))
    for client in clients:
        client.connection.close()

    with capsys.disabled():
        sys.stdout.write(
            f"\nsoak: {REQUESTS} requests, {REQUESTS // 15} searches; megabytes of each worker at"
            f" the start and after each third: {sizes}; open files"
            f" {[worker.num_fds() for worker in workers]},"
            f" threads {[worker.num_threads() for worker in workers]}\n"
        )
    assert [worker.is_running() for worker in workers] == [True] * 2
    assert max(sizes[-1]) <= MAX_MEGABYTES
    assert max(b - a for a, b in zip(sizes[-2], sizes[-1], strict=True)) <= MAX_GROWTH
