"""What a new user does: serve, then the README's first task with the key that it prints."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from acceptance.sdks import LATEST, Sdk, clean_environment
from processes import serve

ROOT = Path(__file__).parent.parent.parent
OWN_SCRIPT = """
import taskbadger
task = taskbadger.create_task("my own job")
task.processing(50)
task.success(100)
print(task.id)
"""


def test_key_that_serve_prints_leads_the_sdk_and_its_cli_here(
    sdk: Callable[[str], Sdk], tmp_path: Path
) -> None:
    latest = sdk(LATEST)
    with serve(tmp_path / "server", "--demo") as server:
        assert server.get("/readyz")[0] == 200
        printed = server.output.read_text()
        [address] = re.findall(r"is running at (\S+)/$", printed, re.MULTILINE)
        [key] = re.findall(r"^ +API key +(\S+)$", printed, re.MULTILINE)
        script = tmp_path / "job.py"
        script.write_text(_readme_lines(address, key) + OWN_SCRIPT)

        ran = _run(tmp_path, str(latest.python), str(script))
        variables = f"TASKBADGER_HOST={address} TASKBADGER_API_KEY={key}"
        command = f'{variables} "{latest.cli}" list --format csv'
        listed = _run(tmp_path, "sh", "-euc", command)

        status, page = server.get("/api/demo/demo/tasks/", key=key)
    assert f"how to send tasks with the key: {address}/a/demo/how-to/" in printed
    assert status == 200
    [task] = json.loads(page)["results"]
    assert (task["id"], task["name"]) == (ran.strip(), "my own job")
    assert (task["status"], task["value_percent"]) == ("success", 100)
    assert [row[0] for row in csv.reader(listed.splitlines())] == ["Task ID", task["id"]]


def _readme_lines(address: str, key: str) -> str:
    """Return how the README sets the SDK up, filled in."""
    readme = (ROOT / "README.md").read_text()
    [lines] = re.findall(
        r"^import taskbadger\n.*?^taskbadger\.sdk\._init\(.*?$", readme, re.M | re.S
    )
    filled = lines.replace("http://127.0.0.1:8000", address)
    return str(filled.replace("THE-API-KEY-YOU-WERE-SHOWN", key))


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
