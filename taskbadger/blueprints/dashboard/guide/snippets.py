"""How to send tasks, filled in: one way for each language or tool.

Each works when pasted unchanged: ``tests/acceptance/test_snippets.py`` does so. Interactive zsh
runs ``#`` as a command, so a comment must be a line of its own without an unpaired quote.
"""

import json
import shlex
from typing import NamedTuple


class Way(NamedTuple):
    """A way to send tasks."""

    slug: str
    """Its fragment in the page's address."""
    label: str
    snippets: list[tuple[str, str]]
    """Title and text of each."""


# The library's own init() knows only the hosted service, hence _init().
_PYTHON = """\
# In its own virtual environment: pip install taskbadger
from taskbadger import create_task
from taskbadger.sdk import _init

_init(host="{host}", token="{key}")
task = create_task("import customers")
task.processing(value=50)
task.success(value=100)"""

_TRACK = """\
# In its own virtual environment: pip install taskbadger
import taskbadger
from taskbadger.sdk import _init

_init(host="{host}", token="{key}")


@taskbadger.track(name="import customers")
def import_customers():
    \"\"\"Your job. An exception makes it a failed task, with the traceback.\"\"\"


import_customers()"""

_CELERY_APPLICATION = """\
# jobs.py, in its own virtual environment: pip install 'taskbadger[celery]' 'celery[redis]'
from celery import Celery
from taskbadger.sdk import _init
from taskbadger.systems.celery import CelerySystemIntegration

app = Celery("jobs", broker="redis://127.0.0.1:6379/0")

# In an existing application, this call is all you add.
_init(host="{host}", token="{key}", systems=[CelerySystemIntegration()])


@app.task
def add(x, y):
    return x + y"""

_CELERY_WORKER = """\
celery -A jobs worker &
python -c 'import jobs; jobs.add.delay(2, 3)'"""

_PROCRASTINATE_APPLICATION = """\
# jobs.py, in its own virtual environment:
# pip install 'taskbadger[procrastinate]' 'psycopg[binary]'
import procrastinate
from taskbadger.sdk import _init
from taskbadger.systems.procrastinate import ProcrastinateSystemIntegration

# Connects as PGHOST, PGUSER, PGPASSWORD and PGDATABASE say.
app = procrastinate.App(connector=procrastinate.PsycopgConnector())


@app.task
def add(x, y):
    return x + y


# In an existing application, this call is all you add, after its tasks.
_init(host="{host}", token="{key}", systems=[ProcrastinateSystemIntegration(app)])"""

_PROCRASTINATE_WORKER = """\
export PYTHONPATH=.
procrastinate --app jobs.app schema --apply
python -c '
import jobs
with jobs.app.open():
    jobs.add.defer(x=2, y=3)'
procrastinate --app jobs.app worker"""

# typer is held back because the SDK's command line does not start with 0.27.
INSTALL_CLI = "pip install 'taskbadger[cli]' 'typer<0.27'"

_SHELL = """\
# In its own virtual environment: {install_cli}
export TASKBADGER_HOST={host}
export TASKBADGER_API_KEY={key}
taskbadger run 'disk space' -- 'df -h'"""

_CRON = """\
# crontab -e, and in its own virtual environment: {install_cli}
# cron may need the full path, e.g. /home/me/jobs-env/bin/taskbadger.
# Replace df -h with your job.
TASKBADGER_HOST={host}
TASKBADGER_API_KEY={key}
30 2 * * * taskbadger run 'disk space' -- 'df -h'"""

_TAKE_ID = r"""sed 's/^{"id": *"\([^"]*\)".*/\1/'"""

_CURL = """\
tasks={host}/api/{organization}/{project}/tasks/
send() {{
  curl -fsS -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "$@"
}}

id=$(send "$tasks" -d '{{"name": "import customers", "status": "processing"}}' |
  {take_id})
send -X PATCH "$tasks$id/" -d '{{"status": "success", "value": 100}}'"""

_WAYS = (
    Way("python", "Python", [("Python", _PYTHON)]),
    Way("track", "@track", [("Python: track a function", _TRACK)]),
    Way(
        "celery",
        "Celery",
        [
            ("Celery: report all tasks of an application", _CELERY_APPLICATION),
            ("Celery: start a worker and run a task", _CELERY_WORKER),
        ],
    ),
    Way(
        "procrastinate",
        "Procrastinate",
        [
            ("Procrastinate: report all tasks of an application", _PROCRASTINATE_APPLICATION),
            ("Procrastinate: run a task and start a worker", _PROCRASTINATE_WORKER),
        ],
    ),
    Way("command-line", "Command line", [("Command line: run any command", _SHELL)]),
    Way("cron", "cron", [("cron: run any command each night", _CRON)]),
    Way("curl", "curl", [("curl", _CURL)]),
)


def make_snippets(*, host: str, organization: str, project: str, key: str) -> list[Way]:
    """Return all ways, with their snippets filled in."""
    values = {
        "host": host,
        "organization": organization,
        "project": project,
        "key": key,
        "install_cli": INSTALL_CLI,
        "take_id": _TAKE_ID,
    }
    return [
        way._replace(snippets=[(title, text.format(**values)) for title, text in way.snippets])
        for way in _WAYS
    ]


_MONITOR_PYTHON = """\
# In its own virtual environment: pip install taskbadger
import taskbadger
from taskbadger.sdk import _init

_init(host="{host}", token="{key}")


@taskbadger.track(name={name_literal}, monitor_id="{monitor}")
def job():
    \"\"\"Your job. An exception marks the run as failed.\"\"\"


job()"""

_MONITOR_CRON = """\
# crontab -e, and in its own virtual environment: {install_cli}
# cron may need the full path, e.g. /home/me/jobs-env/bin/taskbadger.
# Times are in {timezone}. Cron daemons without CRON_TZ (cronie has it) use the
# time zone of the machine. Replace sleep 1 with your job.
CRON_TZ={timezone}
TASKBADGER_HOST={host}
TASKBADGER_API_KEY={key}
{crontab} taskbadger run {name_cron} --monitor-id {monitor} -- 'sleep 1'"""

_MONITOR_CURL = """\
tasks={host}/api/{organization}/{project}/tasks/
send() {{
  curl -fsS -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "$@"
}}

id=$(send "$tasks" -H 'X-TASKBADGER-MONITOR: {monitor}' \\
  -d {body_shell} |
  {take_id})
outcome=error
# Replace sleep 1 with your job:
sleep 1 && outcome=success
send -X PATCH "$tasks$id/" -d "{{\\"status\\": \\"$outcome\\"}}\""""


def make_monitor_snippets(
    *,
    host: str,
    organization: str,
    project: str,
    monitor: str,
    name: str,
    crontab: str | None,
    timezone: str,
) -> list[tuple[str, str]]:
    """Return title and text of each way to report runs to a monitor.

    *crontab* is the monitor's schedule as cron daemons know it; None where they have no words for
    it, and then there is no snippet for them.
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
        "name_cron": shlex.quote(plain).replace("%", r"\%"),
        "name_literal": json.dumps(plain, ensure_ascii=False),
        "body_shell": shlex.quote(body),
        "crontab": crontab,
        "timezone": timezone,
        "install_cli": INSTALL_CLI,
        "take_id": _TAKE_ID,
    }
    snippets = [
        ("Python", _MONITOR_PYTHON),
        *([("cron and the command line", _MONITOR_CRON)] if crontab else []),
        ("A shell script with curl", _MONITOR_CURL),
    ]
    return [(title, text.format(**values)) for title, text in snippets]
