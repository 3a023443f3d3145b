"""Who changed what: every change by a person or an admin key leaves an entry, route by route."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from blueprints.dashboard.alerts.test_deliveries import MAIL, fail, give_up
from blueprints.dashboard.alerts.test_global_actions import FORM as ALERT
from blueprints.dashboard.alerts.test_global_actions import make_global_action
from blueprints.dashboard.alerts.test_windows import FORM as WINDOW
from blueprints.dashboard.forms_read import trail
from blueprints.dashboard.monitors.pages import CRON
from blueprints.dashboard.routes import is_door_api
from blueprints.dashboard.test_security import UNSAFE, page_rules
from conftest import ApiClient, make_key, make_project
from flask import Flask
from holding import make_window
from incidents import make_incident
from people import PASSWORD, WebClient, browser_for, make_member, session_cookie
from sqlalchemy import func, select
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    Action,
    AuditEntry,
    FailureKind,
    Invitation,
    Membership,
    SavedView,
    User,
    UserSession,
)
from taskbadger.process import current_process
from taskbadger.services.delivery import channels
from taskbadger.services.organizations import keys
from taskbadger.services.tasks import write

HOME = "/a/acme/"
CI = Actor("key", "ci")
HOOK = {"url": "http://127.0.0.1:1/"}
"""Where nobody listens: a test of it ends at once."""

Made = tuple[str, dict[str, Any]]
"""The rest of an address, and what is sent there."""


def make_task(project: ProjectRef, **fields: Any) -> str:
    made = write.create_task(project, {"name": "job", **fields}, now=utcnow(), actor=CI)
    db.session.commit()
    return str(made.id)


def make_channel(project: ProjectRef, slug: str = "ops") -> str:
    channels.create_channel(
        project.organization_id, "webhook", slug, slug, {"url": "https://ops.example.com/"},
        actor=SERVER, context=current_process().send_context, now=utcnow(),
    )  # fmt: skip
    db.session.commit()
    return f"webhook:{slug}"


def make_dead(project: ProjectRef) -> str:
    delivery_id = fail(project)
    give_up(delivery_id)
    return delivery_id


def make_other_key(project: ProjectRef) -> int:
    make_key()
    return max(key.id for key in keys.list_keys())


def make_other_member(email: str) -> int:
    make_member(email, "viewer")
    query = select(Membership.id).join(Membership.user).where(User.email == email)
    return db.session.scalars(query).one()


def make_view(project: ProjectRef) -> int:
    view = SavedView(
        organization_id=project.organization_id, name="v", search="", project="", created=utcnow()
    )
    db.session.add(view)
    db.session.commit()
    return view.id


def make_invitation(project: ProjectRef) -> int:
    found = Invitation(
        organization_id=project.organization_id, email="i@example.org", role="viewer",
        digest="0" * 64, invited_by="ada", created=utcnow(), expires=utcnow().replace(year=2100),
    )  # fmt: skip
    db.session.add(found)
    db.session.commit()
    return found.id


PAGES: dict[str, Callable[[ProjectRef], Made]] = {
    "make_first_key": lambda _: ("how-to/", {"project": "web"}),
    "send_demo_task": lambda _: ("how-to/demo-task", {"project": "web"}),
    "create_alert": lambda _: ("alerts/new/", ALERT),
    "change_alert": lambda project: (f"alerts/{make_global_action(project).id}/", ALERT),
    "enable_alert": lambda project: (f"alerts/{make_global_action(project).id}/enabled", {}),
    "delete_alert": lambda project: (f"alerts/{make_global_action(project).id}/delete", {}),
    "create_window": lambda _: ("alerts/windows/new/", WINDOW),
    "change_window": lambda project: (f"alerts/windows/{make_window(project)}/", WINDOW),
    "end_window": lambda project: (f"alerts/windows/{make_window(project, utcnow())}/end", {}),
    "delete_window": lambda project: (f"alerts/windows/{make_window(project)}/delete", {}),
    "silence": lambda _: ("alerts/windows/silence", {"for": "1"}),
    "create_channel": lambda _: (
        "alerts/channels/new/webhook/",
        {"name": "New", "slug": "new", "config.url": "https://ops.example.com/"},
    ),
    "change_channel": lambda project: (
        f"alerts/channels/{make_channel(project)}/",
        {"name": "Renamed", "config.url": HOOK["url"]},
    ),
    "send_test": lambda _: ("alerts/channels/webhook:ops/test", {}),
    "enable_channel": lambda _: ("alerts/channels/webhook:ops/enabled", {}),
    "delete_channel": lambda _: ("alerts/channels/webhook:ops/delete", {}),
    "replay_delivery": lambda project: (f"alerts/deliveries/{make_dead(project)}/replay", {}),
    "replay_cause": lambda project: (f"alerts/deliveries/{make_dead(project)}/replay-cause", {}),
    "replay_channel": lambda project: (
        "alerts/deliveries/replay",
        {"channel": make_dead(project) and "email"},
    ),
    "dismiss_delivery": lambda project: (f"alerts/deliveries/{make_dead(project)}/dismiss", {}),
    "dismiss_deliveries": lambda project: (make_dead(project) and "alerts/deliveries/dismiss", {}),
    "dismiss_selected_deliveries": lambda project: (
        "alerts/deliveries/dismiss-selected",
        {"delivery": make_dead(project)},
    ),
    "retry_selected_deliveries": lambda project: (
        "alerts/deliveries/retry-selected",
        {"delivery": make_dead(project)},
    ),
    "acknowledge_incident": lambda project: (
        f"incidents/{make_incident(project, 'a')}/acknowledge",
        {},
    ),
    "unacknowledge_incident": lambda project: (
        f"incidents/{make_incident(project, 'b', acknowledged_at=utcnow())}/unacknowledge",
        {},
    ),
    "snooze_incident": lambda project: (
        f"incidents/{make_incident(project, 'c')}/snooze",
        {"for": "1"},
    ),
    "unsnooze_incident": lambda project: (
        f"incidents/{make_incident(project, 'd', snoozed_at=utcnow())}/unsnooze",
        {},
    ),
    "create_monitor": lambda _: ("monitors/new/", CRON),
    "change_monitor": lambda project: (f"monitors/{Watch(project).monitor.id}/edit/", CRON),
    "set_monitor_status": lambda project: (
        f"monitors/{Watch(project).monitor.id}/status",
        {"status": "paused"},
    ),
    "delete_monitor": lambda project: (f"monitors/{Watch(project).monitor.id}/delete", {}),
    "cancel_task": lambda project: (f"tasks/{make_task(project)}/cancel", {}),
    "cancel_tasks": lambda project: ("tasks/cancel", {"task": [make_task(project)]}),
    "change_failures": lambda project: (
        "failures/change",
        {"failure": str(make_failure(project)), "to": "resolved", "span": ""},
    ),
    "save_view": lambda _: ("tasks/views", {"name": "failures", "q": "status:error"}),
    "delete_view": lambda project: (f"tasks/views/{make_view(project)}/delete", {}),
    "create_project": lambda _: ("settings/", {"name": "Shop", "slug": "shop"}),
    "change_project": lambda _: ("settings/projects/web/", {"name": "Web 2"}),
    "delete_project": lambda _: (
        f"settings/projects/{make_project('acme', 'old').slug}/delete/",
        {"confirm": "old"},
    ),
    "create_key": lambda _: (
        "settings/keys/",
        {"name": "k", "project": "web", "scope_read": "true"},
    ),
    "revoke_key": lambda project: (f"settings/keys/{make_other_key(project)}/revoke", {}),
    "invite": lambda _: ("settings/invitations/", {"email": "x@example.org", "role": "viewer"}),
    "withdraw_invitation": lambda project: (
        f"settings/invitations/{make_invitation(project)}/withdraw",
        {},
    ),
    "change_role": lambda _: (
        f"settings/members/{make_other_member('bo@example.org')}/role",
        {"role": "admin"},
    ),
    "remove_member": lambda _: (
        f"settings/members/{make_other_member('cy@example.org')}/remove",
        {},
    ),
    "rename_organization": lambda _: ("settings/organization/", {"name": "Acme Ltd"}),
    "leave": lambda _: (make_member("di@example.org") and "settings/members/leave", {}),
}
"""How each change below ``/a/<org>/`` succeeds, in this order."""


def count_entries() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0


@pytest.fixture
def sender(make_app: Callable[..., Flask]) -> Flask:
    """A server that may send to this machine."""
    return make_app(OUTBOUND_ALLOW=("127.0.0.0/8",))


PAGES_WITHOUT_ENTRY = {"export_selected", "delete_organization"}
"""One reads, and is a form only because it names many tasks; the other ends the log, too."""


def test_every_change_on_a_page_leaves_an_entry(sender: Flask, project: ProjectRef) -> None:
    app, web = sender, browser_for(sender, make_member())
    unsafe = {
        rule.endpoint.removeprefix("dashboard.")
        for rule, _ in page_rules(app)
        if UNSAFE & (rule.methods or set()) and rule.rule.startswith("/a/")
    }
    silent = []

    for name, make in PAGES.items():
        path, form = make(project)
        before = count_entries()
        answer = web.post(HOME + path, form)
        assert answer.status_code in (200, 303), (name, answer.text)
        if count_entries() == before:
            silent.append(name)

    assert set(PAGES) | PAGES_WITHOUT_ENTRY == unsafe
    assert silent == []


API: dict[str, Callable[[ProjectRef], Made]] = {
    "POST tasks.TaskList": lambda _: ("web/tasks/", {"name": "made"}),
    "PATCH tasks.TaskDetail": lambda project: (f"web/tasks/{make_task(project)}/", {"value": 5}),
    "PUT tasks.TaskDetail": lambda project: (f"web/tasks/{make_task(project)}/", {"name": "put"}),
    "DELETE tasks.TaskDetail": lambda project: (f"web/tasks/{make_task(project)}/", {}),
    "POST tasks.add_actions5": lambda project: (f"web/tasks/{make_task(project)}", {"value": 1}),
    "POST tasks.add_actions6": lambda project: (f"web/tasks/{make_task(project)}/", {"value": 1}),
    "POST actions.ActionList": lambda project: (
        f"web/tasks/{make_task(project)}/actions/",
        {"trigger": "error", **MAIL},
    ),
    "PATCH actions.ActionDetail": lambda project: (action_of(project), {"trigger": "50%"}),
    "PUT actions.ActionDetail": lambda project: (
        action_of(project),
        {"trigger": "50%", **MAIL},
    ),
    "DELETE actions.ActionDetail": lambda project: (action_of(project), {}),
    "POST monitors.MonitorList": lambda _: (
        "web/monitors/",
        {"name": "m", "type": "cron", "schedule": "0 2 * * *"},
    ),
    "PATCH monitors.MonitorDetail": lambda project: (
        f"web/monitors/{Watch(project).monitor.id}/",
        {"name": "n"},
    ),
    "PUT monitors.MonitorDetail": lambda project: (
        f"web/monitors/{Watch(project).monitor.id}/",
        {"name": "n", "type": "cron", "schedule": "0 2 * * *"},
    ),
    "DELETE monitors.MonitorDetail": lambda project: (
        f"web/monitors/{Watch(project).monitor.id}/",
        {},
    ),
    "PATCH failures.FailureDetail": lambda project: (
        f"web/failures/{make_failure(project)}/",
        {"state": "resolved"},
    ),
    "POST batches.TaskBatch": lambda _: (
        "web/tasks/batch/",
        {"operations": [{"op": "create", "task": {"name": "job"}}]},
    ),
    "POST channels.ChannelList": lambda _: (
        "-/channels/",
        {"kind": "webhook", "slug": "ops", "name": "Ops", "config": HOOK},
    ),
    "PATCH channels.ChannelDetail": lambda _: ("-/channels/webhook:ops/", {"name": "New"}),
    "POST channels.ChannelTests": lambda _: ("-/channels/webhook:ops/test/", {}),
    "DELETE channels.ChannelDetail": lambda _: ("-/channels/webhook:ops/", {}),
    "POST deliveries.DeliveryReplay": lambda project: (
        f"-/deliveries/{make_dead(project)}/replay/",
        {},
    ),
    "POST deliveries.ChannelReplay": lambda project: (
        "-/deliveries/replay/",
        {"channel": make_dead(project) and "email"},
    ),
    "POST incidents.IncidentAcknowledge": lambda project: (
        f"-/incidents/{make_incident(project)}/acknowledge/",
        {},
    ),
    "POST incidents.IncidentSnooze": lambda project: (
        f"-/incidents/{make_incident(project, 'export')}/snooze/",
        {"until": None},
    ),
    "POST global_actions.GlobalActionList": lambda _: (
        "-/global-actions/",
        {"name": "g", "trigger": "error", "channels": [MAIL]},
    ),
    "PATCH global_actions.GlobalActionDetail": lambda project: (
        f"-/global-actions/{make_global_action(project).id}/",
        {"name": "h"},
    ),
    "DELETE global_actions.GlobalActionDetail": lambda project: (
        f"-/global-actions/{make_global_action(project).id}/",
        {},
    ),
    "POST keys.KeyList": lambda _: ("-/keys/", {"name": "k", "project": "web"}),
    "DELETE keys.KeyDetail": lambda project: (f"-/keys/{make_other_key(project)}/", {}),
    "PATCH members.MemberDetail": lambda _: (
        f"-/members/{make_other_member('bo@example.org')}/",
        {"role": "admin"},
    ),
    "DELETE members.MemberDetail": lambda _: (
        f"-/members/{make_other_member('cy@example.org')}/",
        {},
    ),
    "POST projects.ProjectList": lambda _: ("-/projects/", {"name": "Shop", "slug": "shop"}),
    "PATCH projects.ProjectDetail": lambda _: ("-/projects/web/", {"name": "Web 2"}),
    "POST windows.WindowList": lambda _: (
        "-/windows/",
        {"name": "w", "schedule": "@daily", "duration": 60},
    ),
    "PATCH windows.WindowDetail": lambda project: (
        f"-/windows/{make_window(project)}/",
        {"name": "v"},
    ),
    "DELETE windows.WindowDetail": lambda project: (f"-/windows/{make_window(project)}/", {}),
}
"""How each change over the API succeeds, in this order."""
API_THAT_CHANGES_NOTHING = {
    "POST global_actions.GlobalActionDryRun",
    *(f"{method} batches.refuse" for method in ("PUT", "PATCH", "DELETE")),
}


def make_failure(project: ProjectRef) -> int:
    """Return the failure kind of a failed task."""
    task_id = make_task(project, status="error", name=f"job {uuid4()}")
    kind = select(FailureKind.id).where(FailureKind.sample_task == task_id)
    return db.session.scalars(kind).one()


def action_of(project: ProjectRef) -> str:
    task_id = make_task(project, actions=[{"trigger": "error", **MAIL}])
    number = db.session.scalars(select(Action.id).where(Action.task_id == task_id)).one()
    return f"web/tasks/{task_id}/actions/{number}/"


def test_every_change_by_an_admin_key_leaves_an_entry(sender: Flask, project: ProjectRef) -> None:
    app = sender
    admin = ApiClient(app.test_client(), make_key(slug=None, scopes="admin"), base="/api/acme/")
    unsafe = {
        f"{method} {rule.endpoint}"
        for rule in app.url_map.iter_rules()
        for method in UNSAFE & (rule.methods or set())
        if rule.rule.startswith("/api/") and not rule.endpoint.endswith("_bare")
        if not is_door_api(rule)
    }
    silent = []

    for name, make in API.items():
        path, body = make(project)
        before = count_entries()
        answer = admin.open(name.split()[0], path, json=body or None)
        assert answer.status_code < 300, (name, answer.text)
        if count_entries() == before:
            silent.append(name)

    assert set(API) | API_THAT_CHANGES_NOTHING == unsafe
    assert silent == []


def test_changes_of_tasks_by_other_keys_are_in_their_history_only(
    api: ApiClient, project: ProjectRef
) -> None:
    made = api.post(json={"name": "job"}).json
    api.open("PATCH", f"/tasks/{made['id']}/", json={"value": 5})
    api.open("DELETE", f"/tasks/{made['id']}/")

    assert trail() == []


def test_entry_of_a_task_says_what_an_admin_key_changed(app: Flask, project: ProjectRef) -> None:
    admin = ApiClient(app.test_client(), make_key(scopes="admin", name="terraform"))
    task_id = make_task(project, status="processing", data='{"token":"hidden"}')
    change = {"status": "error", "tags": {"env": "prod"}, "data": {"token": "other"}}

    admin.open("PATCH", f"/tasks/{task_id}/", json=change)
    admin.open("PATCH", f"/tasks/{task_id}/", json={})

    assert trail() == [
        (
            "terraform",
            "task.change",
            "job",
            f"{task_id}; status: processing → error; "
            'tags: {} → {"env":"prod"}; data: (secret) changed',
        )
    ]


def test_task_that_had_ended_is_not_said_to_be_cancelled(
    web: WebClient, project: ProjectRef
) -> None:
    ended, open_task = make_task(project, status="success"), make_task(project)

    for task_id in (ended, open_task):
        web.post(f"{HOME}tasks/{task_id}/cancel")

    assert trail() == [("ada@example.org", "task.cancel", "job", open_task)]


@pytest.mark.parametrize("organizations", [("acme",), ("acme", "other")])
def test_changes_of_an_own_account_are_in_the_log_of_each_organization(
    app: Flask, organizations: tuple[str, ...]
) -> None:
    for organization in organizations:
        user = make_member(organization=organization)
    browser = browser_for(app, user)
    session_cookie(user)
    other = db.session.scalars(select(func.max(UserSession.id))).one()
    new = "another long pass phrase"

    browser.post(f"/account/sessions/{other}/end")
    browser.post("/account/password", {"current": PASSWORD, "password": new})

    expected = ["user.end-session"] * len(organizations)
    expected += ["user.change-password"] * len(organizations)
    assert [entry[1] for entry in trail()] == expected
