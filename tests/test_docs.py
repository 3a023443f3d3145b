"""The documents: every setting, command, target and link in them is there, and none is missing."""

import dataclasses
import re
from pathlib import Path

import click
import pytest
from conftest import ROOT

from taskbadger.cli import COMMANDS, cli
from taskbadger.settings import SDK_VARIABLES, Settings

README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


def as_written(field: dataclasses.Field[object]) -> str:
    """Return a default as the table of settings shows it."""
    if field.default is dataclasses.MISSING:
        return "*required*"
    if field.default in ("", ()):
        return "*empty*"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


def test_readme_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `TASKBADGER_([A-Z_]+)` \| (.+?) \| .+ \|$", README, re.MULTILINE)

    assert rows == [
        (field.name, as_written(field))
        for field in dataclasses.fields(Settings)
        if field.name not in Settings.NOT_FROM_ENVIRONMENT
    ]


def test_every_setting_named_in_the_documents_is_one() -> None:
    known = {field.name for field in dataclasses.fields(Settings)}
    known |= SDK_VARIABLES | {"TEST_POSTGRESQL"}

    named = {
        name.removesuffix("_FILE")
        for document in DOCUMENTS
        for name in re.findall(r"\bTASKBADGER_([A-Z][A-Z_]*[A-Z])\b", document.read_text())
    }

    assert named - known == set()


def test_every_make_target_named_in_the_documents_is_one() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:`|^)make ([a-z]+)", document.read_text(), re.MULTILINE)
    }

    assert named - targets == set()
    assert {"serve", "test", "check", "format"} <= named


def our_commands() -> set[str]:
    """Return our commands, those of groups as ``keys create``, and what we use of Flask-Migrate."""
    found = {"db upgrade", "db revision"}
    for command in COMMANDS:
        assert command.name
        if isinstance(command, click.Group):
            found |= {f"{command.name} {sub}" for sub in command.commands}
        else:
            found.add(command.name)
    return found


def test_every_command_named_in_the_documents_is_one() -> None:
    command = re.compile(r"taskbadger-server ((?:keys|users|openapi|db) [a-z]+|[a-z]+)")

    named = {found for document in DOCUMENTS for found in command.findall(document.read_text())}

    assert named - our_commands() == set()


def test_readme_has_every_command() -> None:
    rows = re.findall(r"^\| `taskbadger-server ([a-z]+(?: [a-z]+)?)", README, re.MULTILINE)

    assert {*rows, "db revision"} == our_commands()


def test_every_option_of_serve_is_in_the_readme() -> None:
    serve = cli.commands["serve"]

    options = {option for parameter in serve.params for option in parameter.opts}

    assert {option for option in options if option not in README} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_module_that_the_documents_name_exists() -> None:
    named = {
        path
        for document in DOCUMENTS
        for path in re.findall(r"`(taskbadger/[a-z_/]+(?:\.py)?)`", document.read_text())
    }

    assert sorted(path for path in named if not (ROOT / path).exists()) == []
