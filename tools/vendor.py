"""Fetch the front-end libraries at exact versions and write down what was taken.

Run it with no arguments after changing a version below. npm does the download, so the registry is
whichever one npm is configured with; the tarball must match the integrity pinned here.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVED = ROOT / "taskbadger/blueprints/assets/static/vendor"
"""Sent to browsers and packaged."""
TESTS = ROOT / "tests/browser/vendor"
"""Only used by the browser tests."""


@dataclass(frozen=True)
class Package:
    """One npm package and the files wanted from it."""

    name: str
    version: str
    licence: str
    integrity: str
    """The registry's `dist.integrity` of this version."""
    folder: str
    files: tuple[str, ...]
    target: Path = SERVED


PACKAGES = (
    Package(
        name="@picocss/pico",
        version="2.1.1",
        licence="MIT",
        integrity="sha512-kIDugA7Ps4U+2BHxiNHmvgPIQDWPDU4IeU6TNRdvXQM1uZX+FibqDQT2xUOnnO2yq/LUHcwnGlu1hvf4KfXnMg==",
        folder="pico",
        files=("css/pico.min.css", "LICENSE.md"),
    ),
    Package(
        name="uplot",
        version="1.6.32",
        licence="MIT",
        integrity="sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        folder="uplot",
        files=("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"),
    ),
    Package(
        name="idiomorph",
        version="0.8.0",
        licence="0BSD",
        integrity="sha512-R47JBL+6jHDQvcnbppIUtXXcxi5h6+wuCEEZXnRhUltsgzPFKzThL5PuHppP9ypJuy+7WawcY1TsSBD/iQbMhw==",
        folder="idiomorph",
        files=("dist/idiomorph.min.js", "LICENSE"),
    ),
    Package(
        name="swagger-ui-dist",
        version="5.35.0",
        licence="Apache-2.0",
        integrity="sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
        folder="swagger-ui",
        files=(
            "swagger-ui.css",
            "swagger-ui-bundle.js",
            "swagger-ui-bundle.js.LICENSE.txt",
            "LICENSE",
            "NOTICE",
        ),
    ),
    Package(
        name="axe-core",
        version="4.14.1",
        licence="MPL-2.0",
        integrity="sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        folder="axe",
        files=("axe.min.js", "LICENSE", "LICENSE-3RD-PARTY.txt"),
        target=TESTS,
    ),
)


def download(package: Package, folder: Path) -> Path:
    """Return the package's tarball, or raise SystemExit when it is not the pinned one."""
    packed = subprocess.run(
        ["npm", "pack", f"{package.name}@{package.version}", "--json", "--ignore-scripts"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    tarball = folder / json.loads(packed.stdout)[0]["filename"]
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise SystemExit(f"{package.name} {package.version}: sha512-{digest} is not the pinned one")
    return tarball


def unpack(package: Package, tarball: Path) -> dict[str, str]:
    """Copy the wanted files and return their SHA-256 by path below the target folder."""
    hashes = {}
    with tarfile.open(tarball) as archive:
        for name in package.files:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, f"{package.name} has no {name}"
            path = package.target / package.folder / Path(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.read())
            relative = path.relative_to(package.target).as_posix()
            hashes[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def main() -> None:
    """Replace both vendor folders."""
    for target in (SERVED, TESTS):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        manifest = []
        for package in PACKAGES:
            if package.target != target:
                continue
            with tempfile.TemporaryDirectory() as folder:
                hashes = unpack(package, download(package, Path(folder)))
            manifest.append(
                {
                    "name": package.name,
                    "version": package.version,
                    "licence": package.licence,
                    "integrity": package.integrity,
                    "files": hashes,
                }
            )
            print(f"{package.name} {package.version}: {len(hashes)} files")
        (target / "VENDOR.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
