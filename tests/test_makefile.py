"""The Makefile: what it does with a virtual environment that it finds."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a virtual environment, made as `make` makes it, but for the packages."""
    folder = tmp_path / "my checkout"
    folder.mkdir()
    for name in ("Makefile", "taskbadger_server.py"):
        shutil.copy(ROOT / name, folder)
    venv.create(folder / ".venv", symlinks=True)
    (packages_of(folder) / "editable.pth").write_text(f"{folder}\n")
    (folder / ".venv/installed").touch()
    return folder


def packages_of(folder: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder / ".venv/lib" / version / "site-packages"


def keeps_environment(folder: Path) -> bool:
    """Run `make`, which lists the commands; return whether .venv is still there."""
    subprocess.run(["make", "-C", folder], check=True, capture_output=True)
    return (folder / ".venv").exists()


def test_an_environment_that_works_is_kept(checkout: Path) -> None:
    assert keeps_environment(checkout)


def test_an_environment_is_made_again_in_a_folder_that_was_moved(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("elsewhere"))

    assert not keeps_environment(moved)


def test_an_environment_is_made_again_in_a_copy_of_the_folder(checkout: Path) -> None:
    copied = Path(shutil.copytree(checkout, checkout.with_name("copy"), symlinks=True))

    assert not keeps_environment(copied)
    assert keeps_environment(checkout)


def test_an_environment_is_made_again_after_an_upgrade_of_python(checkout: Path) -> None:
    libraries = packages_of(checkout).parent
    libraries.rename(libraries.with_name("python3.10"))

    assert not keeps_environment(checkout)
