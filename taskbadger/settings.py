"""Every setting of the server, typed, with its default and its meaning."""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from marshmallow import ValidationError, fields
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from taskbadger.domain.mail import InvalidAddress, parse_smtp_url, read_mailbox
from taskbadger.domain.retention import MAX_RETENTION_DAYS
from taskbadger.errors import SettingsError

PREFIX = "TASKBADGER_"
SECRET_KEY_BYTES = 32
SECRET_KEY_FILE = Path("instance/secret_key")
"""Where ``make serve`` keeps a key that it made; read when none is set."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Maximum size of a batch's body, unless MAX_BODY_BYTES is more."""
_RANGES: dict[str, tuple[float, float]] = {
    "DATABASE_TIMEOUT": (0.05, 3600),
    "THREADS": (1, 1000),
    "MAX_BODY_BYTES": (1, 2**30),
    "RATE_LIMIT": (0, 10**9),
    "PING_LIMIT": (0, 10**9),
    "PROXY_HOPS": (0, 10),
    "WORKER_THREADS": (1, 1000),
    "WORKER_POLL_SECONDS": (0.05, 3600),
    "WORKER_LEASE_SECONDS": (1, 86_400),
    "SESSION_HOURS": (1, 24 * 3650),
    "METRICS_NAMES": (0, 100_000),
    "DEFAULT_RETENTION_DAYS": (0, MAX_RETENTION_DAYS),
    "AUDIT_RETENTION_DAYS": (0, MAX_RETENTION_DAYS),
}
"""The least and the most of each setting that is a number."""
WELL_KNOWN_SECRETS = frozenset({"changeme", "change-me", "secret", "dev", "development", "test"})

