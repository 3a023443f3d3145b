"""The official SDK in environments of its own, since its import name is the same as ours."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache"
SCRIPTS = Path(__file__).parent / "scripts"
LATEST = "2.6.0"
HEALTHCHECKS = "healthchecks"
"""The clients of another service, in place of a version of the SDK."""

# typer is pinned because 2.6.0 with typer 0.27 and later refuses its own default of --action.
REQUIREMENTS = {
    "2.6.0": [
        "taskbadger[cli,celery,procrastinate]==2.6.0",
        "typer==0.26.8",
        "celery[redis]==5.7.0",
        "procrastinate==3.10.0",
        "psycopg[binary,pool]>=3.2,<4",
    ],
    "2.3.0": ["taskbadger==2.3.0"],
    "2.0.0": ["taskbadger==2.0.0"],
    "1.7.0": ["taskbadger==1.7.0"],
    HEALTHCHECKS: ["healthchecks_io==0.4.4", "healthchecks-decorator==0.5.0"],
}


@dataclass(frozen=True)
class Sdk:
    """One version of the SDK, installed."""

    version: str
    home: Path

    @property
    def python(self) -> Path:
        return self.home / "bin/python"

    @property
    def cli(self) -> Path:
        """The console script, which starts Python with the current directory out of its path."""
        return self.home / "bin/taskbadger"

    @property
    def package(self) -> Path:
        """The folder of the SDK's own package."""
        return next(self.home.glob("lib/python3*/site-packages/taskbadger"))


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would reach into a child's Python or SDK."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TASKBADGER_", "PYTHON", "VIRTUAL_ENV", "COV_", "COVERAGE_"))
    }
    return {**kept, **more}


def install(version: str) -> Sdk:
    """Return the SDK *version*, installed once per Python and reused: see ``.cache``."""
    return Sdk(version, install_packages(f"sdk-{version}", REQUIREMENTS[version]))


def install_packages(name: str, requirements: list[str]) -> Path:
    """Return an environment with packages from PyPI, made once per Python and reused."""
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"

    def make(home: Path) -> None:
        _run(sys.executable, "-m", "venv", str(home))
        pip = (str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check")
        _run(*pip, "install", "--quiet", "--retries", "5", *requirements)

    return _install_once(f"{name}-{python}", [sys.base_prefix, *requirements], make)


def install_node_packages(name: str, packages: list[str]) -> Path:
    """Return a folder with packages from npm, made once and reused."""

    def make(home: Path) -> None:
        home.mkdir()
        options = ("--prefix", str(home), "--silent", "--no-audit", "--no-fund")
        _run("npm", "install", *options, *packages)

    return _install_once(name, packages, make)


def _install_once(name: str, wanted: list[str], make: Callable[[Path], None]) -> Path:
    home = CACHE / name
    marker = home / "complete"
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not marker.exists() or marker.read_text() != "\n".join(wanted):
            shutil.rmtree(home, ignore_errors=True)
            make(home)
            marker.write_text("\n".join(wanted))
    return home


def _run(*command: str) -> None:
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=280
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def run_script(
    sdk: Sdk, script: str, *arguments: str, cwd: Path, seconds: float = 120, **variables: str
) -> Any:
    """Run one of the scripts with *sdk*; return what it reports on standard output, as JSON.

    It may take so many *seconds*.
    """
    done = subprocess.run(
        [sdk.python, "-I", SCRIPTS / script, *arguments],
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
