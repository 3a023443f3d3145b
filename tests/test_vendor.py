"""The vendored front-end files are the ones that were fetched."""

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ["taskbadger/blueprints/assets/static/vendor", "tests/browser/vendor"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_vendored_file_has_the_hash_in_its_manifest(folder: str) -> None:
    vendor = ROOT / folder
    manifest = json.loads((vendor / "VENDOR.json").read_text())

    expected = {path: digest for package in manifest for path, digest in package["files"].items()}
    actual = {
        path.relative_to(vendor).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name != "VENDOR.json"
    }

    assert actual == expected


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_vendored_package_comes_with_its_licence(folder: str) -> None:
    manifest = json.loads((ROOT / folder / "VENDOR.json").read_text())

    without = [
        package["name"]
        for package in manifest
        if not any("LICENSE" in path.rsplit("/", 1)[1] for path in package["files"])
    ]

    assert without == []
