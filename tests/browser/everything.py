"""An organization with a bit of everything that a page can show, and one with nothing."""

import json
import random
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from acceptance.live import LiveProject, LiveServer
from conftest import FIXTURES, SECRET_KEY
from incidents import make_event, make_failure, make_incident, make_kind
from people import invite, make_member, session_cookie
from watching import close_due_slots

from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain import digest_links
from taskbadger.domain.digest_links import DigestLink
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.incident_links import IncidentLink, write_token
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery, DeliveryAttempt
from taskbadger.process import current_process
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.digests import settings
from taskbadger.services.failures import kinds
from taskbadger.services.incidents import links
from taskbadger.services.monitors import manage
from taskbadger.services.organizations import audit, keys, organizations, projects
from taskbadger.services.stats import runs
from taskbadger.services.tasks import saved_views, write
from taskbadger.services.windows import manage as windows

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
TRACE = """\
Traceback (most recent call last):
  File "/app/jobs/stock.py", line 31, in sync
    rows = [read(line) for line in json.load(file)]
  File "/usr/lib/python3.12/json/__init__.py", line 293, in load
    return loads(fp.read(),
  File "/usr/lib/python3.12/json/decoder.py", line 337, in decode
    obj, end = self.raw_decode(s, idx=_w(s, 0).end())
  File "/app/jobs/stock.py", line 12, in read
    raise ValueError(f"no row {number} in {file}")
ValueError: no row 17 in stock.csv"""
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
    window: str
    delivery: str
    failed: str
    """A failed task with a trace."""
    failure: str
    """Its kind."""
    incident: str
    acknowledge: str
    """A path such as messages have, and the same of an incident that is over."""
    snooze: str
    over: str
    used: str
    membership: int
    """That of the owner, who gets digests."""
    unsubscribe: str
    """The token of a link in a digest of theirs."""
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
    membership = next(own for own in owner.memberships if own.organization_id == organization.id)
    settings.change_digest(membership, "daily", actor=SERVER, now=now)
    _make_runs(ref)
    _make_queues(ref)
    global_action = make_alerts(organization.id)
    _make_settings(organization)
    found = Everything(
        org=live.organization,
        empty=empty.slug,
        project=live.slug,
        task=task,
        monitor=_make_monitors(ref),
        global_action=global_action,
        window=_make_windows(organization.id),
        delivery="",
        membership=membership.id,
        unsubscribe=digest_links.write_token(
            DigestLink(membership.organization_id, membership.user_id), SECRET_KEY
        ),
        **_make_failures(ref),
        **_make_incidents(ref),
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
    count_all()


def count_all() -> None:
    """Count the history, as the background worker does."""
    while (batch := runs.read_batch(now=utcnow() + timedelta(hours=1))) is not None:
        runs.count_batch(batch, now=utcnow())
        db.session.commit()


def _make_queues(ref: ProjectRef) -> None:
    """Let queues be stuck, backing up, catching up and keeping up, and count that."""
    now = utcnow()
    for queue, waiting, ago in (("stuck", 3, 1500), ("growing", 40, 300), ("fresh", 2, 5)):
        for _ in range(waiting):
            put(ref, queue, at=now - timedelta(seconds=ago))
    for number in range(30):
        task = put(ref, "shrinking", at=now - timedelta(seconds=2400 + number))
        if number < 20:
            write.update_task(ref, task, {"status": "success"}, now=now, actor=ACTOR)
    db.session.commit()
    count_all()


def put(ref: ProjectRef, queue: str, *, at: datetime) -> str:
    """Put a task into a queue; return its id."""
    fields = {"name": f"for {queue}", "queue": queue}
    return write.create_task(ref, fields, now=at, actor=ACTOR).id


def _make_failures(ref: ProjectRef) -> dict[str, str]:
    """Make failures of several kinds; return the latest task of one of them, and the kind."""
    now = utcnow()
    failed = ""
    for number, text in enumerate((TRACE, "timeout after 30 s", HOSTILE, TRACE, TRACE)):
        at = now - timedelta(days=5 - number)
        data = json.dumps({"exception": text})
        tags = {"version": f"1.{number // 4}"}
        fields = {"name": "import customers", "status": "error", "data": data, "tags": tags}
        made = write.create_task(ref, fields, now=at, actor=ACTOR)
        failed = made.id if text == TRACE else failed
    kind = kinds.kind_of_task(failed)
    assert kind is not None
    return {"failed": failed, "failure": str(kind.id)}


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


def _make_windows(organization_id: int) -> str:
    """Make windows in each state; return the id of one that recurs."""
    now, hour = utcnow(), timedelta(hours=1)
    found: Any = [
        {"name": HOSTILE, "name_pattern": "^never$", "starts": now - hour, "ends": now + hour},
        {"name": "move to the new server", "starts": now + 24 * hour, "ends": now + 25 * hour},
        {"name": "over", "starts": now - 2 * hour, "ends": now - hour},
        {"name": "backup", "schedule": "0 2 * * 0", "duration": 5400, "timezone": "Europe/Paris"},
    ]
    made = [windows.create_window(organization_id, one, actor=SERVER, now=now) for one in found]
    db.session.flush()
    return str(made[-1].id)


def _make_monitors(ref: ProjectRef) -> str:
    """Make monitors with a past; return the id of one that runs every hour."""
    last_hour = utcnow().replace(minute=0, second=0, microsecond=0)
    since = last_hour - timedelta(hours=len(OUTCOMES))

    def make(name: str, **fields: Any) -> Any:
        data = {"name": name, "type": "cron", "schedule": "0 * * * *", "action": [MAIL], **fields}
        return manage.create_monitor(ref, data, now=since, actor=ACTOR)

    hourly = make("hourly import", timezone="America/New_York")
    hourly.description, hourly.tags = f"From the shop.\n{HOSTILE}", "prod shop"
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


def _make_incidents(ref: ProjectRef) -> dict[str, str]:
    """Make incidents of names; return the id of one that is open, and links as messages have."""
    began = utcnow() - timedelta(hours=2)
    number = make_incident(
        ref,
        "export customers",
        opened_at=began,
        runs=14,
        acknowledged_at=utcnow(),
        acknowledged_by="grace@example.org",
        snoozed_at=utcnow(),
    )
    make_incident(ref, f"{HOSTILE}2", opened_at=began)
    closed = make_incident(ref, "nightly report", opened_at=began, closed_at=utcnow(), runs=3)
    for title in ("ConnectionError: no route to ‹address›", HOSTILE):
        kind = make_kind(ref, title, "export customers", place="jobs/customers.py, load")
        task = make_failure(ref, kind, number, "export customers", utcnow())
    make_event(number, "opened", created=began, task_id=task)
    make_event(number, "told", created=began, detail="slack:ops, webhook:ops")
    make_event(number, "reminded", created=began, detail="slack:ops")
    make_event(number, "acknowledged", created=utcnow(), actor="grace@example.org")
    make_event(
        number, "snoozed", created=utcnow(), actor="grace@example.org", detail="until it changes"
    )
    return {
        "incident": str(number),
        "acknowledge": _link(number, "acknowledge"),
        "snooze": _link(number, "snooze"),
        "over": _link(closed, "acknowledge"),
        "used": _use(_link(number, "snooze", "ops@example.org")),
    }


def _use(path: str) -> str:
    key = current_process().settings.SECRET_KEY
    links.use_link(path.partition("=")[2], key, snooze_until=None, now=utcnow())
    return path


def _link(number: int, operation: str, person: str = "grace@example.org") -> str:
    link = IncidentLink(operation, number, person, "d1")
    token = write_token(link, current_process().settings.SECRET_KEY, now=utcnow())
    return f"/public/incidents/?token={token}"


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
