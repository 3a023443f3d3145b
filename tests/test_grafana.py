"""The alerts and the dashboard in ``deploy/grafana/``, on the metrics that the server has."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from blueprints.test_metrics import OF_HOST, OF_ORGANIZATIONS, OF_PROJECTS, OF_SERVER, TOKEN
from conftest import ROOT
from flask import Flask
from test_systemd import program

GRAFANA = ROOT / "deploy" / "grafana"
ALERTS = GRAFANA / "alerts.yml"
DASHBOARD = GRAFANA / "dashboard.json"
OPERATING = ROOT / "docs" / "operating.md"

FAMILIES = OF_PROJECTS | OF_ORGANIZATIONS | OF_SERVER | OF_HOST
LABELS = set[str]().union(*(labels for _, labels in FAMILIES.values())) | {"instance"}
"""All labels that the server gives its series, and the one that Prometheus adds."""
METRIC = re.compile(r"\btaskbadger_\w+")
RESERVED = {"by", "without", "on", "or", "and", "unless", "offset"}


@pytest.fixture
def exposed(make_app: Callable[..., Flask]) -> set[str]:
    """The names of all series that a scrape with the token may have."""
    client = make_app(METRICS_TOKEN=TOKEN).test_client()
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    families = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + part for name, kind in families for part in parts.get(kind, ("",))}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> dict[str, str]:
    """Return the queries of the dashboard, with values for its variables."""
    variables = {"$__rate_interval": "5m", "$organization": ".*", "$project": ".*"}
    variables["$instance"] = ".*"
    found = {}
    for panel in panels():
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = text
    return found


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def labels_in(expression: str) -> set[str]:
    """Return the labels that an expression names, in braces or after ``by``."""
    in_braces = re.findall(r"(\w+)(?==|!=|=~|!~)", "".join(re.findall(r"\{(.*?)\}", expression)))
    grouped = " ".join(re.findall(r"\b(?:by|on|without) ?\((.*?)\)", expression))
    return {*in_braces, *re.findall(r"\w+", grouped)}


def test_every_query_names_metrics_and_labels_that_there_are(exposed: set[str]) -> None:
    texts = {**expressions(), **{rule["alert"]: rule["expr"] for rule in alerts()}}

    named = {name: set(METRIC.findall(text)) for name, text in texts.items()}

    assert {name: found - exposed for name, found in named.items() if found - exposed} == {}
    assert [name for name, found in named.items() if not found] == []
    assert set[str]().union(*map(labels_in, texts.values())) - LABELS == set()


def test_the_dashboard_shows_every_metric() -> None:
    text = "\n".join(expressions().values())

    assert [name for name in FAMILIES if f"taskbadger_{name}" not in text] == []


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = DASHBOARD.read_text()

    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
    assert set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"} == variables
    assert {panel["datasource"]["uid"] for panel in panels() if "datasource" in panel} == {
        "${datasource}"
    }
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert cells & taken == set(), panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def check(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_alerts() -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in check("check", "rules", ALERTS)


def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{number}", "expr": text, "labels": {"panel": name}}
        for number, (name, text) in enumerate(expressions().items())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"SUCCESS: {len(rules)} rules found" in check("check", "rules", path)


def test_every_alert_says_what_it_means() -> None:
    table = re.findall(r"^\| `(TaskBadger\w+)` \|", OPERATING.read_text(), re.MULTILINE)
    assert table == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["alert"].startswith("TaskBadger")
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


TURN = 'taskbadger_worker_last_turn_timestamp_seconds{step="purge"}'
SIZE = "taskbadger_database_size_bytes"
ATTEMPTS = 'taskbadger_delivery_attempts_total{kind="task",outcome="%s"}'
UP = 'taskbadger_monitor_up{organization="acme",project="web",monitor="backup",instance="%s"}'
PENDING = 'taskbadger_oldest_pending_seconds{organization="acme",project="web",queue="mail"}'
REQUESTS = 'taskbadger_http_requests_total{instance="a",method="GET",route="%s",code="%d"}'
BUCKET = (
    "taskbadger_http_request_duration_seconds_bucket"
    '{instance="a",method="GET",route="/api/",code="200",le="%s"}'
)
BUILD = {"taskbadger_build_info": "1x40"}

FIRING: list[tuple[str, Mapping[str, str]]] = [
    ("Away", {SIZE: "1x40"}),
    ("WorkerSilent", {TURN: "0x40"}),
    ("WorkerSilent", {SIZE: "1x40"}),
    ("SweepLags", {'taskbadger_sweep_lag_seconds{step="mark_stale"}': "0+60x40"}),
    ("HistoryCountLags", {"taskbadger_history_count_lag_seconds": "0+60x40"}),
    ("DeliveriesOld", {'taskbadger_delivery_oldest_seconds{kind="task"}': "0+60x40"}),
    ("DeliveriesFail", {ATTEMPTS % "failed": "0+1x40", ATTEMPTS % "delivered": "0x40"}),
    ("MonitorDown", {UP % "a": "1x5 0x35", UP % "b": "1x5 0x35"}),
    ("OldestPending", {PENDING: "3000+60x40"}),
    ("DatabaseGrows", {SIZE: "5000000000x1441 7000000000x120"}),
    ("ServerErrors", {REQUESTS % ("/api/", 500): "0+2x40", REQUESTS % ("/api/", 200): "0+60x40"}),
    ("Slow", {BUCKET % "1.0": "0+90x40", BUCKET % "10.0": "0+100x40", BUCKET % "+Inf": "0+100x40"}),
]
QUIET: list[tuple[str, Mapping[str, str]]] = [
    ("Away", BUILD),
    ("WorkerSilent", {TURN: "0+60x40"}),
    ("WorkerSilent", BUILD),  # What a key of an organization shows.
    ("SweepLags", {'taskbadger_sweep_lag_seconds{step="count_runs"}': "0+60x40"}),
    ("SweepLags", {'taskbadger_sweep_lag_seconds{step="purge"}': "0x20 400 400 0x18"}),
    ("HistoryCountLags", {"taskbadger_history_count_lag_seconds": "5x40"}),
    ("DeliveriesOld", {'taskbadger_delivery_oldest_seconds{kind="task"}': "600x40"}),
    ("DeliveriesFail", {ATTEMPTS % "failed": "0+1x40", ATTEMPTS % "delivered": "0+5x40"}),
    ("DeliveriesFail", {ATTEMPTS % "failed": "0x38 1 2", ATTEMPTS % "delivered": "0x40"}),
    ("MonitorDown", {UP % "a": "1x40", UP % "b": "0x40"}),  # One of two answers is older.
    ("OldestPending", {PENDING: "600x40"}),
    ("DatabaseGrows", {SIZE: "50000000000x1441 52000000000x120"}),
    ("DatabaseGrows", {SIZE: "100000x1441 700000x120"}),
    ("ServerErrors", {REQUESTS % ("/readyz", 503): "0+9x40", REQUESTS % ("/api/", 200): "0+9x40"}),
    ("ServerErrors", {REQUESTS % ("/api/", 500): "0x38 1 1", REQUESTS % ("/api/", 200): "0+9x40"}),
    ("Slow", {BUCKET % "1.0": "0+99x40", BUCKET % "10.0": "0+100x40", BUCKET % "+Inf": "0+100x40"}),
]


def cases_for_promtool(
    cases: list[tuple[str, Mapping[str, str]]], number: int
) -> Iterator[dict[str, Any]]:
    """Yield a test of promtool for each case: the alert fires so many times at its end."""
    for alert, series in cases:
        days = any("1441" in values for values in series.values())
        firing = f'ALERTS{{alertstate="firing",alertname="TaskBadger{alert}"}}'
        expected = [{"labels": "{}", "value": number}] if number else []
        yield {
            "name": f"{alert} {series}",
            "interval": "1m",
            "input_series": [{"series": name, "values": text} for name, text in series.items()],
            "promql_expr_test": [
                {
                    "expr": f"count({firing})",
                    "eval_time": "1560m" if days else "40m",
                    "exp_samples": expected,
                }
            ],
        }


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    tests = [*cases_for_promtool(FIRING, 1), *cases_for_promtool(QUIET, 0)]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": tests}))

    check("test", "rules", path)

    names = {rule["alert"].removeprefix("TaskBadger") for rule in alerts()}
    assert {name for name, _ in FIRING} == {name for name, _ in QUIET} == names


def test_an_alert_names_what_it_is_about(tmp_path: Path) -> None:
    rule = next(rule for rule in alerts() if rule["alert"] == "TaskBadgerOldestPending")
    expected = {
        "exp_labels": {
            "severity": "warning",
            "organization": "acme",
            "project": "web",
            "queue": "mail",
        },
        "exp_annotations": {
            "summary": 'A task in the queue "mail" of acme/web has waited for 1h 30m 0s.',
            "description": rule["annotations"]["description"],
        },
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": PENDING, "values": "5400x40"}],
        "alert_rule_test": [
            {"eval_time": "40m", "alertname": rule["alert"], "exp_alerts": [expected]}
        ],
    }
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": [test]}))

    check("test", "rules", path)
