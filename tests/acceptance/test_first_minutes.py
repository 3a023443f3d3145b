"""What a new user does: serve, then copy what it prints."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from acceptance.sdks import LATEST, Sdk, clean_environment
from processes import serve

OWN_SCRIPT = """
import taskbadger
task = taskbadger.create_task("my own job")
task.processing(50)
task.success(100)
print(task.id)
"""


def test_lines_that_serve_prints_lead_the_sdk_and_its_cli_here(
    sdk: Callable[[str], Sdk], tmp_path: Path
) -> None:
    latest = sdk(LATEST)
    with serve(tmp_path / "server", "--demo") as server:
        assert server.get("/readyz")[0] == 200
        printed = server.output.read_text()
        lines = re.findall(r"^ +(import taskbadger.*|taskbadger\.sdk.*)$", printed, re.MULTILINE)
        [export] = re.findall(r"^ +(export .*)$", printed, re.MULTILINE)
        [key] = re.findall(r"^ +API key +(\S+)$", printed, re.MULTILINE)
        script = tmp_path / "job.py"
        script.write_text("\n".join(lines) + OWN_SCRIPT)

        ran = _run(tmp_path, str(latest.python), str(script))
        command = f'{export}; "{latest.cli}" list --format csv'
        listed = _run(tmp_path, "sh", "-euc", command)

        status, page = server.get("/api/demo/demo/tasks/", key=key)
    assert status == 200
    [task] = json.loads(page)["results"]
    assert (task["id"], task["name"]) == (ran.strip(), "my own job")
    assert (task["status"], task["value_percent"]) == ("success", 100)
    assert len(lines) == 2
    assert [row[0] for row in csv.reader(listed.splitlines())] == ["Task ID", task["id"]]


def _run(home: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=home,
        env=clean_environment(HOME=str(home), XDG_CONFIG_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
