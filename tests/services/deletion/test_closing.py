"""Closing: from one moment on nobody finds what was deleted, long before its rows are gone."""

from datetime import timedelta

import pytest
from alerting import make_global_action
from blueprints.dashboard.doing import make_task
from conftest import FIXTURES, ApiClient, make_key, make_project
from delivering import claim_and_send, make_webhook, message, queue
from flask import Flask
from holding import make_window
from incidents import make_incident
from people import browser_for, invite, make_member
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Delivery, Membership, Organization, Project
from taskbadger.process import process_of
from taskbadger.services.deletion import closing
from taskbadger.services.delivery import outbox
from taskbadger.services.organizations import organizations, projects


def delete_project(project: ProjectRef) -> closing.Deletion:
    organization = db.session.get_one(Organization, project.organization_id)
    done = closing.delete_project(organization, project.id, actor=FIXTURES, now=utcnow())
    db.session.commit()
    return done


def delete_organization(project: ProjectRef) -> closing.Deletion:
    organization = db.session.get_one(Organization, project.organization_id)
    done = closing.delete_organization(organization, actor=FIXTURES, now=utcnow())
    db.session.commit()
    return done


def statuses(app: Flask, keys: list[str], task: str) -> list[int]:
    """Return what the API answers to these keys once no process remembers them."""
    process_of(app).forget()
    found = []
    for key in keys:
        client = ApiClient(app.test_client(), key)
        found += [
            client.get().status_code,
            client.post(json={"name": "job"}).status_code,
            client.patch(f"/tasks/{task}/", json={"value": 1}).status_code,
        ]
    return found


def test_api_knows_a_deleted_project_no_more(app: Flask, project: ProjectRef) -> None:
    keys = [make_key(), make_key(slug=None)]
    task = make_task(project)
    before = statuses(app, keys, task)

    delete_project(project)

    assert before == [200, 201, 200] * 2
    assert statuses(app, keys, task) == [401, 401, 401, 404, 404, 404]


def test_api_knows_a_deleted_organization_no_more(app: Flask, project: ProjectRef) -> None:
    keys = [make_key(), make_key(slug=None)]
    task = make_task(project)

    delete_organization(project)

    assert statuses(app, keys, task) == [401] * 6


def test_a_write_whose_project_is_gone_is_a_404(app: Flask, project: ProjectRef) -> None:
    """Its key was good when it began, and the rows are gone when it ends."""
    client = ApiClient(app.test_client(), make_key())
    assert client.get().status_code == 200
    db.session.execute(Project.__table__.delete().where(Project.__table__.c.id == project.id))
    db.session.commit()

    answer = client.post(json={"name": "job"})

    assert (answer.status_code, answer.json["errors"][0]["code"]) == (404, "not_found")


PAGES = (
    "tasks/{task}/",
    "incidents/{closed}/",
    "incidents/{open}/",
    "settings/projects/web/",
    "names/web/?name=secret",
)
LISTS = ("", "tasks/", "incidents/", "incidents/?state=closed", "monitors/", "alerts/",
         "alerts/windows/", "settings/", "settings/keys/", "names/")  # fmt: skip


def test_pages_show_nothing_of_a_deleted_project(app: Flask, project: ProjectRef) -> None:
    other = make_project("acme", "shop")
    make_task(other, "kept")
    closed = make_incident(project, "secret", closed_at=utcnow())
    names = {
        "task": make_task(project, "secret"),
        "closed": closed,
        "open": make_incident(project, "secret"),
    }
    make_global_action(project, project="web", name="secret")
    make_window(project, project="web", name="secret")
    make_key(name="secret")
    browser = browser_for(app, make_member())
    public = f"/public/tasks/{names['task']}/"
    before = [browser.get(public).status_code]
    before += [browser.get(f"/a/acme/{page.format(**names)}").status_code for page in PAGES]

    delete_project(project)
    process_of(app).forget()

    after = [browser.get(public).status_code]
    after += [browser.get(f"/a/acme/{page.format(**names)}").status_code for page in PAGES]
    lists = {page: browser.get(f"/a/acme/{page}") for page in LISTS}
    assert before == [200] * 6
    assert after == [404] * 6
    assert {page: answer.status_code for page, answer in lists.items()} == dict.fromkeys(LISTS, 200)
    assert [page for page, answer in lists.items() if "secret" in answer.text] == []


