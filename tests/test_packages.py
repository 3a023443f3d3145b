"""The source distribution and the wheel: complete, and they serve from an empty environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import Server, run_process

BUILD = "from setuptools import build_meta; build_meta.build_sdist('.')"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
VENDORED = "taskbadger/blueprints/assets/static/vendor"
NOT_PACKAGED = {".gitignore"}


@dataclass(frozen=True)
class Packages:
    """Both files of a release."""

    source: Path
    wheel: Path

    def names_in_source(self) -> set[str]:
        with tarfile.open(self.source) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


def run(folder: Path, *command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of_project() -> list[str]:
    """Return what the project consists of, as git knows it."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout knows which files belong to the project")
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Build both as for a release, the wheel from the source distribution, by the locked tool."""
    folder = tmp_path_factory.mktemp("packages")
    tools, clone = folder / "tools", folder / "clone"
    for name in files_of_project():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    lock = ("--require-hashes", "--requirement", ROOT / "requirements-build.lock")
    run(folder, *PIP, "install", "--no-compile", "--target", tools, *lock)
    run(clone, sys.executable, "-c", BUILD, PYTHONPATH=str(tools))
    [source] = clone.glob("*.tar.gz")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(folder, *PIP, "wheel", *options, source, PYTHONPATH=str(tools))
    [wheel] = folder.glob("*.whl")
    return Packages(source, wheel)


def locked(name: str) -> dict[str, Requirement]:
    """Return the releases that a lock file pins, by name."""
    pins = re.findall(r"^(\w[^\\\n]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {pin.name: pin for pin in map(Requirement, pins)}


def link_locked(folder: Path) -> None:
    """Lay into *folder* what the lock names for this platform, and nothing else."""
    folder.mkdir()
    for pin in locked("requirements-server.lock").values():
        if pin.marker and not pin.marker.evaluate():
            continue
        installed = distribution(pin.name)
        for top in {path.parts[0] for path in installed.files or ()} - {"..", "__pycache__"}:
            target = folder / top
            if not target.exists():
                target.symlink_to(Path(str(installed.locate_file(top))))


@pytest.fixture(scope="module")
def server(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve from an empty environment: the wheel, and what the lock names for this platform."""
    folder = tmp_path_factory.mktemp("empty")
    home = folder / "environment"
    venv.create(home, symlinks=True)
    [site] = home.glob("lib/python3*/site-packages")
    link_locked(folder / "locked")
    (site / "locked.pth").write_text(f"{folder / 'locked'}\n")
    python = ("--python", home / "bin/python")
    run(folder, *PIP, *python, "install", "--no-deps", "--no-compile", packages.wheel)
    command = (home / "bin/taskbadger-server", "serve", "--bind", "127.0.0.1:0", "--workers", "1")
    with run_process(folder / "run", command, {}) as server:
        yield server


def test_wheel_from_the_source_distribution_serves_with_what_is_locked(server: Server) -> None:
    page = server.get("/api/docs/")[1].decode()
    assets = re.findall(r'(?:href|src)="([^":]+\.(?:css|js)[^"]*)"', page)

    assert server.get("/readyz")[0] == 200
    assert [server.get(asset)[0] for asset in assets] == [200] * len(assets)
    assert assets


def test_source_distribution_has_the_whole_project(packages: Packages) -> None:
    missing = set(files_of_project()) - packages.names_in_source()

    assert missing == NOT_PACKAGED


def test_wheel_names_the_licences_of_all_that_it_contains(packages: Packages) -> None:
    vendored = json.loads((ROOT / VENDORED / "VENDOR.json").read_text())
    texts = {
        f"{VENDORED}/{path}"
        for package in vendored
        for path in package["files"]
        if re.search("LICENSE|NOTICE", path)
    }

    metadata = packages.metadata()

    assert set(metadata.get_all("License-File", ())) == {"LICENSE", *texts}
    named = str(metadata["License-Expression"]).split(" AND ")
    assert set(named) == {"MIT", *(package["licence"] for package in vendored)}
    assert metadata["Author"] == "Task Badger server contributors"


def needed(requirement: Requirement, seen: set[tuple[str, str]]) -> None:
    """Add to *seen* the names and extras that an installed requirement needs, itself included."""
    name = canonicalize_name(requirement.name)
    for extra in ("", *requirement.extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in distribution(name).requires or ():
            further = Requirement(line)
            if not further.marker or further.marker.evaluate({"extra": extra}):
                needed(further, seen)


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("requirements-server.lock", "celery,oidc,apprise,metrics,otel,sentry"),
        ("requirements-test.lock", "test"),
    ],
)
def test_locks_have_what_is_needed_and_nothing_else(name: str, extras: str) -> None:
    seen: set[tuple[str, str]] = set()
    needed(Requirement(f"taskbadger-server[{extras}]"), seen)

    pins = locked(name)
    here = {name for name, pin in pins.items() if not pin.marker or pin.marker.evaluate()}

    assert here == {name for name, _ in seen} - {"taskbadger-server"}


@pytest.mark.parametrize("name", ["requirements-server.lock", "requirements-test.lock"])
def test_locks_pin_the_same_releases(name: str) -> None:
    constraints, pins = locked("requirements.lock"), locked(name)

    assert {name: pin.specifier for name, pin in pins.items()} == {
        name: constraints[name].specifier for name in pins
    }


@pytest.mark.parametrize(
    "name", ["requirements-server.lock", "requirements-test.lock", "requirements-build.lock"]
)
def test_every_locked_release_has_its_hashes(name: str) -> None:
    entries = re.split(r"^(?=\w)", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]

    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


TABLE = re.compile(r"^\| ([^|]+?) \| (Python's|[0-9.]+, bundled) \|", re.MULTILINE)
PLATFORMS = {
    "Linux with glibc, x86_64, Python 3.11 to 3.14": ("linux", "x86_64", "3.14"),
    "Linux with glibc, aarch64": ("linux", "aarch64", "3.11"),
    "Linux with musl (Alpine), x86_64, Python 3.11 to 3.14": ("linux", "x86_64", "3.11"),
    "Linux with musl (Alpine), aarch64": ("linux", "aarch64", "3.14"),
    "macOS 11 or later, arm64, Python 3.11 to 3.14": ("darwin", "arm64", "3.14"),
    "macOS, x86_64": ("darwin", "x86_64", "3.14"),
    "any of these with Python 3.15 or later": ("linux", "x86_64", "3.15"),
}


@pytest.mark.parametrize("name", PLATFORMS)
def test_operating_says_which_platforms_get_the_bundled_sqlite(name: str) -> None:
    system, machine, python = PLATFORMS[name]
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    [line] = (line for line in lines if line.startswith("pysqlite3"))
    variables = {"sys_platform": system, "platform_machine": machine, "python_version": python}

    marker = Requirement(line).marker
    said = dict(TABLE.findall((ROOT / "docs/operating.md").read_text()))

    assert marker
    assert said.keys() == PLATFORMS.keys()
    assert marker.evaluate(variables) == said[name].endswith("bundled")


def test_operating_names_the_version_of_the_bundled_sqlite() -> None:
    bundled = pytest.importorskip("pysqlite3", reason="this platform has no bundled SQLite")
    said = dict(TABLE.findall((ROOT / "docs/operating.md").read_text())).values()

    assert {f"{bundled.sqlite_version}, bundled", "Python's"} == set(said)
