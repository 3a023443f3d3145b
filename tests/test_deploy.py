"""The files in ``deploy/``: the programs and schemas that they are for accept them."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT, SECRET_KEY
from processes import TIME_LIMIT, run_process, run_server, serve, wait_until
from test_systemd import program

from taskbadger.settings import PREFIX, Settings

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
MANIFEST = DEPLOY / "kubernetes" / "taskbadger.yaml"
WORKERS = DEPLOY / "kubernetes" / "worker.yaml"
KUBERNETES = ("1.30", "1.33", "1.36")


def variables_in(text: str) -> set[str]:
    """Return the settings that a file names."""
    return set(re.findall(rf"\b{PREFIX}([A-Z_]+?)(?:_FILE)?\b", text))


@pytest.mark.parametrize(
    "path", [COMPOSE, MANIFEST, WORKERS, DEPLOY / "taskbadger.service", DEPLOY / "nginx.conf"]
)
def test_files_name_settings_that_exist(path: Path) -> None:
    ours = set(Settings.__annotations__) | {"HOST", "UPSTREAM"}

    assert variables_in(path.read_text()) - ours == set()


def test_compose_file_fits_its_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run([*check, COMPOSE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def commands(path: Path) -> list[list[str]]:
    """Return the arguments that a file gives the server."""
    documents = list(yaml.safe_load_all(path.read_text()))
    containers = [
        container
        for document in documents
        if document["kind"] in ("Deployment", "Job")
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    return [container["args"] for container in containers]


def test_arguments_of_the_containers_are_options_of_the_server(tmp_path: Path) -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]

    for arguments in [*commands(MANIFEST), *commands(WORKERS), services["worker"]["command"]]:
        done = run_server(*arguments, "--help", home=tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))

    for document in [*documents, yaml.safe_load(WORKERS.read_text())]:
        kubernetes_validate.validate(document, version, strict=True)

    assert [document["kind"] for document in documents] == [
        "Secret",
        "Job",
        "Deployment",
        "Service",
    ]


def test_selectors_find_the_pods() -> None:
    documents = {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}
    pod = documents["Deployment"]["spec"]["template"]

    for selector in (
        documents["Deployment"]["spec"]["selector"]["matchLabels"],
        documents["Service"]["spec"]["selector"],
    ):
        assert selector.items() <= pod["metadata"]["labels"].items()
    # Neither the job nor workers get requests.
    workers = yaml.safe_load(WORKERS.read_text())["spec"]
    assert workers["selector"]["matchLabels"] == workers["template"]["metadata"]["labels"]
    for other in (documents["Job"]["spec"]["template"], workers["template"]):
        labels = other["metadata"]["labels"]
        assert not documents["Service"]["spec"]["selector"].items() <= labels.items()


def test_workers_ask_themselves_in_the_same_way_at_the_start_and_later() -> None:
    [container] = yaml.safe_load(WORKERS.read_text())["spec"]["template"]["spec"]["containers"]

    assert container["startupProbe"]["exec"] == container["livenessProbe"]["exec"]


def test_containers_on_celery_have_the_same_settings() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    server, worker = (services[name]["environment"] for name in ("server", "worker"))
    of_web_alone = {"TASKBADGER_PROXY_HOPS"}

    assert set(server) - set(worker) == of_web_alone
    assert {name: server[name] for name in worker if "BROKER" not in name} == {
        name: value for name, value in worker.items() if "BROKER" not in name
    }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fullchain.pem and privkey.pem for tasks.example.com."""
    folder = tmp_path_factory.mktemp("certificate")
    names = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=tasks.example.com"]
    subprocess.run([program("openssl"), *make, *subject, *names], check=True, capture_output=True)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def nginx(tmp_path: Path, certificate: Path) -> tuple[str, int, int]:
    """nginx with our file on a free port: the path of its configuration, that port, and ours."""
    folder, server, port = tmp_path / "nginx", free_port(), free_port()
    folder.mkdir()
    ours = (DEPLOY / "nginx.conf").read_text()
    ours = ours.replace("/etc/letsencrypt/live/tasks.example.com", str(certificate))
    ours = ours.replace("127.0.0.1:8000", f"127.0.0.1:{server}")
    ours = re.sub(r"^    listen (?:\[::\]:)?80;\n", "", ours, flags=re.MULTILINE)
    ours = ours.replace("    listen [::]:443 ssl http2;\n", "")
    ours = ours.replace("listen 443", f"listen 127.0.0.1:{port}")
    # Only what stands around it in a distribution's file.
    redirect = f"    listen 127.0.0.1:{free_port()};\n    return 301"
    ours = ours.replace("    return 301", redirect)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{ours}\n}}\n"
    )
    return str(folder / "nginx.conf"), port, server


def ask(port: int, path: str, **headers: str) -> str:
    """Return the whole answer of the proxy to a GET."""
    fields = [item for name, value in headers.items() for item in ("--header", f"{name}: {value}")]
    place = ["--connect-to", f"tasks.example.com:443:127.0.0.1:{port}"]
    url = f"https://tasks.example.com{path}"
    command = ["curl", "--silent", "--insecure", "--include", "--max-time", "20", *place]
    return subprocess.run(
        [*command, *fields, url], capture_output=True, text=True, check=False
    ).stdout


def test_nginx_serves_with_our_file(tmp_path: Path, nginx: tuple[str, int, int]) -> None:
    path, port, server_port = nginx
    binary = program("nginx") if shutil.which("nginx") else program("/usr/sbin/nginx")
    checked = subprocess.run([binary, "-t", "-c", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    variables = {
        "TASKBADGER_SECRET_KEY": SECRET_KEY,
        "TASKBADGER_PROXY_HOPS": "1",
        "TASKBADGER_BASE_URL": "https://tasks.example.com",
    }
    bind = ("--bind", f"127.0.0.1:{server_port}")

    with (
        serve(tmp_path / "serve", *bind, **variables) as server,
        run_process(tmp_path / "proxy", [binary, "-c", path], {}),
    ):
        wait_until(lambda: "healthz" in ask(port, "/healthz") or server.get("/readyz"), "a server")
        answer = wait_until(
            lambda: "200" in (shown := ask(port, "/set-up")).partition("\n")[0] and shown, "nginx"
        )
        line = wait_until(
            lambda: [line for line in server.said("request") if line["path"] == "/set-up"], "a line"
        )[-1]

    sent = re.search(r"^x-request-id: (\S+)", answer, re.MULTILINE | re.IGNORECASE)
    assert sent is not None
    assert line["request_id"] == sent[1]
    assert line["address"] == "127.0.0.1"
    assert "Secure" in answer  # The cookie: the server knows that visitors use https.


def test_caddy_takes_our_file(tmp_path: Path) -> None:
    caddy = program("caddy")
    shutil.copy(DEPLOY / "Caddyfile", tmp_path)
    command = [caddy, "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"]

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert "Valid configuration" in done.stdout + done.stderr
