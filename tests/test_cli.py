"""The commands of ``taskbadger-server``, each run on a real database."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from click.testing import Result
from conftest import SECRET_KEY, ApiClient, audit_entries, make_key, make_project, settings
from flask import Flask
from people import PASSWORD, browser_for, make_member
from processes import environment, install_plugin, run_server
from sqlalchemy import func, select

from taskbadger import serving
from taskbadger.cli import cli
from taskbadger.clock import utcnow
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models import (
    ApiKey,
    AuditEntry,
    Membership,
    Organization,
    Task,
    TaskEvent,
    TaskTag,
    User,
)
from taskbadger.services.organizations import keys
from taskbadger.services.people import attempts, passwords, sessions, users

GOOD_PASSWORD = "correct horse battery"


def run(app: Flask, *arguments: str, stdin: str | None = None) -> Result:
    """Run a command on the test's database."""
    db.session.rollback()
    return app.test_cli_runner().invoke(cli, arguments, input=stdin)


def test_users_disable_ends_sessions_until_enabled_again(app: Flask) -> None:
    browser = browser_for(app, make_member())

    disabled = run(app, "users", "disable", "Ada@example.org")
    without = browser.get("/account").status_code
    enabled = run(app, "users", "enable", "ada@example.org")
    form = {"email": "ada@example.org", "password": PASSWORD}
    again = browser.post("/sign-in", form).status_code

    assert (disabled.output, without) == ("Ada@example.org has been disabled.\n", 303)
    assert (enabled.output, again) == ("ada@example.org has been enabled.\n", 303)


def test_users_unlock_ends_the_wait_after_too_many_attempts(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_member()
    monkeypatch.setattr(attempts, "PER_ACCOUNT", 1)
    form = {"email": "ada@example.org", "password": PASSWORD}
    for address in ("192.0.2.1", "192.0.2.2"):
        locked = browser_for(app).post("/sign-in", form, environ_base={"REMOTE_ADDR": address})

    done = run(app, "users", "unlock", "Ada@example.org")
    unlocked = browser_for(app).post("/sign-in", form)

    assert (locked.status_code, unlocked.status_code) == (429, 303)
    assert done.output == "Ada@example.org can sign in again.\n"


@pytest.mark.parametrize("command", ["disable", "enable", "unlock", "delete"])
def test_users_that_are_not_there_are_named(app: Flask, command: str) -> None:
    done = run(app, "users", command, "nobody@example.org")

    assert (done.exit_code, done.stderr) == (1, "Error: there is no user nobody@example.org\n")


def test_keys_create_prints_a_project_key_alone_as_the_last_line(app: Flask) -> None:
    done = run(app, "keys", "create", "new-org/new-project", "--name", "ci")

    assert done.exit_code == 0
    key = done.stdout.splitlines()[-1]
    assert base64.b64decode(key).decode().rpartition("/")[0] == "new-org/new-project"
    client = ApiClient(app.test_client(), key, base="/api/new-org/new-project")
    assert client.post(json={"name": "job"}).status_code == 201
    row = db.session.scalars(select(ApiKey)).one()
    assert (row.name, row.scopes) == ("ci", "ingest,read")
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id))
    assert [(one.actor_name, one.verb, one.subject) for one in entries] == [
        ("server", "organization.create", "new-org"),
        ("server", "project.create", "new-project"),
        ("server", "key.create", "ci"),
    ]


def test_keys_create_with_an_organization_makes_a_key_of_all_its_projects(app: Flask) -> None:
    make_project("acme", "web")
    make_project("acme", "mobile")

    key = run(app, "keys", "create", "acme").stdout.splitlines()[-1]

    pages = [
        ApiClient(app.test_client(), key, base=f"/api/acme/{slug}").get().status_code
        for slug in ("web", "mobile")
    ]
    assert pages == [200, 200]


def test_keys_create_makes_projects_that_keep_tasks_as_long_as_the_operator_says(
    make_app: Callable[..., Flask],
) -> None:
    make_project("acme", "web")
    app = make_app(DEFAULT_RETENTION_DAYS=90)
    db.session.rollback()

    with app.app_context():
        for slug in ("web", "new"):
            assert run(app, "keys", "create", f"acme/{slug}").exit_code == 0

    lines = run(app, "projects", "list", "--json").stdout.splitlines()
    found = {each["project"]: each["retention_days"] for each in map(json.loads, lines)}
    assert found == {"acme/new": 90, "acme/web": None}


