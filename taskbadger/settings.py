"""Every setting of the server, typed, with its default and its meaning."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields

from taskbadger.errors import SettingsError

PREFIX = "TASKBADGER_"
SECRET_KEY_BYTES = 32
SECRET_KEY_FILE = Path("instance/secret_key")
"""Where ``make serve`` keeps a key that it made; read when none is set."""
WELL_KNOWN_SECRETS = frozenset({"changeme", "change-me", "secret", "dev", "development", "test"})

# Read by the official SDK and its CLI, so never a setting of the server.
SDK_VARIABLES = frozenset({"HOST", "ORG", "PROJECT", "API_KEY", "HTTP_TIMEOUT", "TASK_ID"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings: each from ``TASKBADGER_<NAME>``, or the file in ``TASKBADGER_<NAME>_FILE``."""

    SECRET_KEY: str
    """Signs sessions and tokens; at least 32 characters. Required, or in SECRET_KEY_FILE."""

    DATABASE_URL: str = "sqlite:///instance/taskbadger.db"
    """``sqlite:///path`` (relative to the working directory) or ``postgresql://…``."""

    BASE_URL: str = ""
    """What links start with, as ``https://tasks.example.com``; empty: the request's own address,
    and in messages of the background worker the one that ``serve`` listens on."""

    SQLITE_SYNCHRONOUS: str = "FULL"
    """``FULL``, or ``NORMAL``: faster, but a power cut may lose the last acknowledged writes."""

    DATABASE_TIMEOUT: float = 10.0
    """Seconds that a request waits for a database that is locked or away; then it answers 503."""

    DATABASE_POOL_OPTIONS: bool = True
    """Send PostgreSQL its timeouts at connect; turn off behind PgBouncer, which refuses them."""

    THREADS: int = 4
    """How many requests one web worker answers at once; ``serve --threads`` sets it."""

    MAX_BODY_BYTES: int = 1024 * 1024
    """The largest request body, in bytes; a larger one is answered 413."""

    RATE_LIMIT: int = 0
    """Requests that one API key may make per minute; 0 for no limit."""

    PROXY_HOPS: int = 0
    """How many reverse proxies in front set ``X-Forwarded-*``; 0 ignores these headers."""

    LOG_LEVEL: str = "INFO"
    """The least level that is logged: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``."""

    LOG_REQUESTS: bool = True
    """Log one line per request (at level ``INFO``)."""

    LOG_FORMAT: str = "json"
    """``json``, or ``console`` for people."""

    SMTP_URL: str = ""
    """The mail server: ``smtp://user:password@host:port``, ``smtps://…``, ``?starttls=true``."""

    MAIL_FROM: str = "Task Badger <taskbadger@localhost>"
    """The sender of e-mails."""

    BROKER_URL: str = ""
    """A Celery broker (``redis://…`` or ``amqp://…``); empty: the embedded background worker."""

    WORKER_THREADS: int = 8
    """How many deliveries one background worker sends at once."""

    WORKER_POLL_SECONDS: float = 1.0
    """How long the background worker sleeps when there is nothing to do, in seconds."""

    WORKER_LEASE_SECONDS: float = 60.0
    """After how long a delivery whose worker died is sent again; an attempt takes 20 s at most."""

    OUTBOUND_ALLOW: tuple[str, ...] = ()
    """Networks that webhooks may reach although they are special, as ``127.0.0.0/8,fd00::/8``."""

    APPRISE_SCHEMES: tuple[str, ...] = ()
    """URL schemes that the Apprise channel may use, as ``matrix,mqtts``; empty: no Apprise."""

    SESSION_HOURS: int = 24 * 14
    """How long a dashboard login lasts without a visit, in hours."""

    OIDC_ISSUER: str = ""
    """OpenID Connect: the issuer's URL; empty: no single sign-on."""

    OIDC_CLIENT_ID: str = ""
    """OpenID Connect: the client id."""

    OIDC_CLIENT_SECRET: str = ""
    """OpenID Connect: the client secret."""

    PLUGINS: bool = True
    """Load installed plug-ins (entry points in the group ``taskbadger.plugins``)."""

    TESTING: bool = False
    """Let unexpected errors through to the test that caused them."""

    NOT_FROM_ENVIRONMENT: ClassVar[frozenset[str]] = frozenset({"TESTING"})

    def __post_init__(self) -> None:
        """Refuse values that no server should run with; raises SettingsError."""
        _check_secret(self.SECRET_KEY)
        _check_choice("LOG_LEVEL", self.LOG_LEVEL, ("DEBUG", "INFO", "WARNING", "ERROR"))
        _check_choice("LOG_FORMAT", self.LOG_FORMAT, ("json", "console"))
        _check_choice("SQLITE_SYNCHRONOUS", self.SQLITE_SYNCHRONOUS, ("FULL", "NORMAL"))
        _check_database(self.DATABASE_URL)
        _check_base_url(self.BASE_URL)
        for name in ("THREADS", "MAX_BODY_BYTES", "WORKER_THREADS", "SESSION_HOURS"):
            _check_least(name, getattr(self, name), 1)
        for name in ("RATE_LIMIT", "PROXY_HOPS"):
            _check_least(name, getattr(self, name), 0)
        for name in ("DATABASE_TIMEOUT", "WORKER_POLL_SECONDS"):
            _check_least(name, getattr(self, name), 0.05)
        _check_least("WORKER_LEASE_SECONDS", self.WORKER_LEASE_SECONDS, 1)
        for network in self.OUTBOUND_ALLOW:
            _check_network(network)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from the environment; raises SettingsError naming the variable."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name in cls.NOT_FROM_ENVIRONMENT:
                continue
            text = _read(environ, PREFIX + field.name)
            if text is not None:
                values[field.name] = _convert(PREFIX + field.name, text, field.type)
        if "SECRET_KEY" not in values and SECRET_KEY_FILE.is_file():
            values["SECRET_KEY"] = _read_file("TASKBADGER_SECRET_KEY", SECRET_KEY_FILE)
        if "SECRET_KEY" not in values:
            raise SettingsError(
                "TASKBADGER_SECRET_KEY is not set. Make one with: "
                'python3 -c "import secrets; print(secrets.token_hex(32))"'
            )
        return cls(**values)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the ``TASKBADGER_…`` variables that mean nothing to the server or the SDK, sorted."""
    known = {field.name for field in dataclasses.fields(Settings)} - Settings.NOT_FROM_ENVIRONMENT
    known |= {f"{name}_FILE" for name in known} | SDK_VARIABLES
    return sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known
    )


def _read(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(f"{name}_FILE")
    if path is None:
        return environ.get(name)
    if name in environ:
        raise SettingsError(f"{name} and {name}_FILE are both set; set one of them")
    return _read_file(f"{name}_FILE", Path(path))


def _read_file(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: cannot read {path}: {error}") from error


_PARSERS: dict[type, fields.Field[Any]] = {
    bool: fields.Boolean(),
    int: fields.Integer(),
    float: fields.Float(),
}


def _convert(name: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text.strip()
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return _PARSERS[kind].deserialize(text)
    except ValidationError as error:
        raise SettingsError(f"{name}: {text!r} is not {kind.__name__}") from error


def _check_secret(secret: str) -> None:
    if len(secret) < SECRET_KEY_BYTES or secret.lower() in WELL_KNOWN_SECRETS:
        raise SettingsError("TASKBADGER_SECRET_KEY must have at least 32 characters")
    if len(set(secret)) < 8:
        raise SettingsError("TASKBADGER_SECRET_KEY is too easy to guess: make a random one")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"TASKBADGER_{name}: {value!r} is not one of {', '.join(choices)}")


def _check_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise SettingsError(f"TASKBADGER_{name} must be at least {least}")


def _check_database(url: str) -> None:
    if not url.startswith(("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")):
        raise SettingsError("TASKBADGER_DATABASE_URL must start with sqlite:/// or postgresql://")


def _check_base_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise SettingsError(f"TASKBADGER_BASE_URL: {url!r} does not start with http:// or https://")


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise SettingsError(f"TASKBADGER_OUTBOUND_ALLOW: {error}") from error
