"""Settings: read from the environment, typed, and refused with the variable's name."""

from pathlib import Path
from typing import Any

import pytest

from taskbadger.errors import SettingsError
from taskbadger.settings import Settings, unknown_variables

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder that holds no key of ``make serve``."""
    monkeypatch.chdir(tmp_path)


def read(**variables: str) -> Settings:
    named = {f"TASKBADGER_{name}": value for name, value in variables.items()}
    return Settings.from_env({"TASKBADGER_SECRET_KEY": SECRET, **named})


def test_projects_keep_tasks_for_ever_unless_the_operator_says_otherwise() -> None:
    assert read().default_retention is None
    assert read(DEFAULT_RETENTION_DAYS="90").default_retention == 90


def test_only_the_secret_key_is_required() -> None:
    assert read() == Settings(SECRET_KEY=SECRET)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DATABASE_URL", " postgresql://db/tb ", "postgresql://db/tb"),
        ("RATE_LIMIT", "600", 600),
        ("METRICS_TOKEN", SECRET, SECRET),
        ("DATABASE_TIMEOUT", "2.5", 2.5),
        ("LOG_REQUESTS", "false", False),
        ("LOG_REQUESTS", "1", True),
        ("OUTBOUND_ALLOW", "127.0.0.0/8, ::1/128,", ("127.0.0.0/8", "::1/128")),
        ("APPRISE_SCHEMES", "", ()),
        # Kept as text: a server that reads JSON makes numbers of these.
        ("OIDC_CLIENT_SECRET", "1e5", "1e5"),
        ("OIDC_CLIENT_SECRET", "null", "null"),
    ],
)
def test_variables_are_read_by_their_type(name: str, text: str, value: Any) -> None:
    assert getattr(read(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("METRICS_TOKEN", "short", "TASKBADGER_METRICS_TOKEN must have at least 32 characters"),
        (
            "METRICS_TOKEN",
            "a" * 40,
            "TASKBADGER_METRICS_TOKEN is too easy to guess; generate a random one",
        ),
        (
            "METRICS_TOKEN",
            f"{SECRET} {SECRET}",
            "TASKBADGER_METRICS_TOKEN may only have letters, digits and -._~+/=",
        ),
        ("METRICS_NAMES", "-1", "TASKBADGER_METRICS_NAMES must be at least 0"),
        ("METRICS_NAMES", "100001", "TASKBADGER_METRICS_NAMES must be at most 100000"),
        ("WORKER_POLL_SECONDS", "soon", "TASKBADGER_WORKER_POLL_SECONDS: 'soon' is not a number"),
        ("RATE_LIMIT", "1.5", "TASKBADGER_RATE_LIMIT: '1.5' is not a whole number"),
        ("RATE_LIMIT", "-1", "TASKBADGER_RATE_LIMIT must be at least 0"),
        ("THREADS", "0", "TASKBADGER_THREADS must be at least 1"),
        ("PLUGINS", "maybe", "TASKBADGER_PLUGINS: 'maybe' is not true or false"),
        (
            "LOG_LEVEL",
            "loud",
            "TASKBADGER_LOG_LEVEL: 'loud' is not one of DEBUG, INFO, WARNING, ERROR",
        ),
        (
            "DATABASE_URL",
            "mysql://db/tb",
            "TASKBADGER_DATABASE_URL must start with sqlite:/// or postgresql://",
        ),
        (
            "BASE_URL",
            "tasks.example.com",
            "TASKBADGER_BASE_URL: 'tasks.example.com' does not start with http:// or https://",
        ),
        (
            "OUTBOUND_ALLOW",
            "localhost",
            "TASKBADGER_OUTBOUND_ALLOW: 'localhost' does not appear to be an IPv4 or IPv6 network",
        ),
        ("THREADS", "1001", "TASKBADGER_THREADS must be at most 1000"),
        (
            "DEFAULT_RETENTION_DAYS",
            "-1",
            "TASKBADGER_DEFAULT_RETENTION_DAYS must be at least 0",
        ),
        (
            "DEFAULT_RETENTION_DAYS",
            "3651",
            "TASKBADGER_DEFAULT_RETENTION_DAYS must be at most 3650",
        ),
        (
            "DEFAULT_RETENTION_DAYS",
            "a month",
            "TASKBADGER_DEFAULT_RETENTION_DAYS: 'a month' is not a whole number",
        ),
        ("AUDIT_RETENTION_DAYS", "-1", "TASKBADGER_AUDIT_RETENTION_DAYS must be at least 0"),
        ("AUDIT_RETENTION_DAYS", "3651", "TASKBADGER_AUDIT_RETENTION_DAYS must be at most 3650"),
        ("SESSION_HOURS", "1000000000000", "TASKBADGER_SESSION_HOURS must be at most 87600"),
        ("DATABASE_TIMEOUT", "nan", "TASKBADGER_DATABASE_TIMEOUT: 'nan' is not a number"),
        (
            "DATABASE_URL",
            "postgresql://me:hidden@db:port/tb",
            "TASKBADGER_DATABASE_URL is not a valid URL",
        ),
        (
            "DATABASE_URL",
            "sqlite:///:memory:",
            "TASKBADGER_DATABASE_URL must name a file, as in sqlite:///tasks.db",
        ),
        (
            "DATABASE_URL",
            "sqlite:///",
            "TASKBADGER_DATABASE_URL must name a file, as in sqlite:///tasks.db",
        ),
        ("BASE_URL", "https://x:port", "TASKBADGER_BASE_URL is not a valid URL"),
        ("BASE_URL", "https://[x", "TASKBADGER_BASE_URL is not a valid URL"),
        (
            "BASE_URL",
            "https://:80",
            "TASKBADGER_BASE_URL: 'https://:80' does not start with http:// or https://",
        ),
        (
            "BASE_URL",
            "https://x.example/?a=b",
            "TASKBADGER_BASE_URL must have no user, query or fragment",
        ),
        (
            "BASE_URL",
            "https://me:hidden@x.example",
            "TASKBADGER_BASE_URL must have no user, query or fragment",
        ),
        ("SMTP_URL", "mail:25", "TASKBADGER_SMTP_URL must be smtp://host or smtps://host"),
        ("SMTP_URL", "smtp://me:hidden@x:port", "TASKBADGER_SMTP_URL is not a valid URL"),
        (
            "MAIL_FROM",
            "Ann <ann@example.com",
            "TASKBADGER_MAIL_FROM: 'Ann <ann@example.com': The address is not closed by “>”.",
        ),
        (
            "MAIL_FROM",
            "Ann",
            "TASKBADGER_MAIL_FROM: 'Ann': An email address must have an @-sign.",
        ),
        (
            "BROKER_URL",
            "redis:6379",
            "TASKBADGER_BROKER_URL must be a URL, as in redis://host:6379/0 or amqp://host",
        ),
        ("BROKER_URL", "redis://me:hidden@x:port", "TASKBADGER_BROKER_URL is not a valid URL"),
        *(
            (
                "SENTRY_DSN",
                dsn,
                "TASKBADGER_SENTRY_DSN must be a DSN, as in https://KEY@sentry.example.com/1",
            )
            for dsn in (
                "sentry.example.com",
                "https://sentry.example.com/1",
                "https://hidden@sentry.example.com/",
                "https://hidden@sentry.example.com/project",
                "ftp://hidden@sentry.example.com/1",
            )
        ),
        ("SENTRY_DSN", "https://hidden@x:port/1", "TASKBADGER_SENTRY_DSN is not a valid URL"),
        (
            "OTLP_ENDPOINT",
            "localhost:4318",
            "TASKBADGER_OTLP_ENDPOINT must start with http:// or https://",
        ),
        (
            "OTLP_ENDPOINT",
            "http://localhost:4318/?key=hidden",
            "TASKBADGER_OTLP_ENDPOINT must have no query or fragment",
        ),
        ("OTLP_ENDPOINT", "http://x:port", "TASKBADGER_OTLP_ENDPOINT is not a valid URL"),
        (
            "OIDC_ISSUER",
            "login.example.com",
            "TASKBADGER_OIDC_ISSUER must start with http:// or https://",
        ),
        (
            "OIDC_ISSUER",
            "https://login.example.com",
            "TASKBADGER_OIDC_ISSUER needs TASKBADGER_OIDC_CLIENT_ID",
        ),
        ("SECRET_KEY", "short", "TASKBADGER_SECRET_KEY must have at least 32 characters"),
        ("SECRET_KEY", "changeme", "TASKBADGER_SECRET_KEY must have at least 32 characters"),
        (
            "SECRET_KEY",
            "ab" * 20,
            "TASKBADGER_SECRET_KEY is too easy to guess; generate a random one",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(**{name: text})

    assert str(error.value) == message


@pytest.mark.parametrize(
    "sender",
    [
        "taskbadger@localhost",
        "Doe, Ann <ann@example.com>",
        'Ann "the badger" <ann@example.com>',
        "Größe ✓ <ann@example.com>",
    ],
)
def test_any_name_may_stand_before_the_sender_s_address(sender: str) -> None:
    assert sender == read(MAIL_FROM=sender).MAIL_FROM


def test_missing_secret_key_is_refused_with_the_way_to_make_one() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({})

    assert str(error.value) == (
        "TASKBADGER_SECRET_KEY is not set. Generate one with: "
        'python3 -c "import secrets; print(secrets.token_hex(32))"'
    )


def test_key_of_make_serve_is_used_where_none_is_set(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance/secret_key").write_text("made-by-make-serve-0123456789abcdef\n")

    assert Settings.from_env({}).SECRET_KEY == "made-by-make-serve-0123456789abcdef"
    assert read().SECRET_KEY == SECRET


def test_any_setting_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-docker-secret-0123456789abcdef\n")

    read_settings = Settings.from_env({"TASKBADGER_SECRET_KEY_FILE": str(secret)})

    assert read_settings.SECRET_KEY == "from-a-docker-secret-0123456789abcdef"


def test_a_setting_and_its_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read(SMTP_URL="smtp://mail", SMTP_URL_FILE=str(tmp_path / "none"))

    assert str(error.value) == (
        "set either TASKBADGER_SMTP_URL or TASKBADGER_SMTP_URL_FILE, not both"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none"

    with pytest.raises(SettingsError) as error:
        read(SMTP_URL_FILE=str(missing))

    assert str(error.value).startswith(f"TASKBADGER_SMTP_URL_FILE: cannot read {missing}: ")


def test_variables_of_nobody_are_reported_and_those_of_the_sdk_are_not() -> None:
    environ = {
        "TASKBADGER_SECRT_KEY": "typo",
        "TASKBADGER_TESTING": "1",
        "TASKBADGER_SECRET_KEY_FILE": "/run/secrets/key",
        "TASKBADGER_HOST": "http://127.0.0.1:8000",
        "TASKBADGER_API_KEY": "key",
        "PATH": "/bin",
    }

    assert unknown_variables(environ) == ["TASKBADGER_SECRT_KEY", "TASKBADGER_TESTING"]