def test_keys_create_leaves_what_is_there_as_it_is(app: Flask) -> None:
    make_project("acme", "web")

    run(app, "keys", "create", "acme/web")

    assert db.session.scalars(select(Organization.slug)).all() == ["acme"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Not A Slug/web",), "Error: “Not A Slug” is not a valid slug. Use 1 to 50 of a-z, 0-9"),
        (("acme/",), "Error: “” is not a valid slug"),
        (("v3/web",), "Error: “v3” is reserved: it is a version of the API of Healthchecks."),
        (
            ("acme/web", "--scopes", "everything"),
            "Error: Valid scopes are ingest, read, ping, admin.",
        ),
    ],
)
def test_keys_create_refuses_nonsense_in_one_line(
    app: Flask, arguments: tuple[str, ...], message: str
) -> None:
    done = run(app, "keys", "create", *arguments)

    assert done.exit_code == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert db.session.scalars(select(ApiKey)).all() == []


def test_keys_list_shows_no_secret(app: Flask) -> None:
    key = make_key(name="shown name")
    make_key(slug=None, name="old", expires=utcnow() - timedelta(days=1))
    secret = base64.b64decode(key).decode().rpartition("/")[2]
    prefix, _, rest = secret.partition(".")

    listed = run(app, "keys", "list").stdout

    lines = [line.split() for line in listed.splitlines()]
    assert lines[0] == ["ID", "OPENS", "NAME", "BEGINS", "SCOPES", "LAST", "USED", "STATE"]
    assert lines[1][1:] == ["acme/web", "shown", "name", prefix, "ingest,read", "-", "active"]
    assert [lines[2][1], lines[2][-1]] == ["acme/*", "expired"]
    assert rest not in listed


def test_keys_revoke_refuses_the_key_from_then_on(app: Flask) -> None:
    key = make_key()
    (row,) = keys.list_keys()

    done = run(app, "keys", "revoke", str(row.id))

    assert (done.exit_code, done.stdout) == (0, f"Key {row.id} has been revoked.\n")
    assert ApiClient(app.test_client(), key).get().status_code == 401
    assert run(app, "keys", "list").stdout.splitlines()[1].endswith("revoked")


def test_keys_revoke_names_a_key_that_is_not_there(app: Flask) -> None:
    done = run(app, "keys", "revoke", "4711")

    assert (done.exit_code, done.stderr) == (1, "Error: there is no key 4711\n")


def test_users_create_makes_an_owner_first_and_members_then(app: Flask) -> None:
    first = run(app, "users", "create", "Ann@Example.org", "--org", "acme", stdin=twice())
    second = run(
        app, "users", "create", "bob@example.org", "--org", "acme", "--password-stdin",
        stdin=GOOD_PASSWORD + "\n",
    )  # fmt: skip

    assert first.stdout.splitlines()[-1] == "ann@example.org is owner of acme."
    assert second.stdout == "bob@example.org is member of acme.\n"
    user = db.session.scalars(select(User).where(User.email == "ann@example.org")).one()
    assert passwords.verify_password(user.password_hash, GOOD_PASSWORD)
    assert GOOD_PASSWORD not in first.output


def twice() -> str:
    """Return what someone types who is asked for a password, and for it again."""
    return f"{GOOD_PASSWORD}\n{GOOD_PASSWORD}\n"


def test_users_create_for_a_user_gives_another_password_and_ends_the_sessions(app: Flask) -> None:
    now = utcnow()
    run(app, "users", "create", "ann@example.org", "--org", "acme", stdin=twice())
    user = users.ensure_user("ann@example.org", now=now)
    token = sessions.start(user, idle=timedelta(hours=1), now=now)
    db.session.commit()

    done = give_password(app, "ann@example.org")

    assert done.stdout == "ann@example.org is owner of acme.\n"
    db.session.expire_all()
    assert passwords.verify_password(user.password_hash, "another good one")
    assert sessions.find(token, "", idle=timedelta(hours=1), now=now) is None
    assert db.session.scalars(select(Membership.role)).all() == ["owner"]
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id))
    assert [(one.actor_name, one.verb, one.detail) for one in entries] == [
        ("server", "organization.create", "acme"),
        ("server", "member.add", "owner"),
        ("server", "user.change-password", ""),
        ("server", "user.change-password", ""),
    ]


