"""An organization with a bit of everything that a page can show, and one with nothing."""

import random
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from acceptance.live import LiveProject, LiveServer
from conftest import FIXTURES
from people import invite, make_member, session_cookie
from watching import close_due_slots

from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery, DeliveryAttempt
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.monitors import manage
from taskbadger.services.organizations import audit, keys, organizations, projects
from taskbadger.services.stats import runs
from taskbadger.services.tasks import saved_views, write

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
MAIL = {"integration": "email", "config": {"to": "ops@example.com,dev@example.com"}}
OUTCOMES = ("success", "success", "error", "", "success", "success", "processing")
"""What became of the monitor's runs, one an hour; an empty one did not come."""
ACTOR = Actor("key", "ci")


@dataclass
class Everything:
    """What paths are made of, and the cookies of who looks at them."""

    org: str
    empty: str
    project: str
    task: str
    monitor: str
    global_action: str
    delivery: str
    for_newcomer: str
    """The token of an invitation of somebody without an account."""
    for_owner: str
    """The same of the owner, to the empty organization's neighbour."""
    owner: str
    """The cookie of an owner of both organizations."""
    outsider: str
    """The cookie of a user who belongs to no organization."""

    def path(self, pattern: str) -> str:
        """Fill in the names of a path."""
        return pattern.format(**asdict(self))


def fill(server: LiveServer, live: LiveProject) -> Everything:
    """Make everything on a live server, through its services and its API."""
    task = _make_story(live)
    with server.app.app_context(), writing():
        found = _fill(live, task)
        db.session.remove()
    return found


def _make_story(live: LiveProject) -> str:
    """Make tasks in every state; return the id of one with all that its page can show."""
    for number, status in enumerate(("pending", "error", "stale", "cancelled", "pre_processing")):
        live.create(name=f"import-{number}", status=status, queue="high", tags={"env": "prod"})
    live.create(name="import customers", status="success")
    task = live.create(
        name="import customers",
        queue="high",
        external_id="celery-8f2a",
        max_runtime=600,
        stale_timeout=120,
        tags={"env": "prod", "region": "eu-central-1", "hostile": HOSTILE},
        data={"file": HOSTILE, "rows": 12_000, "db": {"host": "db.internal", "password": "x"}},
    )
    path = f"/tasks/{task['id']}/"
    for value in (5, 20, 45, 62):
        live.request("PATCH", path, json={"status": "processing", "value": value})
    for number, status in enumerate(("success", "processing", "error")):
        live.create(name=f"part {number}", parent=task["id"], status=status, value=number * 40)
    live.create(name=HOSTILE, status="error", queue=HOSTILE)
    return str(task["id"])


def _fill(live: LiveProject, task: str) -> Everything:
    now = utcnow()
    organization = organizations.ensure_organization(live.organization, actor=FIXTURES, now=now)
    project = projects.ensure_project(organization, live.slug, actor=FIXTURES, now=now)
    project.name = "Web shop"
    ref = projects.project_ref(project, organization)
    empty = organizations.ensure_organization(f"{live.organization}-empty", actor=FIXTURES, now=now)
    projects.ensure_project(empty, "web", actor=FIXTURES, now=now)
    email = f"owner@{live.organization}.example"
    make_member(email, "owner", empty.slug)
    owner = make_member(email, "owner", live.organization)
    _make_runs(ref)
    global_action = make_alerts(organization.id)
    _make_settings(organization)
    found = Everything(
        org=live.organization,
        empty=empty.slug,
        project=live.slug,
        task=task,
        monitor=_make_monitors(ref),
        global_action=global_action,
        delivery="",
        for_newcomer=invite(organization, "newcomer@example.org"),
        for_owner=invite(
            organizations.ensure_organization("neighbour", actor=FIXTURES, now=now), email
        ),
        owner=session_cookie(owner),
        outsider=session_cookie(make_member(f"outsider@{live.organization}.example", None)),
    )
    db.session.commit()
    # Only now, when there is a global action, does a task that fails set one off.
    write.create_task(ref, {"name": HOSTILE, "status": "error"}, now=utcnow(), actor=ACTOR)
    found.delivery = give_up()
    db.session.commit()
    return found


