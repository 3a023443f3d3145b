"""The official SDK while the server is down, hangs, or goes away: jobs do their work.

docs/clients.md#your-job-must-not-depend-on-us promises it.
"""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from acceptance.live import LiveProject
from acceptance.sdks import LATEST, Sdk, clean_environment, run_script
from acceptance.test_clients_doc import sections

from tests.receivers import HttpReceiver, answer, closed_port, hang_at_headers

KEY = base64.b64encode(b"demo/demo/secret").decode()
TIMEOUT = 1.5
SLACK = 1.4
"""What else a call may take on a slow machine; less than another TIMEOUT."""


@contextmanager
def away(how: str) -> Iterator[str]:
    """Give the address of a server that is ``down``, or ``hangs``."""
    if how == "down":
        yield f"http://127.0.0.1:{closed_port()}"
        return
    with HttpReceiver(hang_at_headers) as http:
        yield http.root


@pytest.mark.parametrize(
    ("how", "waits", "error"),
    [
        ("down", 0, "ConnectError"),
        ("hangs", TIMEOUT, "ReadTimeout"),
    ],
)
def test_calls_wait_for_one_timeout_at_most(
    sdk: Callable[[str], Sdk], tmp_path: Path, how: str, waits: float, error: str
) -> None:
    with away(how) as host:
        variables = {"LIVE_HOST": host, "LIVE_KEY": KEY}
        seen = run_script(sdk(LATEST), "away.py", str(TIMEOUT), cwd=tmp_path, **variables)

    assert {way: found for way, (found, _) in seen.items()} == {
        "create_task_safe": None,
        "update_task_safe": None,
        "create_task": f"raises {error}",
        "update_task": f"raises {error}",
        "track": "worked",
        "celery": True,
    }
    assert {way: waits <= seconds < waits + SLACK for way, (_, seconds) in seen.items()} == (
        dict.fromkeys(seen, True)
    ), seen


def import_rows(sdk: Sdk, home: Path, host: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the script of the page as printed; return what became of it, and the seconds."""
    [script, _] = sections()["Your job must not depend on us"]
    (home / "import_rows.py").write_text(script.text, encoding="utf-8")
    began = time.monotonic()
    done = subprocess.run(
        [sdk.python, "import_rows.py"],
        cwd=home,
        env=clean_environment(TASKBADGER_HOST=host, TASKBADGER_API_KEY=KEY),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, time.monotonic() - began


ROWS = "".join(f"row {number} is imported\n" for number in (1, 2, 3))


@pytest.mark.parametrize("how", ["down", "hangs"])
def test_script_of_the_page_does_its_work(
    sdk: Callable[[str], Sdk], tmp_path: Path, how: str
) -> None:
    with away(how) as host:
        done, seconds = import_rows(sdk(LATEST), tmp_path, host)

    assert (done.returncode, done.stdout) == (0, ROWS)
    assert done.stderr.count("Error creating task 'import rows'") == 1
    assert "Error updating" not in done.stderr
    assert seconds < 10


def test_script_of_the_page_goes_on_when_the_server_begins_to_hang(
    sdk: Callable[[str], Sdk], live: LiveProject, tmp_path: Path
) -> None:
    with HttpReceiver(created(live), hang_at_headers) as http:
        done, seconds = import_rows(sdk(LATEST), tmp_path, http.root)

    assert (done.returncode, done.stdout) == (0, ROWS)
    assert done.stderr.count("Error updating task") == 4
    assert 4 * 2 <= seconds < 20


def created(live: LiveProject) -> Callable[..., None]:
    """Answer as the server does that has created a task."""
    body: dict[str, Any] = live.create(name="import rows")
    return answer(201, json.dumps(body).encode(), content_type="application/json")


def run_command(sdk: Sdk, home: Path, host: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sdk.cli, "run", "job", "--", command],
        cwd=home,
        env=clean_environment(
            TASKBADGER_HOST=host,
            TASKBADGER_API_KEY=KEY,
            TASKBADGER_HTTP_TIMEOUT=str(TIMEOUT),
            HOME=str(home),
            NO_COLOR="1",
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("how", ["down", "hangs"])
@pytest.mark.parametrize("status", [0, 7])
def test_command_runs_and_its_exit_status_is_kept(
    sdk: Callable[[str], Sdk], tmp_path: Path, how: str, status: int
) -> None:
    with away(how) as host:
        done = run_command(sdk(LATEST), tmp_path, host, f"touch done && exit {status}")

    assert (done.returncode, (tmp_path / "done").exists()) == (status, True)
    assert "Error creating task" in done.stderr


@pytest.mark.parametrize(("status", "seen"), [(0, 1), (7, 7)])
def test_command_that_succeeds_exits_with_1_if_the_server_went_away_meanwhile(
    sdk: Callable[[str], Sdk], live: LiveProject, tmp_path: Path, status: int, seen: int
) -> None:
    with HttpReceiver(created(live), hang_at_headers) as http:
        done = run_command(sdk(LATEST), tmp_path, http.root, f"touch done && exit {status}")

    assert (done.returncode, (tmp_path / "done").exists()) == (seen, True)
