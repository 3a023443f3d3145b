"""The documents: whatever they name exists, and every reference leads somewhere.

References are links in the documents, and documents, sections (``docs/contract.md#errors``) and
modules named in the code.
"""

import dataclasses
import json
import re
from collections import defaultdict
from configparser import ConfigParser
from http import HTTPStatus
from pathlib import Path

import click
import pytest
from conftest import ROOT

from taskbadger.cli import COMMANDS, cli
from taskbadger.refusals import refusal
from taskbadger.settings import SDK_VARIABLES, Settings

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
OPERATING = (ROOT / "docs/operating.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS += sorted((ROOT / "bench").rglob("*.md"))
CODE = [
    path
    for folder in ("taskbadger", "tests", "bench", "tools", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in ("", ".py", ".html", ".js", ".css", ".sh", ".txt") and path.is_file()
    if not {"vendor", "__pycache__", Path(__file__).name} & set(path.parts)
]
CODE += [ROOT / name for name in ("Dockerfile", "Makefile", "setup.cfg", "wsgi.py")]

DOCUMENT = re.compile(
    r"(?<![\w/.-])((?:docs|bench/results)/[\w-]+\.md"
    r"|(?:README|CONTRIBUTING|CHANGELOG|SECURITY)\.md)(?:#([\w-]*))?"
)
MODULE = re.compile(r"`([a-z_]+(?:/[a-z_0-9]+)*\.py)`")
BY_NUMBER = re.compile(r"(?<!RFC \d{4} )\b[Ss]ection \d")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def as_written(field: dataclasses.Field[object]) -> str:
    """Return a default as the table of settings shows it."""
    if field.default is dataclasses.MISSING:
        return "*required*"
    if field.default in ("", ()):
        return "*empty*"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


def test_operating_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `TASKBADGER_([A-Z_]+)` \| (.+?) \| .+ \|$", OPERATING, re.MULTILINE)

    assert rows == [
        (field.name, as_written(field))
        for field in dataclasses.fields(Settings)
        if field.name not in Settings.NOT_FROM_ENVIRONMENT
    ]


def test_every_setting_named_in_the_documents_is_one() -> None:
    known = {field.name for field in dataclasses.fields(Settings)}
    known |= SDK_VARIABLES | {"TEST_POSTGRESQL"}
    known.add("PING_KEY")  # Of the script of /tb.

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
    found = {"db upgrade", "db downgrade", "db revision", "db copy"}
    for command in COMMANDS:
        assert command.name
        if isinstance(command, click.Group):
            found |= {f"{command.name} {sub}" for sub in command.commands}
        else:
            found.add(command.name)
    return found


def test_every_command_named_in_the_documents_is_one() -> None:
    command = re.compile(
        r"taskbadger-server ((?:keys|users|organizations|projects|openapi|db) [a-z]+|[a-z]+)"
    )

    named = {found for document in DOCUMENTS for found in command.findall(document.read_text())}

    assert named - our_commands() == set()


def test_operating_has_every_command() -> None:
    rows = re.findall(r"^\| `taskbadger-server ([a-z]+(?: [a-z]+)?)", OPERATING, re.MULTILINE)

    assert {*rows, "db revision"} == our_commands()


def test_every_option_of_serve_is_in_operating() -> None:
    serve = cli.commands["serve"]

    options = {option for parameter in serve.params for option in parameter.opts}

    assert {option for option in options if option not in OPERATING} == set()


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(document: Path, anchor: str) -> bool:
    """Say whether *document* exists and has the section; without an anchor, any will do."""
    return document.is_file() and (not anchor or anchor in anchors(document))


def dead_references(text: str) -> list[str]:
    """Return the references of a source file that lead nowhere."""
    dead = [
        f"{name}#{anchor}" if anchor else name
        for name, anchor in DOCUMENT.findall(text)
        if not leads_somewhere(ROOT / name, anchor)
    ]
    dead += [
        name
        for name in MODULE.findall(text)
        if not any((start / name).exists() for start in (ROOT, ROOT / "taskbadger"))
    ]
    return dead + BY_NUMBER.findall(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", document.read_text())

    assert [
        (link, anchor)
        for link, anchor in links
        if not leads_somewhere(document.parent / link if link else document, anchor)
    ] == []


def test_every_reference_in_the_code_leads_somewhere() -> None:
    dead = {str(path.relative_to(ROOT)): dead_references(path.read_text()) for path in CODE}

    assert {path: found for path, found in dead.items() if found} == {}


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("# The rules: docs/contract.md#errors.", []),
        ("# The rules: docs/contract.md#mistakes.", ["docs/contract.md#mistakes"]),
        ("# The rules: docs/contracts.md.", ["docs/contracts.md"]),
        ("# See CONTRIBUTING.md and docs/secrets.md.", ["docs/secrets.md"]),
        ("``domain/slots.py`` and ``tests/test_docs.py``", []),
        ("``domain/slot.py`` has the rules.", ["domain/slot.py"]),
        ("by the contract, section 3", ["section 3"]),
        ("by RFC 9112 section 7.1", []),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(text: str, dead: list[str]) -> None:
    assert dead_references(text) == dead


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        document = ahead.pop()
        reached.add(document)
        links = re.findall(r"\]\((?!https?://)([^)#]+\.md)", document.read_text())
        ahead += {(document.parent / link).resolve() for link in links} - reached

    assert set(DOCUMENTS) - reached == set()


def test_every_module_that_the_documents_name_exists() -> None:
    named = {
        path
        for document in DOCUMENTS
        for path in re.findall(r"`(taskbadger/[a-z_/]+(?:\.py)?)`", document.read_text())
    }

    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def modules_in_the_tree() -> dict[str, set[str]]:
    """Return the modules in the tree of the architecture, by folder.

    They stand to the left of a description, or to the right of their folder; remarks are in
    brackets.
    """
    tree = re.search(r"^```\n(taskbadger/.*?)^```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert tree
    found: dict[str, set[str]] = defaultdict(set)
    parents: list[str] = []
    for line in re.sub(r"\n {20,}| \([^)]*\)", " ", tree[1]).splitlines():
        left, _, right = line.strip().partition("  ")
        del parents[(len(line) - len(line.lstrip())) // 2 :]
        if left.endswith("/"):
            parents.append(left.rstrip("/"))
        names = right if left.endswith("/") else left
        found["/".join(parents)] |= set(re.findall(r"\b[a-z_]+\b(?!/)", names))
    return found


@pytest.mark.parametrize("folder", ["taskbadger", "domain", "services", "services/*"])
def test_architecture_names_every_module(folder: str) -> None:
    paths = (ROOT / "taskbadger").glob(f"{folder}/*.py".removeprefix("taskbadger/"))
    modules: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        if path.stem != "__init__":
            modules[str(path.parent.relative_to(ROOT))].add(path.stem)
    tree = modules_in_the_tree()

    assert modules
    assert {name: tree[name] for name in modules} == modules


@pytest.mark.parametrize(
    ("contract", "heading"),
    [("layers", "| layer | contains | may use |"), ("services", "| package | why there |")],
)
def test_architecture_has_the_layers_that_are_checked(contract: str, heading: str) -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config[f"importlinter:contract:{contract}"]["layers"].split("\n")
    checked = [set(re.findall(r"(\w+)(?: \||$)", line)) for line in lines if line]
    table = ARCHITECTURE.partition(heading)[2].partition("\n\n")[0]

    rows = [row.split("|")[1] for row in table.splitlines()[2:]]

    assert [set(re.findall(r"`(\w+)(?:/|\.py)?`", row)) for row in rows] == checked


@pytest.mark.parametrize("status", [408, 414, 417, 431, 501])
def test_contract_has_the_errors_of_the_web_server(status: int) -> None:
    body = json.loads(refusal(HTTPStatus(status)).partition(b"\r\n\r\n")[2])
    error = body["errors"][0]

    row = f"| {status} | {body['type']} | `{error['code']}` | `{error['detail']}` | under `serve`"

    assert row in (ROOT / "docs/contract.md").read_text()
