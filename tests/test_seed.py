"""The account of the first run, demo data and bulk data."""

from collections import Counter
from collections.abc import Callable

from conftest import audit_entries, make_project
from flask import Flask
from sqlalchemy import func, select
from watching import at

from taskbadger import seed
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, Project, Task, TaskEvent, TaskTag, User

NOW = at("12:00")


def test_first_run_creates_an_account_once(app: Flask) -> None:
    made = seed.first_run(now=NOW)
    again = seed.first_run(now=NOW)

    assert made is not None
    assert again is None
    assert db.session.scalars(select(Organization.slug)).all() == ["demo"]
    assert db.session.scalars(select(Project.slug)).all() == ["demo"]
    found = db.session.execute(select(User.email, Membership.role).join(Membership)).all()
    assert [tuple(row) for row in found] == [(seed.DEMO_EMAIL, "owner")]
    entries = db.session.scalars(audit_entries())
    assert [(one.actor_name, one.verb, one.subject) for one in entries] == [
        ("server", "organization.create", "demo"),
        ("server", "project.create", "demo"),
        ("server", "key.create", "first run"),
        ("server", "member.add", seed.DEMO_EMAIL),
    ]


def test_demo_project_keeps_tasks_as_long_as_the_operator_says(
    make_app: Callable[..., Flask],
) -> None:
    with make_app(DEFAULT_RETENTION_DAYS=90).app_context():
        seed.first_run(now=NOW)

    assert db.session.scalars(select(Project.retention_days)).all() == [90]


def test_database_with_an_organization_gets_no_account(project: ProjectRef) -> None:
    assert seed.first_run(now=NOW) is None


def test_welcome_shows_the_secrets_only_on_the_first_run() -> None:
    made = seed.FirstRun("tb_key", "pass word")

    first = seed.welcome(made, "http://x", "/srv/tasks.db").splitlines()
    later = seed.welcome(None, "http://x", "/srv/tasks.db").splitlines()

    assert later == [
        "Task Badger is running at http://x/",
        "  API docs  http://x/api/docs/",
        "  data      /srv/tasks.db",
    ]
    assert first == [
        *later,
        "This is the first run. Your account, shown only this once:",
        "  e-mail    demo@example.com",
        "  password  pass word",
        "  API key   tb_key",
        "  how to send tasks with the key: http://x/a/demo/how-to/",
    ]


def test_demo_has_a_task_for_each_story_and_children(project: ProjectRef) -> None:
    count = seed.demo(project, now=NOW)
    db.session.commit()

    names = db.session.scalars(select(Task.name)).all()
    assert count == len(names) == len(seed.STORIES) + 2
    assert Counter(names) == Counter([*(story.name for story in seed.STORIES), *seed._CHILDREN])
    parents = db.session.scalars(select(Task.parent).where(Task.parent.isnot(None))).all()
    oldest = db.session.scalars(select(Task.id).where(Task.name == seed.STORIES[0].name)).one()
    assert parents == [oldest, oldest]
    assert set(db.session.scalars(select(Task.status))) == {
        "pending",
        "pre_processing",
        "processing",
        "post_processing",
        "success",
        "error",
        "cancelled",
        "stale",
    }


def test_bulk_adds_tasks_of_the_past_month_with_tag_and_event(project: ProjectRef) -> None:
    make_project("acme", "other")

    seed.bulk(project, 200, now=NOW)

    counts = [
        db.session.scalar(select(func.count()).select_from(model))
        for model in (Task, TaskTag, TaskEvent)
    ]
    assert counts == [200, 200, 200]
    created = db.session.scalars(select(Task.created).order_by(Task.created)).all()
    assert (NOW - created[0]).days == 30
    assert created[-1] < NOW
    assert set(db.session.scalars(select(Task.project_id))) == {project.id}
    assert set(db.session.scalars(select(TaskTag.value))) == {"prod", "test"}