# Read by the official SDK and its CLI, so never a setting of the server.
SDK_VARIABLES = frozenset({"HOST", "ORG", "PROJECT", "API_KEY", "HTTP_TIMEOUT", "TASK_ID"})

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What an Authorization header may contain (RFC 6750)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings: each from ``TASKBADGER_<NAME>``, or the file in ``TASKBADGER_<NAME>_FILE``."""

    SECRET_KEY: str
    """Signs sessions and tokens; at least 32 characters. Required, or in SECRET_KEY_FILE."""

    SECRET_KEY_OLD: tuple[str, ...] = ()
    """Earlier secret keys, the oldest first: what they have signed is still accepted."""

    DATABASE_URL: str = "sqlite:///instance/taskbadger.db"
    """``sqlite:///path`` (relative to the working directory) or ``postgresql://…``."""

    BASE_URL: str = ""
    """Base of all links, e.g. ``https://tasks.example.com``. Empty: the address of the request or,
    in messages from the background worker, the one that ``serve`` listens on."""

    SQLITE_SYNCHRONOUS: str = "FULL"
    """``FULL``; or ``NORMAL``, which is faster but may lose the last writes in a power cut."""

    DATABASE_TIMEOUT: float = 10.0
    """Seconds from its arrival that a request waits for a database that does not answer."""

    DATABASE_SESSION_FEATURES: bool = True
    """Use what outlives a transaction of PostgreSQL; turn off behind PgBouncer."""

    THREADS: int = 4
    """Threads per web worker; ``serve --threads`` overrides it."""

    MAX_BODY_BYTES: int = 1024 * 1024
    """Maximum size of a request body, in bytes; a larger one gets a 413."""

    RATE_LIMIT: int = 0
    """Requests per minute and API key; 0 for no limit."""

    PING_LIMIT: int = 60
    """Pings per minute and monitor; 0 for no limit."""

    PROXY_HOPS: int = 0
    """Number of reverse proxies in front that set ``X-Forwarded-*``; 0 ignores these headers."""

    LOG_LEVEL: str = "INFO"
    """Minimum log level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``."""

    LOG_REQUESTS: bool = True
    """Log one line per request (at level ``INFO``)."""

    LOG_FORMAT: str = "auto"
    """``json``, ``console`` for people, or ``auto``: ``console`` on a terminal, else ``json``."""

    SMTP_URL: str = ""
    """Mail server: ``smtp://user:password@host:port``, ``smtps://…``, ``?starttls=true``."""

    MAIL_FROM: str = "Task Badger <taskbadger@localhost>"
    """Sender of e-mails: ``address`` or ``Name <address>``."""

    BROKER_URL: str = ""
    """A Celery broker (``redis://…`` or ``amqp://…``). Empty: the embedded background worker."""

    WORKER_THREADS: int = 8
    """Number of deliveries that one background worker sends at once."""

    WORKER_POLL_SECONDS: float = 1.0
    """Seconds that the background worker sleeps when there is nothing to do."""

    WORKER_LEASE_SECONDS: float = 60.0
    """Seconds until a delivery whose worker crashed is retried; an attempt takes at most 20 s."""

    HEARTBEAT_URL: str = ""
    """An address that the background worker asks for every minute, so that a watchdog elsewhere
    notices when this server is down. Empty: none."""

    OUTBOUND_ALLOW: tuple[str, ...] = ()
    """Private or reserved networks that webhooks may reach, e.g. ``127.0.0.0/8,fd00::/8``."""

    APPRISE_SCHEMES: tuple[str, ...] = ()
    """URL schemes that Apprise channels may use, e.g. ``matrix,mqtts``. Empty: no Apprise."""

    SESSION_HOURS: int = 24 * 14
    """Hours without a visit after which a dashboard session ends."""

    DEFAULT_RETENTION_DAYS: int = 0
    """Days for which new projects keep tasks; 0 for ever. Those that exist stay as they are."""

    AUDIT_RETENTION_DAYS: int = 400
    """Days for which entries of the audit log are kept; 0 for ever."""

    OIDC_ISSUER: str = ""
    """OpenID Connect: issuer URL. Empty: no single sign-on."""

    OIDC_CLIENT_ID: str = ""
    """OpenID Connect: client ID."""

    OIDC_CLIENT_SECRET: str = ""
    """OpenID Connect: client secret."""

    METRICS_TOKEN: str = ""
    """Bearer token that opens all of ``/metrics``; at least 32 characters. Empty: API keys only."""

    METRICS_NAMES: int = 200
    """Names of tasks, and queues, of one organization that have series of their own."""

    SENTRY_DSN: str = ""
    """Where errors are reported: a DSN of Sentry. Empty: nowhere."""

    OTLP_ENDPOINT: str = ""
    """Where traces are sent by OTLP over HTTP, e.g. ``http://localhost:4318``. Empty: nowhere."""

    PLUGINS: bool = True
    """Load installed plug-ins (entry points in the group ``taskbadger.plugins``)."""

    TESTING: bool = False
    """Let unexpected errors through to the test that caused them."""

    NOT_FROM_ENVIRONMENT: ClassVar[frozenset[str]] = frozenset({"TESTING"})

    def __post_init__(self) -> None:
        """Refuse values that no server should run with; raises SettingsError."""
        for name, secret in (
            ("SECRET_KEY", self.SECRET_KEY),
            *(("SECRET_KEY_OLD", old) for old in self.SECRET_KEY_OLD),
        ):
            _check_secret(name, secret)
        _check_choice("LOG_LEVEL", self.LOG_LEVEL, ("DEBUG", "INFO", "WARNING", "ERROR"))
        _check_choice("LOG_FORMAT", self.LOG_FORMAT, ("auto", "json", "console"))
        _check_choice("SQLITE_SYNCHRONOUS", self.SQLITE_SYNCHRONOUS, ("FULL", "NORMAL"))
        _check_database(self.DATABASE_URL)
        _check_base_url(self.BASE_URL)
        _check_http("HEARTBEAT_URL", self.HEARTBEAT_URL)
        for name, (minimum, maximum) in _RANGES.items():
            _check_range(name, getattr(self, name), minimum, maximum)
        for network in self.OUTBOUND_ALLOW:
            _check_network(network)
        _check_mail(self.SMTP_URL, self.MAIL_FROM)
        _check_broker(self.BROKER_URL)
        _check_single_sign_on(self)
        _check_token("METRICS_TOKEN", self.METRICS_TOKEN)
        _check_dsn(self.SENTRY_DSN)
        _check_endpoint(self.OTLP_ENDPOINT)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """All keys that may have signed something, the current one last."""
        return (*self.SECRET_KEY_OLD, self.SECRET_KEY)

    @property
    def default_retention(self) -> int | None:
        """For how many days new projects keep tasks; None for ever."""
        return self.DEFAULT_RETENTION_DAYS or None

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
                "TASKBADGER_SECRET_KEY is not set. Generate one with: "
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
        raise SettingsError(f"set either {name} or {name}_FILE, not both")
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
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


