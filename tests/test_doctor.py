"""``doctor``: says what is wrong and what to do, and changes nothing."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import flask_migrate
from clusters import programs
from conftest import SECRET_KEY, settings
from flask import Flask
from processes import run_server, serve, wait_until
from receivers import SmtpReceiver
from sqlalchemy import text

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.process import process_of
from taskbadger.services import outage

Found = dict[str, list[tuple[str, str]]]


def examine(home: Path, **variables: str) -> tuple[int, Found]:
    """Run it; return its exit status, and the state and the words of each finding, by part."""
    variables = {
        "TASKBADGER_SECRET_KEY": SECRET_KEY,
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",
        **variables,
    }
    done: CompletedProcess[str] = run_server("doctor", "--json", home=home, **variables)
    assert "Traceback" not in done.stderr
    found: Found = {}
    for line in done.stdout.splitlines():
        finding: dict[str, Any] = json.loads(line)
        assert finding["advice"] or finding["state"] == "fine", finding
        found.setdefault(finding["part"], []).append((finding["state"], finding["said"]))
    return done.returncode, found


def test_a_healthy_server_is_fine(app: Flask, tmp_path: Path) -> None:
    url = process_of(app).settings.DATABASE_URL
    with SmtpReceiver() as mail, serve(tmp_path / "s", TASKBADGER_DATABASE_URL=url) as server:
        variables = {
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_SMTP_URL": mail.url,
            "TASKBADGER_BASE_URL": server.address,
        }
        wait_until(lambda: "worker" in examine(tmp_path, **variables)[1], "a worker")
        status, found = examine(tmp_path, **variables)

    if db.engine.dialect.name == "postgresql":
        # Whether it cleans up is not ours to decide here.
        found["database"] = [each for each in found["database"] if "autovacuum" not in each[1]]
        status = 0
    states = {part: {state for state, _ in each} for part, each in found.items()}
    assert states == {part: {"fine"} for part in states}, found
    assert status == 0
    assert {"settings", "files", "database", "tables", "worker", "mail", "address"} <= set(found)


def test_settings_that_are_wrong_are_an_error(tmp_path: Path) -> None:
    status, found = examine(tmp_path, TASKBADGER_SECRET_KEY="short", TASKBADGER_FOO="1")

    assert status == 2
    [(state, said), unknown] = found["settings"]
    assert (state, "TASKBADGER_SECRET_KEY" in said) == ("error", True)
    assert unknown == ("warning", "TASKBADGER_FOO is no setting")


def test_where_everything_is_broken_each_part_is_reported(tmp_path: Path) -> None:
    status, found = examine(
        tmp_path,
        TASKBADGER_DATABASE_URL="postgresql://127.0.0.1:1/none",
        TASKBADGER_SMTP_URL="smtp://127.0.0.1:1",
        TASKBADGER_BROKER_URL="redis://127.0.0.1:1",
        TASKBADGER_BASE_URL="http://127.0.0.1:1",
    )

    assert status == 2
    states = {part: [state for state, _ in each] for part, each in found.items()}
    assert states == {
        "settings": ["fine"],
        "files": ["fine"],
        "database": ["error"],
        "mail": ["error"],
        "broker": ["error"],
        "address": ["warning"],
    }


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    status, found = examine(tmp_path)

    assert status == 2
    path = tmp_path / "instance" / "taskbadger.db"
    assert found["database"] == [("error", f"there is no file {path}")]
    assert not path.exists()


def test_tables_that_are_missing_old_or_newer_are_an_error(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    app = create_app(settings(DATABASE_URL=url))

    def look() -> tuple[str, str]:
        db.session.remove()
        db.engine.dispose()
        [found] = examine(tmp_path, TASKBADGER_DATABASE_URL=url)[1]["tables"]
        return found

    def set_version(version: str) -> None:
        db.session.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
        db.session.commit()

    with app.app_context():
        with db.engine.connect():
            pass
        none = look()
        flask_migrate.upgrade()
        whole = look()
        set_version("0001")
        old = look()
        set_version("9999")
        newer = look()
        db.engine.dispose()

    assert (none[0], whole[0], old[0], newer[0]) == ("error", "fine", "error", "error")
    assert "none yet" in none[1]
    assert "they have version 0001" in old[1]
    assert "has version 9999" in newer[1]


def test_a_worker_that_is_silent_is_a_warning(app: Flask, tmp_path: Path) -> None:
    outage.tick(now=utcnow() - timedelta(seconds=90))
    db.session.commit()

    _, found = examine(tmp_path, TASKBADGER_DATABASE_URL=process_of(app).settings.DATABASE_URL)

    [(state, said)] = found["worker"]
    assert state == "warning"
    assert said.startswith("no background worker has run since 20")


def test_secrets_that_others_may_read_are_a_warning(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET_KEY)
    secret.chmod(0o644)
    done = run_server("doctor", home=tmp_path, TASKBADGER_SECRET_KEY_FILE=str(secret))
    assert "not both" in done.stdout  # The tests' environment has a key, too.

    _, found = examine(tmp_path, TASKBADGER_SMTP_URL_FILE=str(secret))
    assert found["settings"][0][0] == "error"  # It is no URL.
    secret.write_text("smtp://127.0.0.1:1")
    _, found = examine(tmp_path, TASKBADGER_SMTP_URL_FILE=str(secret))
    [(state, said)] = found["files"]

    assert (state, said) == (
        "warning",
        f"{secret} has mode 0644, so others than its owner may use it",
    )


def test_an_address_that_leads_elsewhere_is_an_error(tmp_path: Path) -> None:
    with serve(tmp_path / "other") as server:
        right = examine(tmp_path, TASKBADGER_BASE_URL=server.address)[1]["address"]
        wrong = examine(tmp_path, TASKBADGER_BASE_URL=f"{server.address}/elsewhere")[1]["address"]

    assert right == [("fine", f"{server.address} leads to a server of this kind")]
    assert [state for state, _ in wrong] == ["error"]


def test_people_get_lines_with_advice(tmp_path: Path) -> None:
    done = run_server("doctor", home=tmp_path)

    assert done.returncode == 2
    assert done.stdout.startswith("fine     settings: all are valid\n")
    assert "         → Run: taskbadger-server db upgrade, or start serve\n" in done.stdout


def test_help_says_what_the_exit_status_means(tmp_path: Path) -> None:
    done = run_server("doctor", "--help", home=tmp_path)

    assert "1 if there are warnings, and 2 if there" in done.stdout
