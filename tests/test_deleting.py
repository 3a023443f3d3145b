"""The commands that delete: they say what would go, ask, and go on where they were cut off."""

import click.testing
import pytest
from blueprints.dashboard.doing import make_task
from click.testing import Result
from conftest import FIXTURES, make_key, make_project
from flask import Flask
from people import make_member
from sqlalchemy import func, select

from taskbadger.cli import cli
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import ApiKey, AuditEntry, Organization, Project, Task, User
from taskbadger.services.deletion import closing, erasing


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "GRACE", erasing.GRACE * 0)


def run(app: Flask, *arguments: str) -> Result:
    db.session.rollback()
    return app.test_cli_runner().invoke(cli, arguments)


def count(model: type[Organization | Project | Task | User | ApiKey]) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


PROJECT = """\
This deletes acme/web, with:
  tasks                                  2
  actions                                0
  monitors                               0
  incidents                              0
  deliveries                             0
  alert rules                            0
  maintenance windows                    0
  keys                                   1
  saved views                            0
"""


def test_project_is_deleted_with_what_was_said(app: Flask) -> None:
    project = make_project()
    make_key()
    for _ in range(2):
        make_task(project)
    other = make_task(make_project("acme", "shop"))

    asked = run(app, "projects", "delete", "acme/web")
    before = count(Task)
    done = run(app, "projects", "delete", "acme/web", "--yes")

    assert (asked.exit_code, asked.stdout, asked.stderr) == (
        1,
        PROJECT,
        "Error: nothing was deleted: add --yes to delete it\n",
    )
    assert before == 3
    assert (done.exit_code, done.stdout) == (0, PROJECT + "acme/web has been deleted.\n")
    assert db.session.scalars(select(Task.id)).all() == [other]
    assert (count(Project), count(Organization), count(ApiKey)) == (1, 1, 0)
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.actor_name, entry.verb, entry.subject) == ("server", "project.delete", "web")


def test_organization_is_deleted_with_its_projects(app: Flask) -> None:
    make_task(make_project())
    make_member()
    make_project("beta", "web")

    asked = run(app, "organizations", "delete", "acme")
    done = run(app, "organizations", "delete", "acme", "--yes")

    lines = asked.stdout.splitlines()
    assert (asked.exit_code, lines[0]) == (1, "This deletes acme, with:")
    assert [line.split() for line in lines[1:3]] == [["projects", "1"], ["tasks", "1"]]
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "acme has been deleted.")
    assert db.session.scalars(select(Organization.slug)).all() == ["beta"]
    assert (count(Task), count(User)) == (0, 1)


def test_user_is_deleted_unless_an_organization_needs_them(app: Flask) -> None:
    make_member("ada@example.org")
    make_member("bob@example.org", "member")

    asked = run(app, "users", "delete", "Bob@example.org")
    done = run(app, "users", "delete", "Bob@example.org", "--yes")
    refused = run(app, "users", "delete", "ada@example.org", "--yes")

    assert (asked.exit_code, asked.stdout.splitlines()[:2]) == (
        1,
        ["This deletes bob@example.org, with:", "  memberships                            1"],
    )
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0,
        "Bob@example.org has been deleted.",
    )
    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: No other owner would be left in: acme. Make someone else an owner first, or delete"
        " the organization.\n",
    )
    assert db.session.scalars(select(User.email)).all() == ["ada@example.org"]


@pytest.mark.parametrize(("typed", "left"), [("acme/web", 0), ("acme", 1)])
def test_terminal_is_asked_for_the_name(
    app: Flask, monkeypatch: pytest.MonkeyPatch, typed: str, left: int
) -> None:
    make_project()
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    db.session.rollback()

    done = app.test_cli_runner().invoke(cli, ["projects", "delete", "acme/web"], input=typed)

    assert "This cannot be undone. To delete it, type acme/web: " in done.output
    assert (done.exit_code, count(Project)) == (left, left)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("projects", "delete", "acme/none"), "there is no project acme/none"),
        (("projects", "delete", "none/web"), "there is no project none/web"),
        (("projects", "delete", "acme"), "there is no project acme"),
        (("organizations", "delete", "none"), "there is no organization none"),
    ],
)
def test_what_is_not_there_is_named(app: Flask, arguments: tuple[str, ...], message: str) -> None:
    make_project()

    done = run(app, *arguments, "--yes")

    assert (done.exit_code, done.stderr) == (1, f"Error: {message}\n")
    assert count(Project) == 1


def test_deletion_that_was_cut_off_is_finished_by_the_same_command(app: Flask) -> None:
    project = make_project()
    make_task(project)
    organization = db.session.get_one(Organization, project.organization_id)
    closing.delete_project(organization, project.id, actor=FIXTURES, now=utcnow())
    db.session.commit()

    done = run(app, "projects", "delete", "acme/web")

    assert (done.exit_code, done.stdout) == (0, "acme/web has been deleted.\n")
    assert (count(Task), count(Project), count(Organization)) == (0, 0, 1)
