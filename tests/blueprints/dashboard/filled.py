"""An organization that has something of everything, and the addresses of all pages then."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from blueprints.dashboard.doing import count_runs
from conftest import FIXTURES, SECRET_KEY
from incidents import make_event, make_failure, make_incident, make_kind
from people import make_member
from sqlalchemy import select, update
from watching import ACTOR, Watch, at

from taskbadger.blueprints.dashboard.sharing import write_part
from taskbadger.clock import utcnow
from taskbadger.domain import digest_links, roles
from taskbadger.domain.digest_links import DigestLink
from taskbadger.domain.digests import DAILY
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.incident_links import IncidentLink, write_token
from taskbadger.domain.keys import digest
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    DeliveryAttempt,
    FailureKind,
    GlobalAction,
    Incident,
    Invitation,
    MaintenanceWindow,
    Membership,
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
from taskbadger.services.windows import manage as windows

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
    first(Membership).digest = DAILY
    for number in range(start, stop):
        _add_people(organization, user, text, number)
        project = _add_project(organization, text, number)
        _add_alerts(organization, project, text, number)
        _add_windows(organization, text)
        _add_tasks(project, text, number)
        _add_monitor(project, text, number)
        _add_incident(project, text, number)
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


def _add_windows(organization: Organization, text: str) -> None:
    """Add a window that is active, and one that is over."""
    now, hour = utcnow(), timedelta(hours=1)
    for start, end in ((now - hour, now + hour), (now - 2 * hour, now - hour)):
        window: Any = {"name": text, "starts": start, "ends": end}
        made = windows.create_window(organization.id, window, actor=SERVER, now=now)
    made.name_pattern = text


def _add_tasks(project: ProjectRef, text: str, number: int) -> None:
    """Add a task in the project, and to the first task a child, an entry and what that fires."""
    by, now = Actor("key", text), utcnow()
    fields: dict[str, Any] = {"name": text, "queue": text, "external_id": text, "value": 0}
    fields |= {"tags": {text: text}, "data": json.dumps({text: [text]}), "status": "processing"}
    fields["actions"] = [{"trigger": "error,*/3%", **MAIL}]
    for ago, status in ((9, "success"), (6, "processing"), (3, "error")):
        moment = now - timedelta(seconds=ago)
        # The failure is the last attempt, so that an alert would tell it.
        run = {**fields, "external_id": ""} if status == "error" else fields
        task = write.create_task(project, run, now=moment, actor=by)
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


def _add_incident(project: ProjectRef, text: str, number: int) -> None:
    """Add an incident of a name, and to the first one a failure of a new kind and an event."""
    name, now = f"{text[:200]} {number}", utcnow()
    acknowledged: Any = {"acknowledged_at": now, "acknowledged_by": text[:255], "snoozed_at": now}
    make_incident(project, name, opened_at=now, **acknowledged)
    make_incident(project, name, opened_at=now, closed_at=now)
    own, _ = first_task()
    first_one = first(Incident, Incident.name.is_not(None))
    incident_id, first_name = first_one.id, first_one.name or ""
    kind = make_kind(own, f"{number} {text}"[:200], first_name, place=text[:255])
    task = make_failure(own, kind, incident_id, text[:255], now)
    make_event(incident_id, "new_kind", actor=text[:255], detail=text, task_id=task)


def link_for(incident_id: int, person: str) -> str:
    """Return a path such as messages have."""
    link = IncidentLink("snooze", incident_id, person, "d1")
    token = write_token(link, SECRET_KEY, now=utcnow())
    return f"/public/incidents/?{urlencode({'token': token})}"


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


def unsubscribing(member: Membership) -> str:
    """Return a path such as digests have."""
    link = DigestLink(member.organization_id, member.user_id)
    return f"/public/digests/?{urlencode({'token': digest_links.write_token(link, SECRET_KEY)})}"


def first(model: Any, *where: Any) -> Any:
    """Return the first row of a table."""
    return db.session.scalars(select(model).where(*where).order_by(model.id).limit(1)).one()


def addresses(text: str) -> dict[str, list[str]]:
    """Return the addresses of all pages, by endpoint; *text* is what is typed into searches."""
    _, task = first_task()
    sent = [first(Delivery, Delivery.kind == kind).id for kind in ("task", "monitor_failing")]
    monitor, global_action = first(Monitor).id, first(GlobalAction).id
    failure = first(FailureKind).id
    incident = first(Incident, Incident.name.is_not(None)).id
    of_monitor = first(Incident, Incident.monitor_id.is_not(None)).id
    window = first(MaintenanceWindow).id
    member = first(Membership)
    preview, unsubscribe = f"/account/digests/{member.id}", unsubscribing(member)
    wrong = f"status:{text.split(chr(34))[0]}"
    db.session.rollback()

    def asking(path: str, **typed: str) -> str:
        return f"{path}?{urlencode(typed)}"

    named = f"/public/acme/web/names/{write_part(text)}/"
    drafts = {"trigger": "error", "name_pattern": "", "project": "web"}
    return {
        "dashboard.start": ["/"],
        "dashboard.sign_in": ["/sign-in"],
        "dashboard.set_up": ["/set-up"],
        "dashboard.begin_sign_on": ["/sign-in/oidc"],
        "dashboard.finish_sign_on": ["/sign-in/oidc/callback"],
        "dashboard.account": ["/account"],
        "dashboard.account_deletion": ["/account/delete"],
        "dashboard.digest_preview": [f"{preview}/"],
        "dashboard.digest_mail": [f"{preview}/mail"],
        "digest_links.digest_link": [unsubscribe, "/public/digests/"],
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
        "dashboard.failure_list": [
            f"{BASE}/failures/",
            asking(f"{BASE}/failures/", q=text, state="all", project="web"),
            asking(f"{BASE}/failures/", state=text),
        ],
        "dashboard.failure": [f"{BASE}/failures/{failure}/"],
        "dashboard.names": [f"{BASE}/names/", asking(f"{BASE}/names/", q=text)],
        "dashboard.name": [asking(f"{BASE}/names/web/", name=text)],
        "dashboard.queue_list": [f"{BASE}/queues/", f"{BASE}/queues/?project=web"],
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
        "dashboard.window_list": [
            f"{BASE}/alerts/windows/",
            asking(f"{BASE}/alerts/windows/", state="over"),
        ],
        "dashboard.new_window": [
            f"{BASE}/alerts/windows/new/",
            asking(f"{BASE}/alerts/windows/new/", monitor=text),
        ],
        "dashboard.edit_window": [f"{BASE}/alerts/windows/{window}/"],
        "dashboard.channel_list": [f"{BASE}/alerts/channels/"],
        "dashboard.new_channel": [f"{BASE}/alerts/channels/new/webhook/"],
        "dashboard.edit_channel": [f"{BASE}/alerts/channels/webhook:ops-0/"],
        "dashboard.delivery_list_page": [
            f"{BASE}/alerts/deliveries/",
            f"{BASE}/alerts/deliveries/?channel=email",
            asking(f"{BASE}/alerts/deliveries/", channel=text[:50], state=text),
        ],
        "dashboard.delivery": [f"{BASE}/alerts/deliveries/{one}/" for one in sent],
        "dashboard.incident_list": [
            f"{BASE}/incidents/",
            f"{BASE}/incidents/?state=closed",
            asking(f"{BASE}/incidents/", q=text, project="web"),
        ],
        "dashboard.incident": [f"{BASE}/incidents/{number}/" for number in (incident, of_monitor)],
        "incident_links.open_incident_link": [link_for(incident, text), "/public/incidents/"],
        "dashboard.settings": [f"{BASE}/settings/"],
        "dashboard.project_settings": [f"{BASE}/settings/projects/web/"],
        "dashboard.project_deletion": [f"{BASE}/settings/projects/web/delete/"],
        "dashboard.keys_page": [f"{BASE}/settings/keys/"],
        "dashboard.members_page": [f"{BASE}/settings/members/"],
        "dashboard.mail_server": [f"{BASE}/settings/mail/"],
        "dashboard.organization": [f"{BASE}/settings/organization/"],
        "dashboard.organization_deletion": [f"{BASE}/settings/organization/delete/"],
        "dashboard.audit_log": [f"{BASE}/settings/audit/"],
        "public.task": [f"/public/tasks/{task}/", "/public/tasks/none/"],
        "public.badge": [f"/public/tasks/{task}/badge.svg", "/public/tasks/none/badge.svg"],
        "public.name": [named, "/public/acme/web/names/none/"],
        "public.name_badge": [f"{named}badge.svg", "/public/acme/web/names/none/badge.svg"],
        "public.monitor": [f"/public/monitors/{monitor}/", "/public/monitors/none/"],
        "public.monitor_badge": [
            f"/public/monitors/{monitor}/badge.svg",
            "/public/monitors/none/badge.svg",
        ],
    }
