"""What only the latest SDK has, and where it meets errors; prints what it saw as JSON."""

import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

from taskbadger.exceptions import TaskbadgerException, Unauthorized, UnexpectedStatus
from taskbadger.sdk import _init, _parse_token

import taskbadger
from taskbadger import StatusEnum

HOST, KEY = os.environ["LIVE_HOST"], os.environ["LIVE_KEY"]


def start(**options):
    _init(**{"host": HOST, "token": KEY, **options})


def fields():
    """Every argument of create_task and update_task, and nesting."""
    parent = taskbadger.create_task("parent", queue="mail", external_id="job-1")
    child = taskbadger.create_task(
        "child",
        StatusEnum.PROCESSING,
        0,
        3,
        data={"k": "v"},
        max_runtime=30,
        stale_timeout=20,
        tags={"env": "prod", "n": "1"},
        queue="web",
        external_id="job-2",
        parent=parent.id,
    )
    late = taskbadger.create_task("late child")
    late.update(parent=parent.id, queue="late", external_id="job-3")
    late.pre_processing()
    late.post_processing(50)
    children = taskbadger.list_tasks(parent=parent.id)
    return {
        "tasks": [task.to_dict() for task in (parent, child, late)],
        "children": [task.id for task in children],
        "grandchild": refusal(lambda: taskbadger.create_task("grandchild", parent=child.id)),
    }


def pages():
    """Walk the list in pages of two, there and back."""
    made = [taskbadger.create_task(f"task {number}").id for number in range(5)]
    there, page = [], taskbadger.list_tasks(page_size=2)
    while True:
        there.append([task.id for task in page])
        if not page.next_:
            break
        page = taskbadger.list_tasks(page_size=2, cursor=cursor(page.next_))
    back = []
    while page.previous:
        page = taskbadger.list_tasks(page_size=2, cursor=cursor(page.previous))
        back.append([task.id for task in page])
    return {"made": made, "there": there, "back": back}


def cursor(url):
    return parse_qs(urlsplit(url).query)["cursor"][0]


def scopes():
    """Global tags, scope data, before_create, @track and nesting."""

    def before_create(task):
        if task["name"] == "refused":
            return None
        task.setdefault("tags", {})["checked"] = "yes"
        return task

    start(tags={"release": "1.2"}, before_create=before_create)
    with taskbadger.current_scope() as scope:
        scope["request"] = "r-1"
        scope.tag({"user": "u-1"})
        taskbadger.create_task("scoped", data={"own": 1}, tags={"own": "t"})
    taskbadger.create_task_safe("refused")

    @taskbadger.track(name="inner", value_max=7)
    def inner():
        return 1

    @taskbadger.track(name="outer", tags={"kind": "tracked"})
    def outer():
        inner()
        raise LookupError("lost")

    try:
        outer()
    except LookupError as error:
        return str(error)
    raise AssertionError("the error must reach the caller")


def errors():
    """What the caller sees of the server's refusals."""
    organization, project, secret = _parse_token(KEY)
    task = taskbadger.create_task("errors")
    seen = {
        "blank name": refusal(lambda: taskbadger.create_task("")),
        "bad values": refusal(lambda: task.update(value=-1, max_runtime=0)),
        "unknown task": refusal(lambda: taskbadger.update_task("nothing", value=1)),
        "unknown monitor": refusal(lambda: taskbadger.create_task("m", monitor_id="nothing")),
        "bad cursor": refusal(lambda: taskbadger.list_tasks(cursor="nothing")),
    }
    start(token=f"{secret}x", organization_slug=organization, project_slug=project)
    seen["wrong key"] = refusal(lambda: taskbadger.create_task("unseen"))
    seen["wrong key, safely"] = taskbadger.create_task_safe("unseen")
    start(token=secret, organization_slug=organization, project_slug="other")
    seen["other project"] = refusal(lambda: taskbadger.create_task("unseen"))
    return seen


def refusal(call):
    try:
        call()
    except Unauthorized as error:
        return ["Unauthorized", str(error)]
    except UnexpectedStatus as error:
        return [type(error).__name__, error.status_code, json.loads(error.content)]
    except TaskbadgerException as error:
        return ["TaskbadgerException", str(error)]
    raise AssertionError("the call must be refused")


def monitors():
    """Two runs of a monitor: one created, one tracked."""
    monitor_id = sys.argv[2]
    taskbadger.create_task("created", monitor_id=monitor_id).success()

    @taskbadger.track(name="tracked", monitor_id=monitor_id)
    def run():
        taskbadger.create_task("beside")

    run()


def keys():
    """Make a task with the key as it is, and the slugs where they are given."""
    return taskbadger.create_task("made with this key").id


# Absent but for the keys that do not hold them.
start(
    organization_slug=os.environ.get("LIVE_ORG"),
    project_slug=os.environ.get("LIVE_SLUG"),
)
json.dump(globals()[sys.argv[1]](), sys.stdout)
