"""How to send a first task, filled in: for Python, Celery, the command line and curl."""

import json
import shlex

# The library's own init() knows only the hosted service, hence _init().
_PYTHON = """\
# pip install taskbadger
from taskbadger import create_task
from taskbadger.sdk import _init

_init(host="{host}", token="{key}")
task = create_task("import customers")
task.update(status="processing", value=50)
task.success(100)"""

_CELERY = """\
# pip install taskbadger[celery]
from taskbadger.sdk import _init
from taskbadger.systems.celery import CelerySystemIntegration

_init(
    host="{host}",
    token="{key}",
    systems=[CelerySystemIntegration()],
)"""

_SHELL = """\
# pip install taskbadger[cli]
export TASKBADGER_HOST={host}
export TASKBADGER_API_KEY={key}
taskbadger run "nightly backup" -- ./backup.sh"""

_CURL = """\
curl {host}/api/{organization}/{project}/tasks/ \\
  -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"name": "import customers", "status": "processing", "value": 10}}'"""

_SNIPPETS = (
    ("Python", _PYTHON),
    ("Celery: every task", _CELERY),
    ("Command line", _SHELL),
    ("curl", _CURL),
)


def make_snippets(*, host: str, organization: str, project: str, key: str) -> list[tuple[str, str]]:
    """Return title and text of each snippet."""
    values = {"host": host, "organization": organization, "project": project, "key": key}
    return [(title, text.format(**values)) for title, text in _SNIPPETS]


_MONITOR_PYTHON = """\
# pip install taskbadger
from taskbadger import create_task
from taskbadger.sdk import _init

_init(host="{host}", token="{key}")
task = create_task({name_literal}, status="processing", monitor_id="{monitor}")
# the job itself; then
task.success()"""

_MONITOR_CRON = """\
# crontab -e, with: pip install taskbadger[cli]
TASKBADGER_HOST={host}
TASKBADGER_API_KEY={key}
{schedule} taskbadger run {name_shell} --monitor-id {monitor} -- ./job.sh"""

_MONITOR_CURL = """\
curl {host}/api/{organization}/{project}/tasks/ \\
  -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -H 'X-TASKBADGER-MONITOR: {monitor}' \\
  -d {body_shell}"""


def make_monitor_snippets(
    *, host: str, organization: str, project: str, monitor: str, name: str, schedule: str
) -> list[tuple[str, str]]:
    """Return title and text of each way to tell a monitor of a run.

    *schedule* is that of a crontab; empty where the job has none.
    """
    plain = " ".join(name.split())
    body = json.dumps({"name": plain, "status": "processing"}, ensure_ascii=False)
    values = {
        "host": host,
        "organization": organization,
        "project": project,
        "key": "YOUR-KEY",
        "monitor": monitor,
        # A percent sign ends the command in a crontab.
        "name_shell": shlex.quote(plain).replace("%", r"\%"),
        "name_literal": json.dumps(plain, ensure_ascii=False),
        "body_shell": shlex.quote(body),
        "schedule": schedule or "*/10 * * * *",
    }
    return [
        ("Python", _MONITOR_PYTHON.format(**values)),
        ("cron and the command line", _MONITOR_CRON.format(**values)),
        ("curl", _MONITOR_CURL.format(**values)),
    ]