def _convert(name: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text.strip()
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return _PARSERS[kind].deserialize(text)
    except ValidationError as error:
        raise SettingsError(f"{name}: {text!r} is not {_WORDS[kind]}") from error


def _check_secret(name: str, secret: str) -> None:
    if len(secret) < SECRET_KEY_BYTES or secret.lower() in WELL_KNOWN_SECRETS:
        raise SettingsError(f"TASKBADGER_{name} must have at least 32 characters")
    if len(set(secret)) < 8:
        raise SettingsError(f"TASKBADGER_{name} is too easy to guess; generate a random one")


def _check_token(name: str, token: str) -> None:
    if not token:
        return
    _check_secret(name, token)
    if not _TOKEN.fullmatch(token):
        raise SettingsError(f"TASKBADGER_{name} may only have letters, digits and -._~+/=")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"TASKBADGER_{name}: {value!r} is not one of {', '.join(choices)}")


def _check_range(name: str, value: float, minimum: float, maximum: float) -> None:
    if value < minimum:
        raise SettingsError(f"TASKBADGER_{name} must be at least {minimum}")
    if value > maximum:
        raise SettingsError(f"TASKBADGER_{name} must be at most {maximum}")


def _check_database(url: str) -> None:
    if not url.startswith(("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")):
        raise SettingsError("TASKBADGER_DATABASE_URL must start with sqlite:/// or postgresql://")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise SettingsError("TASKBADGER_DATABASE_URL is not a valid URL") from error
    if url.startswith("sqlite") and (parsed.database or ":memory:") == ":memory:":
        raise SettingsError("TASKBADGER_DATABASE_URL must name a file, as in sqlite:///tasks.db")


def _check_base_url(url: str) -> None:
    name, parts = "TASKBADGER_BASE_URL", _split_url("TASKBADGER_BASE_URL", url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingsError(f"{name}: {url!r} does not start with http:// or https://")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError(f"{name} must have no user, query or fragment")


def _split_url(name: str, url: str) -> SplitResult:
    """Split a URL; raises SettingsError, without the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"{name} is not a valid URL") from error
    return parts


def _check_mail(smtp_url: str, sender: str) -> None:
    if smtp_url:
        parse_smtp_url(smtp_url)
    try:
        read_mailbox(sender)
    except InvalidAddress as error:
        raise SettingsError(f"TASKBADGER_MAIL_FROM: {sender!r}: {error}") from error


def _check_broker(url: str) -> None:
    parts = _split_url("TASKBADGER_BROKER_URL", url)
    if url and not (parts.scheme and "://" in url):
        raise SettingsError(
            "TASKBADGER_BROKER_URL must be a URL, as in redis://host:6379/0 or amqp://host"
        )


def _check_single_sign_on(settings: Settings) -> None:
    if not settings.OIDC_ISSUER:
        return
    _check_http("OIDC_ISSUER", settings.OIDC_ISSUER)
    if not settings.OIDC_CLIENT_ID:
        raise SettingsError("TASKBADGER_OIDC_ISSUER needs TASKBADGER_OIDC_CLIENT_ID")


def _check_http(name: str, url: str) -> None:
    parts = _split_url(f"TASKBADGER_{name}", url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingsError(f"TASKBADGER_{name} must start with http:// or https://")


def _check_dsn(dsn: str) -> None:
    parts = _split_url("TASKBADGER_SENTRY_DSN", dsn)
    project = parts.path.rpartition("/")[2]
    is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.username
    if dsn and not (is_whole and project.isascii() and project.isdigit()):
        raise SettingsError(
            "TASKBADGER_SENTRY_DSN must be a DSN, as in https://KEY@sentry.example.com/1"
        )


def _check_endpoint(url: str) -> None:
    _check_http("OTLP_ENDPOINT", url)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise SettingsError("TASKBADGER_OTLP_ENDPOINT must have no query or fragment")


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise SettingsError(f"TASKBADGER_OUTBOUND_ALLOW: {error}") from error
