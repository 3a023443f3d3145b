"""``taskbadger-server apply``: the file, the diff, all or nothing, and nothing the second time."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import ROOT, make_project
from flask import Flask
from managing import audited
from sqlalchemy import select

from taskbadger.cli import apply_file
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    AuditEntry,
    ChannelConfig,
    GlobalAction,
    MaintenanceWindow,
    Monitor,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRONMENT = {
    "OPS_WEBHOOK_SECRET": SECRET,
    "OPS_TOKEN": "hidden-token",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T00/B00/hidden-token",
}
PAGE = (ROOT / "docs" / "apply.md").read_text()
EXAMPLE, PRINTED = re.findall(r"```(?:yaml)?\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def file(tmp_path: Path, app: Flask, project: ProjectRef) -> Path:
    """A file with the example of the documentation."""
    path = tmp_path / "acme.yaml"
    path.write_text(EXAMPLE)
    return path


def run(app: Flask, file: Path, *options: str) -> Result:
    """Run the command, as a process of its own would: with no transaction open."""
    db.session.rollback()
    result = app.test_cli_runner().invoke(apply_file, [str(file), *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def names() -> dict[str, list[str]]:
    """Return what there is, by kind."""
    db.session.rollback()
    found = {
        "channels": [f"{one.kind}:{one.slug}" for one in db.session.scalars(select(ChannelConfig))],
        "global_actions": [one.name for one in db.session.scalars(select(GlobalAction))],
        "monitors": [one.name for one in db.session.scalars(select(Monitor))],
        "windows": [one.name for one in db.session.scalars(select(MaintenanceWindow))],
    }
    db.session.commit()
    return {kind: sorted(values) for kind, values in found.items()}


ALL = {
    "channels": ["slack:alerts", "webhook:ops"],
    "global_actions": ["Failures of nightly jobs"],
    "monitors": ["Heartbeat", "Nightly import"],
    "windows": ["Backup of the database", "Move to the new server"],
}
EMPTY = "organization: acme\n" + "".join(f"{section}: []\n" for section in ALL)
NONE: dict[str, list[str]] = {"channels": [], "global_actions": [], "monitors": [], "windows": []}


def config(slug: str) -> Any:
    db.session.rollback()
    text = db.session.scalars(select(ChannelConfig.config).where(ChannelConfig.slug == slug)).one()
    db.session.commit()
    return json.loads(text)


def change(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def test_example_of_the_documentation_prints_what_it_says(app: Flask, file: Path) -> None:
    result = run(app, file)

    assert (result.exit_code, result.output) == (0, PRINTED)
    assert names() == ALL
    assert config("ops") == {
        "url": "https://hooks.example.com/taskbadger",
        "secret": SECRET,
        "headers": {"Authorization": "Bearer hidden-token"},
    }
    who = ("server", "taskbadger-server apply")
    assert audited() == [
        (*who, "project.change", "web"),
        (*who, "channel.create", "webhook:ops"),
        (*who, "channel.create", "slack:alerts"),
        (*who, "global-action.create", "Failures of nightly jobs"),
        (*who, "monitor.create", "web/Nightly import"),
        (*who, "monitor.create", "web/Heartbeat"),
        (*who, "window.create", "Backup of the database"),
        (*who, "window.create", "Move to the new server"),
    ]


def test_second_time_there_is_nothing_to_change(app: Flask, file: Path) -> None:
    run(app, file)
    before = (snapshot(), audited())

    result = run(app, file, "--prune")

    assert (result.exit_code, result.output) == (0, "nothing to change\n")
    assert (snapshot(), audited()) == before


def snapshot() -> list[Any]:
    """Return every column of everything that a file can change."""
    db.session.rollback()
    rows = [
        tuple(row)
        for model in (ChannelConfig, GlobalAction, Monitor)
        for row in db.session.execute(select(model.__table__))  # type: ignore[attr-defined]
    ]
    db.session.commit()
    return sorted(rows, key=repr)


def test_dry_run_prints_and_changes_nothing(app: Flask, file: Path) -> None:
    result = run(app, file, "--dry-run")

    assert (result.exit_code, result.output) == (0, PRINTED + "dry run: nothing was changed\n")
    assert (names(), audited()) == (NONE, [])


def test_only_what_differs_is_changed(
    app: Flask, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(app, file)
    monkeypatch.setenv("OPS_TOKEN", "another-token")
    change(
        file,
        ("trigger: error,stale", "trigger: error"),
        ("    quiet_period: 600                 # seconds\n", ""),
        ("max_runtime: 3600", "max_runtime: 60"),
        ("      - webhook:ops\n", ""),
        ("name: Operations", "name: Ops"),
    )

    result = run(app, file)

    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "~ channel webhook:ops",
            "    name: Operations → Ops",
            "    config.headers: (secret) changed",
            "~ global action Failures of nightly jobs",
            "    trigger: error,stale → error",
            '    channels: webhook:ops, email {"to": "oncall@example.com,team@example.com"}'
            ' → email {"to": "oncall@example.com,team@example.com"}',
            "    quiet_period: 600 → 0",
            "~ monitor web/Nightly import",
            "    max_runtime: 3600 → 60",
            "3 changed",
        ],
    )
    assert config("ops")["headers"] == {"Authorization": "Bearer another-token"}
    assert [entry[2:] for entry in audited()[8:]] == [
        ("channel.change", "webhook:ops"),
        ("global-action.change", "Failures of nightly jobs"),
        ("monitor.change", "web/Nightly import"),
    ]
    assert run(app, file).output == "nothing to change\n"


def test_audit_log_has_only_what_changed_of_a_monitor(app: Flask, file: Path) -> None:
    text = "monitors:\n  - {project: web, name: Backup, type: cron, schedule: 0 3 * * *}\n"
    file.write_text(text)
    run(app, file)
    file.write_text(text.replace("0 3", "0 4"))

    result = run(app, file)

    assert result.output.splitlines()[-1] == "1 changed"
    found = db.session.scalars(select(AuditEntry.detail).where(AuditEntry.verb == "monitor.change"))
    assert found.all() == ["schedule: 0 3 * * * → 0 4 * * *"]


def test_secrets_that_are_left_out_stay_and_null_takes_one_away(app: Flask, file: Path) -> None:
    run(app, file)
    change(
        file,
        ("      secret: ${OPS_WEBHOOK_SECRET}\n", ""),
        ("headers:\n        Authorization: Bearer ${OPS_TOKEN}", "headers: null"),
    )

    result = run(app, file)

    assert result.output.splitlines() == [
        "~ channel webhook:ops",
        "    config.headers: (secret) changed",
        "1 changed",
    ]
    assert config("ops") == {"url": "https://hooks.example.com/taskbadger", "secret": SECRET}


def test_what_was_turned_off_by_hand_stays_off_unless_the_file_says_so(
    app: Flask, file: Path
) -> None:
    run(app, file)
    db.session.rollback()
    for rule in db.session.scalars(select(GlobalAction)):
        rule.enabled = False
    for monitor in db.session.scalars(select(Monitor)):
        monitor.status = "paused"
    db.session.commit()

    assert run(app, file).output == "nothing to change\n"
    change(file, ("trigger: error,stale", "trigger: error,stale\n    enabled: true"))
    assert "    enabled: false → true" in run(app, file).output.splitlines()


def test_what_the_file_does_not_name_stays_without_prune(app: Flask, file: Path) -> None:
    run(app, file)
    file.write_text(EMPTY)

    assert run(app, file).output == "nothing to change\n"
    assert names() == ALL


def test_prune_removes_it(app: Flask, file: Path) -> None:
    run(app, file)
    file.write_text(EMPTY)

    result = run(app, file, "--prune")
    lines = result.output.splitlines()

    # Windows are sorted by when they start next, which depends on the day.
    assert (result.exit_code, [*sorted(lines[:2]), *lines[2:]]) == (
        0,
        [
            "- window Backup of the database",
            "- window Move to the new server",
            "- monitor web/Heartbeat",
            "- monitor web/Nightly import",
            "- global action Failures of nightly jobs",
            "- channel slack:alerts",
            "- channel webhook:ops",
            "7 removed",
        ],
    )
    assert names() == NONE


def monitors_file(file: Path, **task_names: str | None) -> None:
    """Let the file have these monitors, bound to these names."""
    lines = [
        f"  - {{project: web, name: {name}, type: interval, interval: 60"
        + ("}" if bound is None else f", task_name: {bound}}}")
        for name, bound in task_names.items()
    ]
    file.write_text("\n".join(["organization: acme", "monitors:", *lines]))


def bound_names() -> dict[str, str | None]:
    db.session.rollback()
    found = {each.name: each.task_name for each in db.session.scalars(select(Monitor))}
    db.session.commit()
    return found


def test_task_names_move_from_one_monitor_to_another(app: Flask, file: Path) -> None:
    monitors_file(file, a=None, b="x", c="y", d="z")
    run(app, file)
    monitors_file(file, a="x", b="y", c="z", d=None)

    first, second = run(app, file), run(app, file)

    assert bound_names() == {"a": "x", "b": "y", "c": "z", "d": None}
    assert first.output.splitlines() == [
        "~ monitor web/d",
        "    task_name: z → none",
        "~ monitor web/c",
        "    task_name: y → z",
        "~ monitor web/b",
        "    task_name: x → y",
        "~ monitor web/a",
        "    task_name: none → x",
        "4 changed",
    ]
    assert second.output == "nothing to change\n"


def test_task_names_of_monitors_that_are_pruned_are_free(app: Flask, file: Path) -> None:
    monitors_file(file, old="x", older="y")
    run(app, file)
    monitors_file(file, new="x")

    result = run(app, file, "--prune")

    assert bound_names() == {"new": "x"}
    assert [line for line in result.output.splitlines() if not line.startswith(" ")] == [
        "- monitor web/old",
        "+ monitor web/new",
        "- monitor web/older",
        "1 added, 2 removed",
    ]


def test_task_name_that_two_monitors_want_is_an_error(app: Flask, file: Path) -> None:
    monitors_file(file, a="x", b="x")

    result = run(app, file)

    detail = "Another monitor of this project has the task name “x”."
    assert (result.exit_code, bound_names()) == (1, {})
    assert f"acme.yaml:4: monitors.1.task_name: {detail}" in result.output


def test_prune_leaves_sections_alone_that_the_file_has_not(app: Flask, file: Path) -> None:
    run(app, file)
    file.write_text("organization: acme\nmonitors: []\n")

    run(app, file, "--prune")

    assert names() == {**ALL, "monitors": []}


def test_slug_identifies_a_monitor_whose_name_changes(app: Flask, file: Path) -> None:
    entry = "organization: acme\nmonitors:\n  - {project: web, type: interval, interval: 60, "
    file.write_text(entry + "name: Import, slug: import}")
    run(app, file)
    file.write_text(entry + "name: Import of files, slug: import}")

    renamed, again = run(app, file, "--prune"), run(app, file)

    assert renamed.output.splitlines() == [
        "~ monitor web/Import of files",
        "    name: Import → Import of files",
        "1 changed",
    ]
    assert again.output == "nothing to change\n"


def test_two_entries_for_one_slug_are_refused(app: Flask, file: Path) -> None:
    entry = "  - {project: web, type: interval, interval: 60, slug: import, name: "
    file.write_text(f"organization: acme\nmonitors:\n{entry}a}}\n{entry}b}}\n")

    result = run(app, file)

    assert result.exit_code == 1
    assert "monitors.1.slug: Another entry of the file means the same monitor." in result.output


def test_other_organizations_are_left_alone(app: Flask, file: Path) -> None:
    make_project("other", "web")
    change(file, ("organization: acme", "organization: other"))
    run(app, file)
    change(file, ("organization: other", "organization: acme"))

    result = run(app, file, "--prune")

    assert result.output == PRINTED
    assert names()["channels"] == ["slack:alerts", "slack:alerts", "webhook:ops", "webhook:ops"]


def test_file_that_is_partly_wrong_changes_nothing(app: Flask, file: Path) -> None:
    change(file, ("timezone: Europe/Paris", "timezone: Europe/Pariss"))

    result = run(app, file)

    assert result.exit_code == 1
    assert re.fullmatch(
        rf"Error: nothing was changed:\n{re.escape(str(file))}:32: monitors\.0\.timezone: .*\n",
        result.output,
    )
    assert (names(), audited()) == (NONE, [])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "${OPS_TOKEN}",
            "${NO_SUCH}",
            "10: channels.0.config.headers.Authorization: "
            "The environment variable NO_SUCH is not set.",
        ),
        ("interval: 300", "intreval: 300", "39: monitors.1.intreval: Unknown field."),
        ("name: Heartbeat", "name: ''", "37: monitors.1.name: This field may not be blank."),
        (
            "project: web\n    name: Heart",
            "project: none\n    name: Heart",
            "36: monitors.1.project: There is no project “none” in this organization.",
        ),
        (
            "- slack:alerts",
            "- slack:none",
            "35: monitors.0.action.0.integration: "
            "There is no channel “slack:none” in this organization.",
        ),
        (
            "to: oncall@example.com,team@example.com",
            "to: nobody",
            "25: global_actions.0.channels.1.config.to: “nobody” is not a valid e-mail address.",
        ),
        (
            "integration: slack:alerts",
            "integration: pigeon:alerts",
            "11: channels.1.integration: Unknown kind of channel: “pigeon”.",
        ),
        (
            "url: https://hooks.example.com/taskbadger",
            "url: gopher://hooks",
            "7: channels.0.config.url: The URL must start with http:// or https://.",
        ),
        (
            "secret: ${OPS",
            "secret: no-${OPS",
            "8: channels.0.config.secret: A secret is whsec_ followed by 24 to 64 bytes in base64.",
        ),
        (
            "name: Heartbeat",
            "name: Nightly import",
            "36: monitors.1: web Nightly import is in the file twice.",
        ),
        (
            "channels:\n  - integration: webhook",
            "chanels:\n  - integration: webhook",
            "3: chanels: Expected one of: organization, projects, channels, global_actions, "
            "monitors, windows.",
        ),
        (
            "integration: webhook:ops",
            "integration: email",
            "4: channels.0.integration: Use “kind:slug”, e.g. “webhook:ops”.",
        ),
        (
            "quiet_period: 600",
            "quiet_period: !!int x",
            "20: global_actions.0.quiet_period: This is not a valid value of type "
            "tag:yaml.org,2002:int.",
        ),
        ("  - project: web\n    name: H", "    name: twice\n    name: H", None),
        ("interval: 300", "interval: [", None),
    ],
)
def test_error_names_line_and_field(
    app: Flask, file: Path, old: str, new: str, problem: str | None
) -> None:
    change(file, (old, new))

    result = run(app, file)

    assert result.exit_code == 1
    if problem is not None:
        assert result.output == f"Error: nothing was changed:\n{file}:{problem}\n"
    assert SECRET not in result.output
    assert "hidden-token" not in result.output
    assert names() == NONE


def test_all_errors_of_a_file_are_reported_at_once(app: Flask, file: Path) -> None:
    change(file, ("trigger: error,stale", "trigger: eror"), ("interval: 300", "interval: 5"))

    lines = run(app, file).output.splitlines()

    assert [line.removeprefix(f"{file}:").partition(": ")[0] for line in lines[1:]] == ["19", "39"]


def test_organization_is_the_only_one_or_has_to_be_named(app: Flask, file: Path) -> None:
    change(file, ("organization: acme\n", ""))
    assert run(app, file, "--dry-run").output.endswith("dry run: nothing was changed\n")
    make_project("other", "web")

    answers = [
        run(app, file).output,
        run(app, file, "--org", "none").output,
        run(app, file, "--org", "acme").output,
    ]

    assert answers == [
        "Error: nothing was changed:\nname the organization with --org or in the file\n",
        "Error: nothing was changed:\nthere is no organization none\n",
        PRINTED,
    ]


def test_organization_of_the_file_and_of_the_option_must_agree(app: Flask, file: Path) -> None:
    make_project("other", "web")

    result = run(app, file, "--org", "other")

    assert (
        result.output
        == f"Error: nothing was changed:\n{file}:1: organization: Does not match --org other.\n"
    )
    assert names() == NONE


def test_two_of_the_same_name_must_be_told_apart_first(app: Flask, file: Path) -> None:
    run(app, file)
    db.session.rollback()
    rule = db.session.scalars(select(GlobalAction)).one()
    values = {
        column.name: getattr(rule, column.name)
        for column in GlobalAction.__table__.columns
        if column.name != "id"
    }
    db.session.add(GlobalAction(**values))
    db.session.commit()

    result = run(app, file)

    assert result.output == (
        f"Error: nothing was changed:\n{file}:16: global_actions.0: "
        "2 global actions have this name: rename or remove some.\n"
    )


def test_dollar_sign_is_written_twice_to_stand_for_itself(app: Flask, file: Path) -> None:
    change(file, ("name: Operations", "name: $${OPS_TOKEN} and $$"))

    assert "    name: ${OPS_TOKEN} and $$" in run(app, file).output.splitlines()


@pytest.mark.parametrize(
    "content",
    [
        b"- a\n- b\n",
        b"channels: {}\n",
        b"\xff\xfe\x00",
        b"channels: &a\n  - *a\n",
        b"a: 2026-99-99",
        b"channels:\n  - webhook:ops\n",
    ],
)
def test_file_of_another_kind_is_refused(app: Flask, file: Path, content: bytes) -> None:
    file.write_bytes(content)

    result = run(app, file)

    assert (result.exit_code, result.output.partition(":")[0]) == (1, "Error")
    assert names() == NONE


@pytest.mark.parametrize("content", ["# nothing yet\n", "channels:\nmonitors:\n"])
def test_empty_file_changes_nothing(app: Flask, file: Path, content: str) -> None:
    file.write_text(content)

    assert run(app, file, "--prune").output == "nothing to change\n"


def test_channel_may_start_turned_off_and_be_turned_on(app: Flask, file: Path) -> None:
    change(file, ("name: Operations", "name: Operations\n    enabled: false"))

    assert "    enabled: false" in run(app, file).output.splitlines()
    change(file, ("enabled: false", "enabled: true"), ("timezone: Europe/Paris", "timezone: UTC"))
    change(file, ("name_pattern: ^nightly-           # RE2; default: all names", "enabled: true"))
    assert run(app, file).output.splitlines() == [
        "~ channel webhook:ops",
        "    enabled: false → true",
        "~ global action Failures of nightly jobs",
        "    name_pattern: ^nightly- → none",
        "~ monitor web/Nightly import",
        "    timezone: Europe/Paris → UTC",
        "3 changed",
    ]
