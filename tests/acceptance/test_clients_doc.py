"""Every block of docs/clients.md, run as a reader would, against the live server."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acceptance.background import running
from acceptance.live import LiveProject
from acceptance.sdks import LATEST, REQUIREMENTS, ROOT, Sdk, clean_environment
from processes import wait_until

PAGE = ROOT / "docs/clients.md"
_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A fenced block: its language, its title if it has one, and its text."""

    language: str
    title: str | None
    text: str


def sections() -> dict[str, list[Block]]:
    """Return the blocks of each section of the page."""
    found: dict[str, list[Block]] = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        found[heading] = [Block(*match.groups()) for match in _FENCE.finditer(text)]
        assert text.count("```") == 2 * len(found[heading])
    return found


class Reader:
    """Follows a section: writes its files, runs its commands, keeps its workers running."""

    def __init__(self, sdk: Sdk, live: LiveProject, home: Path, changes: dict[str, str]) -> None:
        self.home = home
        self.environment = clean_environment(
            PATH=f"{sdk.python.parent}:{os.environ['PATH']}", HOME=str(home), NO_COLOR="1"
        )
        self.changes = {
            "http://127.0.0.1:8000": live.host,
            "the-key-that-you-were-shown": live.key,
            "/demo/demo/": f"/{live.organization}/{live.slug}/",
            **changes,
        }
        [variables] = sections()["Address and key"]
        self.variables = self._adapt(variables.text)

    def follow(self, section: str, done: Callable[[], bool]) -> str:
        """Do what *section* says, until *done* holds; return what its commands printed."""
        printed = []
        blocks = sections()[section]
        for block in blocks:
            if block.language == "python":
                assert block.title is not None
                (self.home / block.title).write_text(self._adapt(block.text), encoding="utf-8")
        commands = [block for block in blocks if block.language == "sh"]
        assert {block.language for block in blocks} <= {"python", "sh"}
        for block in commands:
            if block.title is None:
                printed.append(self._run(block.text))
        with self._worker([block for block in commands if block.title == "worker"]):
            wait_until(done, f"the end of “{section}”")
        return "".join(printed)

    def _adapt(self, text: str) -> str:
        for old, new in self.changes.items():
            text = text.replace(old, new)
        return text

    def _run(self, text: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", self.variables + self._adapt(text)],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def _worker(self, blocks: list[Block]) -> Iterator[None]:
        """Run the worker of a section, if it has one, until the block ends."""
        if not blocks:
            yield
            return
        [block] = blocks
        # env, so that the shell becomes the worker.
        text = f"{self.variables}exec env {self._adapt(block.text)}"
        with running(["sh", "-euc", text], self.home, self.environment):
            yield


@pytest.fixture
def follow(
    live: LiveProject, sdk: Callable[[str], Sdk], tmp_path: Path
) -> Callable[..., list[dict[str, Any]]]:
    """Follow a section until the server holds tasks of these names and statuses; return them."""

    def do(
        section: str, expected: list[tuple[str, str]], changes: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        held: list[tuple[str, str]] = []

        def all_is_over() -> bool:
            held[:] = [(task["name"], task["status"]) for task in live.tasks()]
            return held == expected

        try:
            Reader(sdk(LATEST), live, tmp_path, changes or {}).follow(section, all_is_over)
        except AssertionError as error:
            error.add_note(f"the server holds {held}")
            raise
        return live.tasks()

    return do


Follow = Callable[..., list[dict[str, Any]]]


def test_page_installs_what_the_tests_install() -> None:
    [block] = sections()["Install the SDK"]

    assert re.findall(r"'([^']+)'", block.text) == REQUIREMENTS[LATEST]


def test_every_section_with_blocks_is_tried() -> None:
    assert [heading for heading, blocks in sections().items() if blocks] == [
        "Address and key",
        "Install the SDK",
        "Python",
        "Your job must not depend on us",
        "Celery",
        "Procrastinate",
        "Command line",
        "curl",
    ]


def test_python_section_works(follow: Follow) -> None:
    export, _ = follow("Python", [("nightly export", "success"), ("clean up", "success")])

    assert (export["value"], export["value_max"], export["tags"]) == (3, 3, {"env": "prod"})


def test_section_on_safe_calls_works(follow: Follow) -> None:
    [task] = follow("Your job must not depend on us", [("import rows", "success")])

    assert (task["value"], task["value_max"], task["stale_timeout"]) == (3, 3, 600)


def test_celery_section_works(follow: Follow, redis_url: str, key_prefix: str) -> None:
    """With the keys of the page's application kept apart from all others."""
    prefix = {"global_keyprefix": f"{key_prefix}doc:"}
    options = {"broker_transport_options": prefix, "result_backend_transport_options": prefix}
    line = 'backend="redis://127.0.0.1:6379/0")\n'
    changes = {line: f"{line}app.conf.update({options})\n", "redis://127.0.0.1:6379/0": redis_url}

    add, report = follow("Celery", [("jobs.add", "success"), ("jobs.report", "success")], changes)

    assert (add["queue"], add["value"]) == ("celery", None)
    assert (report["value"], report["value_max"], report["stale_timeout"]) == (5, 5, 60)


def test_procrastinate_section_works(follow: Follow, new_postgresql: Callable[[], str]) -> None:
    changes = {"postgresql://postgres@127.0.0.1:5432/jobs": new_postgresql()}

    [task] = follow("Procrastinate", [("sum", "success")], changes)

    assert task["data"] == {"procrastinate_task_kwargs": {"x": 2, "y": 3}}


def test_command_line_section_works(follow: Follow) -> None:
    first, second = follow(
        "Command line", [("nightly import", "processing"), ("disk space", "success")]
    )

    assert (first["value"], first["tags"]) == (50, {"env": "prod"})
    assert second["data"]["stdout"].startswith("Filesystem")


@pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="there is no curl"
)
def test_curl_section_works(follow: Follow, live: LiveProject) -> None:
    task, _ = follow("curl", [("from curl", "success"), ("in a batch", "success")])

    assert (task["value"], task["value_max"], task["tags"]) == (5, 10, {"env": "prod"})
    actions = live.read(f"/tasks/{task['id']}/actions/")
    assert [(action["trigger"], action["integration"]) for action in actions] == [
        ("error", "email")
    ]
