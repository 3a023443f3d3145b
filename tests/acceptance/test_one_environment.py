"""The SDK and the server in one environment: both say what happened, in either order."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from acceptance.sdks import LATEST, ROOT, clean_environment

SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "wsgi.py", "taskbadger_server.py")
SDK = f"taskbadger=={LATEST}"


@pytest.fixture(scope="session")
def server_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is installed, because building leaves files beside it."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "taskbadger", copy / "taskbadger")
    return copy


def run(home: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=home, env=clean_environment(), capture_output=True, text=True, timeout=280
    )


def make_environment(home: Path, *installed: str | Path) -> None:
    """Create an environment and install packages, without what they need, one after another."""
    run(home, sys.executable, "-m", "venv", "--without-pip", home)
    for package in installed:
        add(home, "install", "--no-deps", package)


def add(home: Path, *arguments: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    done = run(home, *pip, "--python", home / "bin/python", *arguments)
    assert done.returncode == 0, done.stderr


def shared(home: Path) -> str:
    return (
        f"Error: The Task Badger SDK and the server are in the same environment ({home}), where"
        " neither works because both are imported as 'taskbadger': run"
        f" `{home}/bin/python -m pip uninstall taskbadger taskbadger-server`, and install each into"
        " an environment of its own, the server for example with pipx or `uv tool install`.\n"
    )


JOBS = (
    "ImportError: the Task Badger server is installed over the SDK in this environment, where"
    " neither works: run `pip uninstall taskbadger taskbadger-server`, and install each into an"
    " environment of its own"
)


def test_sdk_installed_last_is_named_by_the_server(tmp_path: Path, server_source: Path) -> None:
    make_environment(tmp_path, server_source, SDK)

    command = run(tmp_path, tmp_path / "bin/taskbadger-server", "--help")
    wsgi = run(tmp_path, tmp_path / "bin/python", "-c", "import wsgi")

    assert (command.returncode, command.stderr) == (1, shared(tmp_path))
    assert (wsgi.returncode, wsgi.stderr) == (4, shared(tmp_path))


def test_server_installed_last_is_named_by_both(tmp_path: Path, server_source: Path) -> None:
    make_environment(tmp_path, SDK, server_source)

    command = run(tmp_path, tmp_path / "bin/taskbadger-server", "serve")
    job = run(tmp_path, tmp_path / "bin/python", "-c", "import taskbadger; taskbadger.init()")

    assert (command.returncode, command.stderr) == (1, shared(tmp_path))
    assert (job.returncode, job.stderr.splitlines()[-1]) == (1, JOBS)


def test_the_advice_makes_the_environment_work_again(tmp_path: Path, server_source: Path) -> None:
    make_environment(tmp_path, server_source, SDK)

    add(tmp_path, "uninstall", "--yes", "taskbadger")
    half = run(tmp_path, tmp_path / "bin/taskbadger-server", "--help")
    add(tmp_path, "uninstall", "--yes", "taskbadger-server")
    add(tmp_path, "install", "--no-deps", server_source)
    whole = run(tmp_path, tmp_path / "bin/taskbadger-server", "--help")

    assert (half.returncode, half.stderr) == (
        1,
        "Error: The installed Task Badger server is incomplete, perhaps because the SDK was"
        f" uninstalled from the same environment ({tmp_path}): install its wheel or checkout again"
        f" with `{tmp_path}/bin/python -m pip install --force-reinstall --no-deps PATH`.\n",
    )
    # There is nothing else in this environment, but it is the server that misses it.
    assert whole.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'click'"


def test_jobs_that_find_the_server_in_place_of_the_sdk_learn_it(
    tmp_path: Path, server_source: Path
) -> None:
    make_environment(tmp_path, server_source)

    job = run(tmp_path, tmp_path / "bin/python", "-c", "import taskbadger; taskbadger.init()")

    assert job.stderr.splitlines()[-1] == (
        "AttributeError: module 'taskbadger' has no attribute 'init': it is the Task Badger server;"
        " jobs need the SDK, in an environment of its own"
    )