def _make_runs(ref: ProjectRef) -> None:
    """Let tasks run through the last day, and count them as the background worker does."""
    chance = random.Random(7)
    for _ in range(60):
        end = utcnow() - timedelta(seconds=chance.uniform(0, 86_000))
        start = end - timedelta(seconds=chance.lognormvariate(2, 1.2))
        data = {"name": "import customers", "status": "processing"}
        task = write.create_task(ref, data, now=start, actor=ACTOR)
        status = chance.choices(("success", "error", "cancelled"), (20, 2, 1))[0]
        write.update_task(ref, task.id, {"status": status}, now=end, actor=ACTOR)
    db.session.commit()
    while (batch := runs.read_batch(now=utcnow())) is not None:
        runs.count_batch(batch, now=utcnow())
        db.session.commit()


def make_alerts(organization_id: int) -> str:
    """Make channels and global actions; return the id of one."""
    now = utcnow()
    for slug, name in (("ops", "Operations"), ("old", HOSTILE)):
        config = {"url": "https://hooks.example.com/badger"}
        channels.create_channel(
            organization_id,
            "webhook",
            slug,
            name,
            config,
            actor=SERVER,
            context=SendContext(),
            now=now,
            enabled=slug == "ops",
        )
    global_action = None
    for name, trigger in ((HOSTILE, "*/25%"), ("failures", "error,stale")):
        data = {"name": name, "trigger": trigger, "channels": [MAIL], "quiet_period": 600}
        global_action = global_actions.create_global_action(
            organization_id, data, actor=SERVER, now=now
        )
    db.session.flush()
    assert global_action is not None
    return str(global_action.id)


def _make_monitors(ref: ProjectRef) -> str:
    """Make monitors with a past; return the id of one that runs every hour."""
    last_hour = utcnow().replace(minute=0, second=0, microsecond=0)
    since = last_hour - timedelta(hours=len(OUTCOMES))

    def make(name: str, **fields: Any) -> Any:
        data = {"name": name, "type": "cron", "schedule": "0 * * * *", "action": [MAIL], **fields}
        return manage.create_monitor(ref, data, now=since, actor=ACTOR)

    hourly = make("hourly import", timezone="America/New_York")
    make("stock sync", type="interval", schedule=None, interval=600)
    make(HOSTILE, schedule="@weekly", status="paused")
    make("muted report", schedule="0 6 * * 1-5", status="muted")
    for hour, status in enumerate(OUTCOMES, start=1):
        start = since + timedelta(hours=hour)
        if status:
            data = {"name": "import", "status": "processing"}
            run = write.create_task(ref, data, now=start, actor=ACTOR, monitor_id=hourly.id)
            if status != "processing":
                end = start + timedelta(seconds=90 + hour)
                write.update_task(ref, run.id, {"status": status}, now=end, actor=ACTOR)
        close_due_slots(start + timedelta(minutes=30))
    return str(hourly.id)


def _make_settings(organization: Any) -> None:
    now = utcnow()
    hostile = projects.ensure_project(
        organization, "hostile", actor=FIXTURES, now=now, name=HOSTILE
    )
    keys.create_key(organization, None, actor=SERVER, name=HOSTILE, scopes="read,admin", now=now)
    old, _ = keys.create_key(organization, hostile, actor=SERVER, name="old laptop", now=now)
    old.revoked = now
    make_member("grace@example.org", "admin", organization.slug).name = "Grace Hopper"
    saved_views.save_view(organization.id, "What failed", "status:error", "", actor=ACTOR, now=now)
    for number in range(60):
        detail = "public_pages: on → off; retention_days: none → 30"
        audit.record(
            ACTOR, organization.id, "project.change", HOSTILE if number else "web", detail, now=now
        )


def give_up() -> str:
    """Let the latest delivery have failed for good; return its id."""
    now = utcnow()
    dead = db.session.query(Delivery).order_by(Delivery.created.desc()).first()
    assert dead is not None
    dead.state, dead.finished, dead.next_attempt_at, dead.attempts = "dead", now, None, 1
    dead.error = "The mail server refused all addresses: 550 no such user."
    attempt = DeliveryAttempt(
        delivery_id=dead.id, number=1, started=now, duration_ms=340, status=550
    )
    attempt.error_class, attempt.error = "smtp", dead.error
    db.session.add(attempt)
    return str(dead.id)
