"""Every command that the documents give for a bad night, run as it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from clusters import programs
from conftest import SECRET_KEY, make_key, make_project
from flask import Flask
from people import make_member
from processes import run_server

from taskbadger.extensions import db, writing
from taskbadger.models import ApiKey
from taskbadger.process import process_of
from taskbadger.services.organizations.keys import list_keys

TEXT = (Path(__file__).parent.parent / "docs/operating.md").read_text()
SECTION = TEXT.partition("## Bad nights\n")[2].partition("\n## ")[0]
COMMANDS = list(dict.fromkeys(re.findall(r"`taskbadger-server ([^`]+)`", SECTION)))
NIGHTS = re.findall(r"^\| (?!night|---)(.+?) \|", SECTION, re.M)


@pytest.fixture
def url(app: Flask) -> str:
    """The address of a database of a night, with a key and an owner."""
    with writing():
        make_project()
        make_key()
        make_member("ann@example.com", "owner")
        db.session.commit()
    return process_of(app).settings.DATABASE_URL


def night(home: Path, url: str, command: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "TASKBADGER_SECRET_KEY": SECRET_KEY,
        "TASKBADGER_DATABASE_URL": url,
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",
    }
    return run_server(*command.split(), home=home, stdin="a-new-password-17\n", **variables)


def test_there_are_ten_nights() -> None:
    assert len(NIGHTS) == 10


# What the commands do does not depend on the database; test_backups.py tries those that do.
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
def test_every_command_works(url: str, tmp_path: Path) -> None:
    assert COMMANDS == [
        "doctor",
        "backup --verify nightly.bak",
        "restore nightly.bak",
        "worker",
        "keys list",
        "keys revoke KEY_ID",
        "users unlock ann@example.com",
        "users create bob@example.com --org acme --role owner",
    ]
    with writing():
        [key] = list_keys()
        key_id = key.id
    elsewhere = f"sqlite:///{tmp_path}/new/taskbadger.db"
    assert night(tmp_path, url, "backup nightly.bak").returncode == 0

    for command in COMMANDS:
        if command == "worker":
            continue  # It goes on until it is stopped: tests/worker/test_embedded.py.
        target = elsewhere if command.startswith("restore") else url
        text = command.replace("KEY_ID", str(key_id))
        if command.startswith("users create"):
            text += " --password-stdin"
        done = night(tmp_path, target, text)
        expected = (0, 1) if command == "doctor" else (0,)
        assert done.returncode in expected, f"{command}: {done.stdout}{done.stderr}"

    with writing():
        assert db.session.get_one(ApiKey, key_id).revoked is not None