def give_password(app: Flask, email: str, *arguments: str) -> Result:
    """Run the command that gives a user of acme another password."""
    return run(
        app, "users", "create", email, "--org", "acme", "--password-stdin", *arguments,
        stdin="another good one\n",
    )  # fmt: skip


def test_users_create_changes_a_role_only_when_asked_to(app: Flask) -> None:
    run(app, "users", "create", "ann@example.org", "--org", "acme", stdin=twice())
    give_password(app, "bob@example.org", "--role", "owner")

    kept = give_password(app, "bob@example.org")
    changed = give_password(app, "bob@example.org", "--role", "viewer")
    kept_again = give_password(app, "bob@example.org")

    assert [one.stdout for one in (kept, changed, kept_again)] == [
        "bob@example.org is owner of acme.\n",
        "bob@example.org is viewer of acme.\n",
        "bob@example.org is viewer of acme.\n",
    ]


def test_users_create_leaves_the_last_owner_and_their_password_as_they_are(app: Flask) -> None:
    run(app, "users", "create", "ann@example.org", "--org", "acme", stdin=twice())

    done = give_password(app, "ann@example.org", "--role", "member")

    user = db.session.scalars(select(User)).one()
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: An organization needs an owner. Make someone else an owner first.\n",
    )
    assert db.session.scalars(select(Membership.role)).all() == ["owner"]
    assert passwords.verify_password(user.password_hash, GOOD_PASSWORD)


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("nobody", GOOD_PASSWORD, "Error: nobody: An email address must have an @-sign.\n"),
        ("ann@example.org", "short", "Error: Use at least 10 characters.\n"),
    ],
)
def test_users_create_refuses_bad_input_in_one_line(
    app: Flask, email: str, password: str, message: str
) -> None:
    done = run(
        app, "users", "create", email, "--org", "acme", "--password-stdin", stdin=password + "\n"
    )

    assert (done.exit_code, done.stderr) == (1, message)
    assert db.session.scalars(select(User)).all() == []


def test_seed_makes_tasks_in_every_status_with_history_and_tags(app: Flask) -> None:
    done = run(app, "seed")

    assert done.stdout == "14 tasks added to demo/demo.\n"
    assert set(db.session.scalars(select(Task.status))) == set(STATUSES)
    assert count(TaskTag) > 10
    kinds = db.session.execute(
        select(TaskEvent.type, func.count()).group_by(TaskEvent.type).order_by(TaskEvent.type)
    ).all()
    assert [kind for kind, _ in kinds] == ["created", "progress", "status"]
    assert count(Task, Task.parent.is_not(None)) == 2
    assert db.session.scalar(select(func.max(Task.updated))) <= utcnow()


def test_seed_adds_as_many_plain_tasks_as_asked_for(app: Flask) -> None:
    done = run(app, "seed", "acme/web", "--tasks", "6000")

    assert done.stdout == "6000 tasks added to acme/web.\n"
    assert (count(Task), count(TaskTag), count(TaskEvent)) == (6000, 6000, 6000)


def count(model: type[Task] | type[TaskTag] | type[TaskEvent], *where: object) -> int:
    query = select(func.count()).select_from(model)
    return db.session.scalar(query.where(*where)) or 0  # type: ignore[arg-type]


def test_seed_without_a_project_says_so(app: Flask) -> None:
    done = run(app, "seed", "acme")

    assert done.exit_code == 2
    assert done.stderr.endswith("Error: seed needs ORG/PROJECT\n")


def test_openapi_write_needs_no_settings_and_touches_no_database(tmp_path: Path) -> None:
    done = run_server("openapi", "write", "document.json", home=tmp_path, TASKBADGER_SECRET_KEY="")

    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["document.json"]
    document = json.loads((tmp_path / "document.json").read_text())
    assert document["info"]["title"] == "Taskbadger API"