def test_members_know_a_deleted_organization_no_more(app: Flask, project: ProjectRef) -> None:
    organization = db.session.get_one(Organization, project.organization_id)
    user, token = make_member(), invite(organization, "new@example.org")
    browser, public = browser_for(app, user), f"/public/tasks/{make_task(project)}/"

    done = delete_organization(project)
    process_of(app).forget()

    pages = ["/a/acme/", f"/a/{organization.slug}/", public, f"/invitation?token={token}"]
    assert [browser.get(page).status_code for page in pages] == [404] * 4
    assert "No organization yet" in browser.get("/").text
    assert db.session.scalars(select(Membership)).all() == []
    assert organizations.list_organizations() == []
    assert done.label == "acme"


def test_names_are_free_at_once(app: Flask, project: ProjectRef) -> None:
    delete_project(project)
    again = make_project()
    delete_organization(again)
    anew = make_project()

    assert len({project.id, again.id, anew.id}) == 3
    assert project.organization_id == again.organization_id != anew.organization_id
    assert [each.label for each in closing.list_deletions()] == ["acme/web", "acme"]
    with pytest.raises(NotFound):
        delete_project(project)


def test_ids_are_never_used_again(app: Flask, project: ProjectRef) -> None:
    """Signed links and what processes remember name rows by their ids."""
    user = make_member("last@example.org")
    before = (project.id, project.organization_id, user.id)
    for table in ("project", "membership", "organization", "user_account"):
        db.session.execute(db.metadata.tables[table].delete())
    db.session.commit()
    db.session.expire_all()

    again = make_project()
    after = (again.id, again.organization_id, make_member("new@example.org").id)

    assert all(new > old for new, old in zip(after, before, strict=True))


# Deliveries


def states() -> list[tuple[str, str | None]]:
    db.session.rollback()
    rows = db.session.execute(select(Delivery.state, Delivery.held_by).order_by(Delivery.id))
    return [(row.state, row.held_by) for row in rows]


def queue_about(project: ProjectRef) -> None:
    """Queue a message about something in a project."""
    now = utcnow()
    outbox.queue(
        message(project=project.slug, created=now),
        organization_id=project.organization_id,
        integration="webhook:ops",
        config={},
        now=now,
    )
    db.session.commit()


def test_messages_about_a_deleted_project_are_not_sent(app: Flask, project: ProjectRef) -> None:
    make_webhook(project, "ops")
    queue_about(project)

    delete_project(project)
    make_project()  # Another one of the same name.
    sent = claim_and_send()

    assert sent
    assert states() == [("dropped", "its project was deleted")]


def test_messages_of_a_deleted_organization_are_not_sent(app: Flask, project: ProjectRef) -> None:
    make_webhook(project, "ops")
    queue(project, now=utcnow())

    delete_organization(project)
    claim_and_send()

    assert states() == [("dropped", "its organization was deleted")]


def test_messages_about_other_projects_are_sent(app: Flask, project: ProjectRef) -> None:
    other = make_project("acme", "shop")
    make_webhook(project, "ops")
    delete_project(project)
    make_project()
    later = utcnow() + timedelta(microseconds=1)
    queue_about(other)
    queue_about(make_project())
    queue(other, now=later)

    while claim_and_send():
        pass

    assert {held_by for _, held_by in states()} == {None}


def test_audit_log_of_the_organization_says_who_deleted_a_project(
    app: Flask, project: ProjectRef
) -> None:
    delete_project(project)

    entries = db.metadata.tables["audit_entry"]
    row = (
        db.session.execute(select(entries).where(entries.c.verb == "project.delete"))
        .mappings()
        .one()
    )
    assert (row["organization_id"], row["subject"], row["kind"]) == (
        project.organization_id,
        "web",
        "project",
    )
    assert projects.list_projects(project.organization_id) == []
