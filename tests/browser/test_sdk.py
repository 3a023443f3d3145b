"""The official SDK works in one process while somebody looks on in a browser."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acceptance.sdks import clean_environment, install
from browser.team import Team
from playwright.sync_api import expect

ON_BOTH_DATABASES = {"test_sdk_moves_the_bar_until_its_key_is_revoked"}
LATEST = "2.6.0"
DRIVER = """
import sys
import taskbadger, taskbadger.sdk
from taskbadger import StatusEnum, Task

taskbadger.sdk._init(host=sys.argv[1], token=sys.argv[2])
task = Task.create("import customers", status=StatusEnum.PROCESSING, value=0)
print(task.id, flush=True)
for line in sys.stdin:
    try:
        task.update(value=int(line))
        print("done", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


@contextmanager
def driver(team: Team, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run the SDK in its own environment; it sets its task to each value that it is told."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    command = [str(install(LATEST).python), "-I", str(script), team.project.host, team.project.key]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=clean_environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def tell(process: "subprocess.Popen[str]", value: int) -> str:
    """Let the SDK set a value; return what became of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{value}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_sdk_moves_the_bar_until_its_key_is_revoked(team: Team, tmp_path: Path) -> None:
    with driver(team, tmp_path) as process:
        assert process.stdout is not None
        task_id = process.stdout.readline().strip()
        page = team.open("tasks/")
        bar = page.locator(f"[data-key='{task_id}'] progress")

        for value in (20, 70):
            assert tell(process, value) == "done"
            expect(bar).to_have_attribute("value", re.compile(rf"^{value}(\.0)?$"), timeout=20_000)

        page.goto(f"{team.home}settings/keys/")
        page.get_by_role("button", name="Revoke sdk").click()
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("has been revoked.")).to_be_visible()
        give_up = time.monotonic() + 6
        while (answer := tell(process, 80)) == "done" and time.monotonic() < give_up:
            time.sleep(0.5)

        assert answer == "Unauthorized"