def test_openapi_write_writes_what_the_server_answers(app: Flask, tmp_path: Path) -> None:
    run(app, "openapi", "write", str(tmp_path / "document.json"))

    written = json.loads((tmp_path / "document.json").read_text())
    assert written == app.test_client().get("/api/schema.json").json


def test_commands_say_how_to_make_missing_tables(tmp_path: Path) -> None:
    done = run_server("keys", "list", home=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "Error: the database has no tables yet. Run: taskbadger-server db upgrade\n",
    )


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    done = run_server(
        "keys", "list", home=tmp_path, TASKBADGER_DATABASE_URL="postgresql://127.0.0.1:1/none"
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Error: database error: connection failed: ")
    assert done.stderr.count("\n") == 1


def test_only_celery_has_a_beat(tmp_path: Path) -> None:
    run_server("db", "upgrade", home=tmp_path)

    done = run_server("worker", "--no-beat", home=tmp_path)

    assert (done.returncode, done.stderr) == (
        1,
        "Error: --no-beat needs TASKBADGER_BROKER_URL: only Celery has a beat\n",
    )


@pytest.mark.parametrize("has_beat", [True, False])
def test_a_broker_means_celery_with_a_beat_unless_it_runs_elsewhere(has_beat: bool) -> None:
    found = serving.background(settings(BROKER_URL="redis://127.0.0.1:1/0"), has_beat=has_beat)

    assert [process.name for process in found] == ["celery worker", "celery beat"][: 1 + has_beat]


def test_lists_are_tables_or_json(app: Flask) -> None:
    make_project("acme", "web")
    make_project("acme", "night")
    make_project("other", "main")
    make_key()
    make_member()
    commands = (
        ("organizations", "list"),
        ("projects", "list", "--org", "acme"),
        ("users", "list"),
        ("keys", "list"),
    )

    tables = [run(app, *command).output.splitlines() for command in commands]
    objects = [
        [json.loads(line) for line in run(app, *command, "--json").output.splitlines()]
        for command in commands
    ]

    found, of_acme, people, opened = objects
    assert [(each["slug"], each["projects"]) for each in found] == [
        ("acme", ["night", "web"]),
        ("other", ["main"]),
    ]
    assert [each["project"] for each in of_acme] == ["acme/night", "acme/web"]
    retentions = ["retention_days"]
    retentions += [f"retention_days_{each}" for each in ("success", "failure", "unfinished")]
    assert [*of_acme[0]] == ["project", "name", *retentions, "created"]
    assert [(each["email"], each["state"], each["roles"]) for each in people] == [
        ("ada@example.org", "active", ["acme: owner"])
    ]
    assert [(each["opens"], each["last_used"]) for each in opened] == [("acme/web", None)]
    assert [len(table) for table in tables] == [3, 3, 2, 2]
    assert tables[0][1].split()[:4] == ["acme", "acme", "night,", "web"]
    assert tables[2][0].split() == ["EMAIL", "STATE", "ROLES", "CREATED"]


def test_a_name_cannot_control_the_terminal(app: Flask) -> None:
    make_project()

    renamed = run(app, "organizations", "rename", "acme", "A\x1b[2J")
    shown = run(app, "organizations", "list").output

    assert renamed.exit_code == 0
    assert "\x1b" not in shown
    assert r"'A\x1b[2J'" in shown


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing", "Name"), "Error: there is no organization nothing\n"),
        (("acme", " "), "Error: A name has 1 to 255 characters.\n"),
        (("acme", "x" * 256), "Error: A name has 1 to 255 characters.\n"),
    ],
)
def test_only_organizations_are_renamed_and_only_to_names(
    app: Flask, arguments: tuple[str, str], error: str
) -> None:
    make_project()

    done = run(app, "organizations", "rename", *arguments)

    assert (done.exit_code, done.output) == (1, error)
    assert db.session.scalars(select(Organization.name)).all() == ["acme"]


def test_renaming_is_audited(app: Flask) -> None:
    make_project()

    done = run(app, "organizations", "rename", "acme", "Acme GmbH")

    assert done.output == "acme is called Acme GmbH.\n"
    [entry] = db.session.scalars(audit_entries())
    assert (entry.actor_type, entry.verb) == ("server", "organization.rename")


