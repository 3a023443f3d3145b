"""An organization that has something of everything, and the addresses of all pages then."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from blueprints.dashboard.doing import count_runs
from conftest import FIXTURES
from people import make_member
from sqlalchemy import select, update
from watching import ACTOR, Watch, at

from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.keys import digest
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    DeliveryAttempt,
    GlobalAction,
    Invitation,
    Monitor,
    Organization,
    SavedView,
    Task,
    User,
    UserSession,
)
from taskbadger.services.alerts import global_actions
from taskbadger.services.organizations import audit, keys, organizations, projects
from taskbadger.services.people import members
from taskbadger.services.tasks import write

MAIL = {"integration": "email", "config": {"to": "ops@example.com"}}
TOKEN = "token-of-the-invitation"
BASE = "/a/acme"


def fill(text: str, *, start: int = 0, stop: int = 1) -> None:
    """Give ``acme`` everything from the *start*th to before the *stop*th, all texts being *text*.

    The first task, monitor and delivery are the ones that have all the others: 9 of everything
    are 9 monitors, and 9 more runs of the first one.
    """
    user = make_member()
    organization = db.session.scalars(select(Organization).where(Organization.slug == "acme")).one()
    organization.name = user.name = text
    for number in range(start, stop):
        _add_people(organization, user, text, number)
        project = _add_project(organization, text, number)
        _add_alerts(organization, project, text, number)
        _add_tasks(project, text, number)
        _add_monitor(project, text, number)
        _spoil_deliveries(text, number)
    count_runs()


def _add_people(organization: Organization, user: User, text: str, number: int) -> None:
    now = utcnow()
    member = make_member(f"{number}@example.org", roles.VIEWER)
    member.email, member.name = f"{number}{text}@example.org".lower(), text
    team = organizations.ensure_organization(f"team-{number}", actor=FIXTURES, now=now)
    team.name = text
    members.add_member(user, team, roles.VIEWER, actor=FIXTURES, now=now)
    keys.create_key(organization, None, actor=SERVER, name=text, now=now)
    audit.record(Actor("user", text), organization.id, text[:50], text, text, now=now)
    life: Any = {"created": now, "expires": now + timedelta(days=1)}
    db.session.add_all(
        [
            Invitation(
                organization_id=organization.id,
                email=f"{number}{text}".lower(),
                role=roles.VIEWER,
                digest=digest(f"{TOKEN}-{number}"),
                invited_by=text,
                **life,
            ),
            UserSession(
                user_id=user.id,
                digest=f"{number}",
                last_seen=now,
                address=text[:45],
                user_agent=text,
                **life,
            ),
            SavedView(
                organization_id=organization.id,
                name=f"{number} {text}"[:80],
                search=text,
                created=now,
            ),
        ]
    )


def _add_project(organization: Organization, text: str, number: int) -> ProjectRef:
    slug = f"web-{number}" if number else "web"
    project = projects.ensure_project(organization, slug, actor=FIXTURES, now=utcnow())
    project.name, project.public_data, project.public_tags = text, True, True
    db.session.flush()
    return projects.project_ref(project, organization)


def _add_alerts(organization: Organization, project: ProjectRef, text: str, number: int) -> None:
    """Add an action that fires, one that only looks, and a channel."""
    now = utcnow()
    global_action = {"name": text, "trigger": "error,*/3%", "channels": [MAIL]}
    global_actions.create_global_action(
        organization.id, {**global_action, "project": project.slug}, actor=SERVER, now=now
    )
    other = global_actions.create_global_action(
        organization.id, {**global_action, "name_pattern": "^never"}, actor=SERVER, now=now
    )
    other.name_pattern = text
    config = {"url": "https://127.0.0.1/", "headers": {text: text}, "secret": text}
    db.session.add(
        ChannelConfig(
            organization_id=organization.id,
            kind="webhook",
            slug=f"ops-{number}",
            name=text,
            config=json.dumps(config),
            created=now,
            updated=now,
            failing_since=now,
        )
    )
    db.session.commit()


def _add_tasks(project: ProjectRef, text: str, number: int) -> None:
    """Add a task in the project, and to the first task a child, an entry and what that fires."""
    by, now = Actor("key", text), utcnow()
    fields: dict[str, Any] = {"name": text, "queue": text, "external_id": text, "value": 0}
    fields |= {"tags": {text: text}, "data": json.dumps({text: [text]}), "status": "processing"}
    fields["actions"] = [{"trigger": "error,*/3%", **MAIL}]
    for ago, status in ((9, "success"), (6, "processing"), (3, "error")):
        moment = now - timedelta(seconds=ago)
        task = write.create_task(project, fields, now=moment, actor=by)
        write.update_task(project, task.id, {"status": status}, now=now, actor=by)
    owner, first = first_task()
    write.create_task(owner, {**fields, "parent": first}, now=now, actor=by)
    write.update_task(owner, first, {"value": 3 * (number + 1)}, now=now, actor=by)
    db.session.commit()


def first_task() -> tuple[ProjectRef, str]:
    """Return the first task that runs, and its project."""
    query = select(Task).where(Task.status == "processing", Task.parent.is_(None))
    task = db.session.scalars(query.order_by(Task.created, Task.id).limit(1)).one()
    organization = db.session.scalars(select(Organization).where(Organization.slug == "acme")).one()
    project = projects.ensure_project(organization, "web", actor=FIXTURES, now=utcnow())
    assert task.project_id == project.id
    return projects.project_ref(project, organization), task.id


def _add_monitor(project: ProjectRef, text: str, number: int) -> None:
    """Add a failing monitor, and to the first one a slot with its run."""
    watch = Watch(project, f"11:{30 + number}", {"name": text, "action": [MAIL]})
    watch.run(f"12:{number:02}", "error", name=text)
    owner, _ = first_task()
    data = {"name": text, "status": "success" if number % 2 else "error"}
    moment = at(f"2026-06-{number % 28 + 2:02} 12:00")
    monitor = first(Monitor)
    write.create_task(owner, data, now=moment, actor=ACTOR, monitor_id=monitor.id)
    db.session.commit()


def _spoil_deliveries(text: str, number: int) -> None:
    """Let every message be given up after one try, and the first after as many as there were."""
    now = utcnow()
    waiting = list(db.session.scalars(select(Delivery.id).where(Delivery.state != "dead")))
    spoiled: Any = {"state": "dead", "finished": now, "next_attempt_at": None, "attempts": 1}
    db.session.execute(update(Delivery).values(error_class="http_status", error=text, **spoiled))
    db.session.add_all(
        DeliveryAttempt(
            delivery_id=delivery_id,
            number=number + 1,
            started=now,
            duration_ms=1,
            status=500,
            error_class="http_status",
            error=text,
        )
        for delivery_id in (*waiting, first(Delivery).id)
    )
    db.session.commit()


def first(model: Any, *where: Any) -> Any:
    """Return the first row of a table."""
    return db.session.scalars(select(model).where(*where).order_by(model.id).limit(1)).one()


def addresses(text: str) -> dict[str, list[str]]:
    """Return the addresses of all pages, by endpoint; *text* is what is typed into searches."""
    _, task = first_task()
    sent = [first(Delivery, Delivery.kind == kind).id for kind in ("task", "monitor_failing")]
    monitor, global_action = first(Monitor).id, first(GlobalAction).id
    wrong = f"status:{text.split(chr(34))[0]}"
    db.session.rollback()

    def asking(path: str, **typed: str) -> str:
        return f"{path}?{urlencode(typed)}"

    drafts = {"trigger": "error", "name_pattern": "", "project": "web"}
    return {
        "dashboard.start": ["/"],
        "dashboard.sign_in": ["/sign-in"],
        "dashboard.set_up": ["/set-up"],
        "dashboard.begin_sign_on": ["/sign-in/oidc"],
        "dashboard.finish_sign_on": ["/sign-in/oidc/callback"],
        "dashboard.account": ["/account"],
        "dashboard.invitation": [asking("/invitation", token=f"{TOKEN}-0"), "/invitation"],
        "dashboard.overview": [f"{BASE}/", f"{BASE}/?range=7d"],
        "dashboard.task_list": [
            f"{BASE}/tasks/",
            asking(f"{BASE}/tasks/", q=f'name:"{text}"'),
            asking(f"{BASE}/tasks/", q=f"{text} {wrong}", project="web"),
        ],
        "dashboard.task": [f"{BASE}/tasks/{task}/"],
        "dashboard.task_data": [f"{BASE}/tasks/{task}/data"],
        "dashboard.how_to": [f"{BASE}/how-to/", asking(f"{BASE}/how-to/", project="web")],
        "dashboard.export_tasks": [
            f"{BASE}/tasks/export.csv",
            f"{BASE}/tasks/export.jsonl",
            asking(f"{BASE}/tasks/export.csv", q=wrong),
        ],
        "dashboard.names": [f"{BASE}/names/", asking(f"{BASE}/names/", q=text)],
        "dashboard.name": [asking(f"{BASE}/names/web/", name=text)],
        "dashboard.monitor_list": [f"{BASE}/monitors/", f"{BASE}/monitors/?state=failing"],
        "dashboard.monitor": [f"{BASE}/monitors/{monitor}/"],
        "dashboard.new_monitor": [f"{BASE}/monitors/new/"],
        "dashboard.edit_monitor": [f"{BASE}/monitors/{monitor}/edit/"],
        "dashboard.preview_monitor": [
            asking(f"{BASE}/monitors/preview", schedule="@daily"),
            asking(f"{BASE}/monitors/preview", schedule=text),
            asking(f"{BASE}/monitors/preview", schedule="@daily", timezone=text),
        ],
        "dashboard.alert_list": [f"{BASE}/alerts/"],
        "dashboard.new_alert": [f"{BASE}/alerts/new/"],
        "dashboard.edit_alert": [f"{BASE}/alerts/{global_action}/"],
        "dashboard.dry_run_alert": [
            asking(f"{BASE}/alerts/dry-run", **drafts),
            asking(f"{BASE}/alerts/dry-run", **{**drafts, "trigger": text}),
            asking(f"{BASE}/alerts/dry-run", **{**drafts, "project": text}),
        ],
        "dashboard.channel_list": [f"{BASE}/alerts/channels/"],
        "dashboard.new_channel": [f"{BASE}/alerts/channels/new/webhook/"],
        "dashboard.edit_channel": [f"{BASE}/alerts/channels/webhook:ops-0/"],
        "dashboard.delivery_list_page": [
            f"{BASE}/alerts/deliveries/",
            f"{BASE}/alerts/deliveries/?channel=email",
            asking(f"{BASE}/alerts/deliveries/", channel=text[:50], state=text),
        ],
        "dashboard.delivery": [f"{BASE}/alerts/deliveries/{one}/" for one in sent],
        "dashboard.settings": [f"{BASE}/settings/"],
        "dashboard.project_settings": [f"{BASE}/settings/projects/web/"],
        "dashboard.keys_page": [f"{BASE}/settings/keys/"],
        "dashboard.members_page": [f"{BASE}/settings/members/"],
        "dashboard.organization": [f"{BASE}/settings/organization/"],
        "dashboard.audit_log": [f"{BASE}/settings/audit/"],
        "public.task": [f"/public/tasks/{task}/", "/public/tasks/none/"],
        "public.badge": [f"/public/tasks/{task}/badge.svg", "/public/tasks/none/badge.svg"],
    }
