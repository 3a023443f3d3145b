"""A client generated from our OpenAPI document, beside the one inside the official SDK."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from acceptance.live import LiveProject, LiveServer, with_times
from acceptance.sdks import LATEST, SCRIPTS, Sdk, clean_environment

PACKAGE = "generated_client"
CONFIG = f"post_hooks: []\npackage_name_override: {PACKAGE}\n"
Parts = dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="module")
def generated(live_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package generated from the document that the live server serves."""
    home = tmp_path_factory.mktemp("generated")
    answer = httpx2.get(f"{live_server.host}/api/schema.json", timeout=30, trust_env=False)
    (home / "schema.json").write_text(json.dumps(answer.json()))
    (home / "config.yaml").write_text(CONFIG)
    options = ["--path", "schema.json", "--config", "config.yaml", "--output-path", PACKAGE]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", *options],
        cwd=home,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "warning" not in done.stdout.lower(), done.stdout
    return home / PACKAGE


@pytest.fixture(scope="module")
def swapped(
    generated: Path, sdk: Callable[[str], Sdk], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a copy of the SDK whose own client is the generated one."""
    home = tmp_path_factory.mktemp("swapped")
    package = home / "taskbadger"
    shutil.copytree(
        sdk(LATEST).package, package, ignore=shutil.ignore_patterns("internal", "__pycache__")
    )
    shutil.copytree(generated, package / "internal")
    return home


def parsed(package: Path, folder: str) -> list[tuple[str, ast.stmt]]:
    """Return the statements of the modules below a folder of a client, with their modules."""
    found = []
    for path in sorted((package / folder).rglob("*.py")):
        if path.name != "__init__.py":
            module = path.relative_to(package).as_posix()
            found += [(module, node) for node in ast.parse(path.read_text()).body]
    return found


def functions(package: Path) -> Parts:
    """Return each function of the endpoints, with its parameters and what it returns."""
    return {
        f"{module}: {node.name}": parameters(node)
        for module, node in parsed(package, "api")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str]]:
    given = node.args
    assert not given.defaults
    found = [(each.arg, text(each.annotation)) for each in given.args]
    for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append((f"*, {each.arg}", f"{text(each.annotation)} = {text(default)}"))
    return [*found, ("->", text(node.returns))]


def models(package: Path) -> Parts:
    """Return each model, with its attributes in order, or its values."""
    found: Parts = {}
    for module, node in parsed(package, "models"):
        if not isinstance(node, ast.ClassDef):
            continue
        attributes = found[f"{module}: {node.name}"] = []
        for line in node.body:
            if isinstance(line, ast.AnnAssign):
                attributes.append(
                    (text(line.target), f"{text(line.annotation)} {text(line.value)}")
                )
            elif isinstance(line, ast.Assign):
                attributes.append((text(line.targets[0]), text(line.value)))
    return found


def text(node: ast.AST | None) -> str:
    return ast.unparse(node) if node else ""


def shared(ours: Parts, theirs: Parts) -> Parts:
    """Return of *ours* only what *theirs* has too."""
    return {
        name: [part for part in ours.get(name, []) if part[0] in dict(parts)]
        for name, parts in theirs.items()
    }


def test_generated_functions_take_what_those_of_the_sdk_take(
    generated: Path, sdk: Callable[[str], Sdk]
) -> None:
    theirs = functions(sdk(LATEST).package / "internal")

    ours = functions(generated)

    assert len(theirs) > 70
    assert shared(ours, theirs) == theirs


def test_parameters_of_our_own_may_be_left_out(generated: Path, sdk: Callable[[str], Sdk]) -> None:
    theirs = functions(sdk(LATEST).package / "internal")

    ours = functions(generated)

    more = {
        part for name, parts in theirs.items() for part in ours[name] if part[0] not in dict(parts)
    }
    assert {(name[:3], kind.rpartition(" = ")[2]) for name, kind in more} == {("*, ", "UNSET")}


def test_generated_models_have_the_attributes_of_those_of_the_sdk(
    generated: Path, sdk: Callable[[str], Sdk]
) -> None:
    theirs = models(sdk(LATEST).package / "internal")

    ours = models(generated)

    assert len(theirs) == 11
    assert {name: ours[name] for name in theirs} == theirs


def test_generated_client_drives_the_server(
    generated: Path, run_sdk: Callable[..., Any], live: LiveProject
) -> None:
    slugs = {"LIVE_ORG": live.organization, "LIVE_SLUG": live.slug}

    seen = run_sdk("generated.py", str(generated.parent), **slugs)

    task, child = live.tasks()
    assert seen["created again"] == seen["got"] == seen["created"]
    first = {"name": "generated", "status": "pending", "value": 1, "tags": {"env": "prod"}}
    assert {name: seen["created"][name] for name in first} == first
    tags = {"env": "prod", "team": "ops"}
    second = {"name": "generated", "status": "processing", "value": 50, "tags": tags}
    assert {name: seen["patched"][name] for name in second} == second
    assert with_times(seen["put"]) == with_times(task)
    third = {"name": "renamed", "status": "success", "value": 50, "tags": {"env": "prod"}}
    assert {name: task[name] for name in third} == third
    actions = live.read(f"/tasks/{task['id']}/actions/")
    assert [with_times(action) for action in seen["actions"]] == [
        with_times(action) for action in actions
    ]
    assert [action["status"] for action in actions] == ["cancelled"]
    assert [seen[name]["trigger"] for name in ("action", "action patched", "action put")] == [
        "error",
        "success",
        "error",
    ]
    assert (seen["action cancelled"], seen["cancelled"], child["status"]) == (204, 204, "cancelled")
    assert seen["page"] == [[child["id"]], True, None]
    assert seen["filtered"] == [task["id"]]
    assert seen["children"] == [child["id"]]
    assert seen["events"] == [
        ["created", "pending", 1],
        ["status", "processing", 50],
        ["status", "success", 50],
    ]
    not_found = {"code": "not_found", "detail": "Not found.", "attr": None}
    assert seen["unknown"] == [404, {"type": "client_error", "errors": [not_found]}]


def test_sdk_works_with_the_generated_client_inside(
    swapped: Path, run_sdk: Callable[..., Any], live: LiveProject
) -> None:
    basics = run_sdk("swapped.py", str(swapped), str(SCRIPTS / "basics.py"))
    seen = run_sdk("swapped.py", str(swapped), str(SCRIPTS / "tasks.py"), "fields")

    held = live.tasks()
    assert [task["name"] for task in held] == [
        "renamed",
        "in a session",
        "cancelled in a session",
        "__main__.double",
        "explodes",
        "parent",
        "child",
        "late child",
    ]
    last = [basics["success"], basics["error"], basics["canceled"], *seen["tasks"]]
    assert [with_times(task) for task in last] == [
        with_times(task) for task in (*held[:3], *held[5:])
    ]
