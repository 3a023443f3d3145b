"""``tools/install.sh`` on machines that lack something: one line says what to install."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1; esac'
"""A Python from Debian without its package python3-venv."""
OFFLINE = 'case "$*" in "-m pip --version") ;; *) echo "ERROR: unreachable" >&2; exit 2; esac'
TOO_OLD = "exit 1"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which only the script is there, in a folder whose name has a space."""
    folder = tmp_path / "my checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/install.sh", folder / "tools")
    return folder


def write_command(path: Path, code: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def install(
    checkout: Path, *, extras: str = "", hashes: str = "", user_id: int = 1000, **commands: str
) -> tuple[int, list[str]]:
    """Run the script where only *commands* are, given by their code; return what it says."""
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "rm"):
        (programs / name).symlink_to(shutil.which(name) or name)
    for name, code in {"id": f"echo {user_id}", **commands}.items():
        write_command(programs / name.replace("_", "-"), code)
    done = subprocess.run(
        ["sh", checkout / "tools/install.sh", extras],
        env={"PATH": str(programs), "HASHES": hashes},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


CREATING = "Creating the virtual environment .venv…"
NO_PYTHON = (
    "Python 3.11 or later is needed, but python3 is older or missing: install it"
    " (Debian: apt-get install python3 python3-venv; macOS: brew install python)"
    " or name another one: make PYTHON=/path/to/python3"
)
NO_VENV = (
    "{0} cannot create virtual environments, a separate package on Debian and Ubuntu:"
    " sudo apt-get install {0}-venv"
)


def test_without_python_one_line_says_so(checkout: Path) -> None:
    assert install(checkout) == (1, [CREATING, NO_PYTHON])


def test_an_old_python_is_as_good_as_none(checkout: Path) -> None:
    assert install(checkout, python3=TOO_OLD) == (1, [CREATING, NO_PYTHON])


def test_without_venv_one_line_names_the_package_to_install(checkout: Path) -> None:
    done = install(checkout, python3=WITHOUT_VENV)

    assert done == (1, [CREATING, NO_VENV.format("python3")])


def test_the_package_is_the_one_of_the_python_that_was_found(checkout: Path) -> None:
    commands = {"python3": TOO_OLD, "python3.12": WITHOUT_VENV}

    done = install(checkout, **commands)

    assert done == (1, [CREATING, NO_VENV.format("python3.12")])


def test_root_whose_apt_fails_reads_the_same_line(checkout: Path) -> None:
    fails = "echo E: Unable to fetch some archives >&2; exit 100"

    done = install(checkout, user_id=0, python3=WITHOUT_VENV, apt_get=fails)

    installing = "Installing python3-venv, a separate package on Debian…"
    assert done == (1, [CREATING, installing, NO_VENV.format("python3")])


def test_uv_makes_the_environment_where_python_cannot(checkout: Path) -> None:
    record = 'echo "$@" >used; exit 3'

    status, said = install(checkout, python3=WITHOUT_VENV, uv=record)

    assert (status, said) == (3, [CREATING])
    assert (checkout / "used").read_text() == "venv --quiet --seed --python python3 .venv\n"


def test_packages_that_cannot_be_had_end_with_one_line(checkout: Path) -> None:
    write_command(checkout / ".venv/bin/python", OFFLINE)

    assert install(checkout) == (
        1,
        [
            "Installing…",
            "ERROR: unreachable",
            "The packages could not be installed. pip says why above;"
            " it must reach its package index.",
        ],
    )


RECORD = 'case "$*" in "-m pip --version") ;; *) echo "$*" >>pips; esac'
PIP = "-m pip install --quiet --disable-pip-version-check"
HASHED = f"{PIP} --require-hashes --requirement requirements-test.lock"
CONSTRAINED = f"{PIP} --constraint requirements.lock --editable"


@pytest.mark.parametrize(
    ("extras", "hashes", "pips"),
    [
        ("", "", [f"{CONSTRAINED} ."]),
        ("test", "", [HASHED, f"{CONSTRAINED} .[test]"]),
        ("test,check", "", [HASHED, f"{CONSTRAINED} .[test,check]"]),
        ("test", "no", [f"{CONSTRAINED} .[test]"]),
    ],
)
def test_what_the_tests_need_is_compared_with_its_hashes(
    checkout: Path, extras: str, hashes: str, pips: list[str]
) -> None:
    write_command(checkout / ".venv/bin/python", RECORD)

    assert install(checkout, extras=extras, hashes=hashes)[0] == 0
    assert (checkout / "pips").read_text().splitlines() == pips


def test_files_with_other_hashes_end_with_the_way_to_do_without(checkout: Path) -> None:
    write_command(checkout / ".venv/bin/python", OFFLINE)

    status, said = install(checkout, extras="test")

    assert (status, said[-1]) == (
        1,
        "The packages could not be installed. pip says why above; it must reach its package index."
        " If the index has files of its own, whose hashes are others, HASHES=no installs the same"
        " releases.",
    )


def test_the_newest_releases_are_tried_with_tests_that_exist() -> None:
    named = re.findall(r"^    \"?(tests/[^\s\"\[]+)", (ROOT / "tools/newest.sh").read_text(), re.M)

    assert len(named) > 5
    for name in named:
        path, _, test = name.partition("::")
        assert f"def {test}" in (ROOT / path).read_text()
