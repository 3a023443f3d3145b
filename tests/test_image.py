"""The Dockerfile, as far as it can be tried without Docker."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import ROOT
from processes import Server, serve

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def steps(instruction: str) -> list[str]:
    """Return the arguments of each step of a kind, in order."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)


def copied() -> list[list[str]]:
    """Return what each step copies from the checkout."""
    return [step.split()[:-1] for step in steps("COPY") if not step.startswith("--from")]


def is_ignored(name: str) -> bool:
    """Say whether Docker is not given *name*, which stands in the root of the checkout."""
    ignored = False
    for line in IGNORED:
        if not line.startswith("#") and fnmatch(name, line.removeprefix("!")):
            ignored = not line.startswith("!")
    return ignored


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    names = [name for step in copied() for name in step]

    assert {"taskbadger", "requirements-server.lock"} <= set(names)
    assert [name for name in names if not (ROOT / name).exists() or is_ignored(name)] == []


@pytest.mark.parametrize("name", [".git", ".venv", "instance", "tests", "node_modules", ".cache"])
def test_what_is_not_copied_is_not_sent_to_docker(name: str) -> None:
    assert is_ignored(name)


def test_releases_are_installed_by_their_hashes_before_the_code_is_copied() -> None:
    locks, code, package = copied()
    install, build = (step for step in steps("RUN") if "/bin/pip" in step)

    assert "taskbadger" not in locks + code
    assert package == ["taskbadger"]
    for lock in locks:
        assert f"--require-hashes --only-binary :all: --requirement /src/{lock}" in install
    # Nothing else comes from a package index.
    assert build.count("/bin/pip") == build.count("--no-index --no-deps")
    assert DOCKERFILE.index(install) < DOCKERFILE.index("COPY setup.cfg")


def test_what_is_copied_is_enough_to_read_the_metadata(tmp_path: Path) -> None:
    for name in [name for step in copied() for name in step]:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)
    config = ConfigParser()
    config.read(tmp_path / "setup.cfg")
    modules = config["options"]["py_modules"].split(", ")
    readme = config["metadata"]["long_description"].removeprefix("file: ")

    missing = [
        name
        for name in [*(f"{module}.py" for module in modules), readme, "LICENSE", "pyproject.toml"]
        if not (tmp_path / name).exists()
    ]

    assert missing == []


def test_labels_are_those_of_the_package() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    metadata = config["metadata"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', DOCKERFILE))

    assert (labels["version"], labels["licenses"], labels["vendor"]) == (
        metadata["version"],
        metadata["license_expression"],
        metadata["author"],
    )


def test_user_has_the_number_that_is_documented() -> None:
    [user] = steps("USER")

    assert f"useradd --uid {user} " in DOCKERFILE
    assert f"as the user {user} " in (ROOT / "docs/operating.md").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("image")) as server:
        yield server


def check_health(port: int) -> int:
    """Run the image's health check against a port of ours; return its exit status."""
    [step] = steps("HEALTHCHECK")
    python, *arguments = json.loads(step.partition(" CMD ")[2])
    assert python == "python"
    assert "8000" in arguments[-1]
    arguments[-1] = arguments[-1].replace("8000", str(port))
    # A proxy of the container is for other hosts.
    proxy = {"http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *arguments], env=proxy, stderr=subprocess.DEVNULL)
    return done.returncode


def test_health_check_passes_while_the_server_runs(server: Server) -> None:
    assert server.get("/healthz")[0] == 200
    assert check_health(int(server.address.rpartition(":")[2])) == 0


def test_health_check_fails_where_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        assert check_health(taken.getsockname()[1]) == 1


def test_health_check_fails_for_another_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code = (
            "import socket, sys; c, _ = socket.socket(fileno=int(sys.argv[1])).accept();"
            "c.recv(9999); c.sendall(b'HTTP/1.1 503 Away\\r\\nContent-Length: 0\\r\\n\\r\\n')"
        )
        command = [sys.executable, "-c", code, str(other.fileno())]
        with subprocess.Popen(command, pass_fds=[other.fileno()]):
            assert check_health(port) == 1
