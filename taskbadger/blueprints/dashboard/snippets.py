"""How to send a first task, filled in: for Python, Celery, the command line and curl."""

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
