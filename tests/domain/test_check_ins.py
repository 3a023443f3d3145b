"""Check-ins: which are taken, what their slugs become, and what their configuration means."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from taskbadger.domain.check_ins import (
    LATEST,
    BadCheckIn,
    BadConfig,
    CheckIn,
    read_check_in,
    read_dsn,
    settings_of,
    slug_of,
)
from taskbadger.domain.pings import Signal

HOURLY = {"schedule": {"type": "crontab", "value": "0 * * * *"}}
OK = {"monitor_slug": "job", "status": "ok"}
ID = "a460c25ff2554577b920fcfacae4e5eb"
CONFIG = "failed to deserialize monitor_config"
DURATION = "the duration is not a number of seconds from 0 to 2147484"
ENVIRONMENT = "the environment has more than 64 characters, a slash or a line break"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Job", "my-job"),
        ("nightly_Import-2", "nightly_import-2"),
        ("  add every 10s ", "add-every-10s"),
        ("proj.tasks.tick", "projtaskstick"),
        ("Größe", "groe"),
        ("--a--b__", "a-b"),
        ("a" * 60, "a" * 50),
        ("a" * 49 + "-b", "a" * 49),
        ("漢字", ""),
        ("\ud800\0", ""),
    ],
)
def test_slug_is_what_sentry_makes_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, {}),
        ({"status": "error"}, {"signal": Signal.FAIL}),
        ({"status": "in_progress"}, {"signal": Signal.START}),
        ({"check_in_id": ID}, {"id": UUID(ID)}),
        ({"check_in_id": str(UUID(ID)).upper()}, {"id": UUID(ID)}),
        ({"check_in_id": "0" * 32}, {"id": LATEST}),
        ({"environment": "prod"}, {"environment": "prod"}),
        ({"environment": ""}, {}),
        ({"environment": None, "duration": None, "monitor_config": None, "release": 5}, {}),
        ({"duration": 0}, {"duration": timedelta()}),
        ({"duration": 1.5}, {"duration": timedelta(seconds=1.5)}),
        ({"duration": 2e6}, {"duration": timedelta(seconds=2_000_000)}),
        ({"monitor_config": HOURLY}, {"config": HOURLY}),
        ({"monitor_config": {}}, {}),
    ],
)
def test_check_in_is_read(fields: dict[str, Any], read: dict[str, Any]) -> None:
    expected = {"slug": "job", "signal": Signal.SUCCESS, **read}

    assert read_check_in({**OK, **fields}) == CheckIn(**expected)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"duration": -1}, DURATION),
        ({"duration": 1e300}, DURATION),
        ({"duration": float("nan")}, DURATION),
        ({"duration": 2_147_484}, DURATION),
        ({"duration": 10**400}, DURATION),
        ({"duration": "1"}, DURATION),
        ({"duration": True}, DURATION),
        ({"status": "missed"}, "the status is none of in_progress, ok and error"),
        ({"status": "OK"}, "the status is none of in_progress, ok and error"),
        ({"status": None}, "failed to deserialize check in"),
        ({"status": []}, "failed to deserialize check in"),
        ({"monitor_slug": None}, "failed to deserialize check in"),
        ({"monitor_slug": ""}, "the monitor slug is empty or invalid"),
        ({"monitor_slug": "漢字"}, "the monitor slug is empty or invalid"),
        ({"check_in_id": "x"}, "check_in_id is not a UUID"),
        ({"check_in_id": 5}, "check_in_id is not a UUID"),
        ({"environment": "a/b"}, ENVIRONMENT),
        ({"environment": "a\nb"}, ENVIRONMENT),
        ({"environment": "a" * 65}, ENVIRONMENT),
        ({"environment": "\ud800"}, ENVIRONMENT),
        ({"environment": "\0"}, ENVIRONMENT),
        ({"environment": 5}, ENVIRONMENT),
        ({"monitor_config": 5}, CONFIG),
        ({"monitor_config": {"schedule": "0 * * * *"}}, CONFIG),
        (
            {"monitor_config": {**HOURLY, "max_runtime": 1.5}},
            CONFIG,
        ),
        ({"monitor_config": {**HOURLY, "max_runtime": -1}}, CONFIG),
        ({"monitor_config": {**HOURLY, "timezone": 5}}, CONFIG),
        (
            {"monitor_config": {"schedule": {"type": "interval", "value": 1, "unit": ["day"]}}},
            CONFIG,
        ),
    ],
)
def test_check_in_that_cannot_be_taken_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadCheckIn, match=f"^{problem}$"):
        read_check_in({**OK, **fields})


@pytest.mark.parametrize("found", [None, [], 5, "x"])
def test_check_in_is_an_object(found: Any) -> None:
    with pytest.raises(BadCheckIn):
        read_check_in(found)


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        (("crontab", " */5  * * * mon "), {"type": "cron", "schedule": "*/5 * * * mon"}),
        (("crontab", "@annually"), {"type": "cron", "schedule": "@yearly"}),
        (("crontab", "@daily"), {"type": "cron", "schedule": "@daily"}),
        *(
            (
                ("interval", value, unit),
                {"type": "interval", "interval": seconds, "anchor": "start"},
            )
            for value, unit, seconds in (
                (1, "minute", 60),
                (2, "hour", 7200),
                (3, "day", 259_200),
                (1, "week", 604_800),
                (1, "month", 2_678_400),
                (1, "year", 31_536_000),
            )
        ),
    ],
)
def test_schedules_of_all_kinds_are_kept(
    schedule: tuple[Any, ...], settings: dict[str, Any]
) -> None:
    named = dict(zip(("type", "value", "unit"), schedule, strict=False))

    assert settings_of({"schedule": named}) == settings


def test_config_counts_in_minutes() -> None:
    config = {
        **HOURLY,
        "checkin_margin": 5,
        "max_runtime": 10,
        "timezone": "Europe/Paris",
        "failure_issue_threshold": 2,
        "recovery_threshold": 3,
        "owner": "team:1",
    }

    assert settings_of(config) == {
        "type": "cron",
        "schedule": "0 * * * *",
        "start_grace": 300,
        "max_runtime": 600,
        "timezone": "Europe/Paris",
        "failure_threshold": 2,
        "recovery_threshold": 3,
    }


def test_config_leaves_out_what_it_does_not_say() -> None:
    config = {**HOURLY, "max_runtime": None, "timezone": "", "checkin_margin": 0}

    assert settings_of(config) == {"type": "cron", "schedule": "0 * * * *", "start_grace": 60}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"schedule": {"type": "crontab", "value": "0,1" * 200}}, "schedule: "),
        ({"schedule": {"type": "crontab", "value": "\0"}}, "schedule: "),
        ({"schedule": {"type": "interval", "value": 0, "unit": "day"}}, "schedule: "),
        ({"schedule": {"type": "interval", "value": 2, "unit": "year"}}, "schedule: "),
        ({"schedule": {"type": "interval", "value": 10**40, "unit": "day"}}, "schedule: "),
        ({**HOURLY, "timezone": "x" * 65}, "timezone: "),
        ({**HOURLY, "max_runtime": 0}, "max_runtime: "),
        ({**HOURLY, "max_runtime": 10**12}, "max_runtime: "),
        ({**HOURLY, "checkin_margin": 40_321}, "checkin_margin: "),
        ({**HOURLY, "failure_issue_threshold": 721}, "failure_issue_threshold: "),
        ({**HOURLY, "recovery_threshold": 0}, "recovery_threshold: "),
    ],
)
def test_impossible_config_says_what_is_possible(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfig, match=f"^{problem}"):
        settings_of(config)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://abc@sentry.io/42", ("abc", "42")),
        ("http://abc:secret@127.0.0.1:8000/prefix/42", ("abc", "42")),
        ("https://sentry.io/42", None),
        ("ftp://abc@sentry.io/42", None),
        ("http://[@/42", None),
        ("", None),
        (5, None),
    ],
)
def test_dsn_names_a_key_and_a_project(text: Any, read: tuple[str, str] | None) -> None:
    assert read_dsn(text) == read