@pytest.mark.parametrize("secret", ["", SECRET_KEY])
def test_help_lists_all_commands_with_and_without_settings(tmp_path: Path, secret: str) -> None:
    done = run_server("--help", home=tmp_path, TASKBADGER_SECRET_KEY=secret)

    assert (done.returncode, done.stderr) == (0, "")
    assert listed(done) == [
        *("apply", "backup", "db", "doctor", "keys", "openapi", "organizations"),
        *("projects", "restore", "routes", "run", "seed", "serve", "shell", "users", "worker"),
    ]
    assert list(tmp_path.iterdir()) == []


def listed(done: CompletedProcess[str]) -> list[str]:
    """Return the commands in a text of help."""
    lines = done.stdout.partition("Commands:\n")[2].splitlines()
    return [line.split()[0] for line in lines if line[2:3].strip()]


COMMAND = '''
import click

@click.command()
def hello():
    """Greet."""

def register(app, api):
    app.cli.add_command(hello)
'''


def test_help_knows_the_commands_of_plugins_without_settings(tmp_path: Path) -> None:
    install_plugin(tmp_path, "hello", COMMAND)
    missing = {"TASKBADGER_SECRET_KEY": "", "PYTHONPATH": str(tmp_path)}

    whole = run_server("--help", home=tmp_path, **missing)
    own = run_server("hello", "--help", home=tmp_path, **missing)
    run = run_server("hello", home=tmp_path, **missing)
    unwanted = run_server("--help", home=tmp_path, PYTHONPATH=str(tmp_path), TASKBADGER_PLUGINS="0")

    assert "hello" in listed(whole)
    assert (own.returncode, own.stderr) == (0, "")
    assert "Greet." in own.stdout
    assert (run.returncode, run.stderr) == (
        1,
        "Error: TASKBADGER_SECRET_KEY must have at least 32 characters\n",
    )
    assert "hello" not in listed(unwanted)


def test_help_works_beside_a_broken_plugin_and_names_it(tmp_path: Path) -> None:
    install_plugin(tmp_path, "broken", "raise RuntimeError('no luck')")

    done = run_server("--help", home=tmp_path, PYTHONPATH=str(tmp_path))

    assert (done.returncode, done.stderr) == (
        0,
        "Error: no luck (raised by the Task Badger plug-in “broken”)\n",
    )
    assert "serve" in listed(done)


def test_a_misspelt_command_is_named_without_settings(tmp_path: Path) -> None:
    done = run_server("nonsense", home=tmp_path, TASKBADGER_SECRET_KEY="")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: No such command 'nonsense'."


def test_all_commands_are_flasks_too(tmp_path: Path) -> None:
    upgraded = run_flask("db", "upgrade", home=tmp_path)
    made = run_flask("keys", "create", "acme/web", home=tmp_path)
    listed = run_flask("keys", "list", home=tmp_path)

    assert (upgraded.returncode, made.returncode) == (0, 0)
    assert len(listed.stdout.splitlines()) == 2


def test_flask_run_refuses_debug_mode_for_others_than_this_machine(tmp_path: Path) -> None:
    done = run_flask("run", "--debug", "--no-reload", "--host", "0.0.0.0", home=tmp_path)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        4,
        "Error: debug mode (FLASK_DEBUG) is only allowed for `flask run` on a loopback address",
    )


def run_flask(*arguments: str, home: Path) -> CompletedProcess[str]:
    return run_server(*arguments, home=home, module=("flask", "--app", "wsgi"))


def test_bash_completes_commands(tmp_path: Path) -> None:
    """As docs/operating.md#commands has it; without settings."""
    program = """
        eval "$(_TASKBADGER_SERVER_COMPLETE=bash_source taskbadger-server)"
        COMP_WORDS=(taskbadger-server projects "")
        COMP_CWORD=2
        _taskbadger_server_completion taskbadger-server
        echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = environment(PATH=path, TASKBADGER_SECRET_KEY="")

    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=variables, capture_output=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"delete list\n", b"")
