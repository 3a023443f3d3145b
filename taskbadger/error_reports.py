"""Reports of errors to Sentry, or what takes the same events: TASKBADGER_SENTRY_DSN.

It needs sentry-sdk, the extra ``sentry``.

An event has the error, its stack and the route. What people and jobs send is not in it: no body,
header, cookie, query, path, variable, address or user, and texts are masked.
"""

import dataclasses
import logging
import re
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from taskbadger.domain.keys import parse_token
from taskbadger.domain.secrets import MASK, masked_text
from taskbadger.errors import SettingsError
from taskbadger.settings import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event

_KEPT = frozenset(
    (
        *("event_id", "timestamp", "platform", "sdk", "release", "environment", "server_name"),
        *("level", "logger", "fingerprint"),
    )
)
"""What stays of an event as it is."""
_NAMES = ("route", "task")
"""Names of transactions that are not made of a request's path."""
_CONTEXTS = ("runtime", "trace")
_EXTRA = ("attempt", "code", "delivery", "error_class", "reason", "request_id", "status", "step")
"""What may stay of what a log line adds: nothing that comes from outside."""

_URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)[^\s\"'<>]+", re.IGNORECASE)
_MAIL_ADDRESS = re.compile(r"[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_KEY = re.compile(r"\b[0-9a-f]{12}\.[\w-]{32}")
"""A key as ``domain/keys.py`` makes it."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_SIGNING_SECRET = re.compile(r"\bwhsec_[\w+/=-]+")
_ROW = re.compile(r"\b(DETAIL|CONTEXT):[^\n]*")
"""PostgreSQL repeats the values of a row that breaks a rule."""


def init_error_reports(settings: Settings) -> None:
    """Report errors of this process, if the settings say where; raises SettingsError."""
    if not settings.SENTRY_DSN:
        return
    if find_spec("sentry_sdk") is None:
        raise SettingsError(
            "TASKBADGER_SENTRY_DSN needs sentry-sdk: pip install 'taskbadger-server[sentry]'"
        )
    # Without the setting, it would only take time and memory.
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations import Integration, atexit, dedupe, excepthook  # noqa: PLC0415
    from sentry_sdk.integrations import logging as records  # noqa: PLC0415
    from sentry_sdk.integrations.flask import FlaskIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.threading import ThreadingIntegration  # noqa: PLC0415

    integrations: list[Integration] = [
        FlaskIntegration(transaction_style="url"),
        records.LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
        ThreadingIntegration(),
        atexit.AtexitIntegration(callback=lambda _pending, _timeout: None),
        dedupe.DedupeIntegration(),
        excepthook.ExcepthookIntegration(),
    ]
    if settings.BROKER_URL and find_spec("celery") is not None:
        from sentry_sdk.integrations.celery import CeleryIntegration  # noqa: PLC0415

        integrations.append(CeleryIntegration(propagate_traces=False))
    records.ignore_logger("opentelemetry.*")
    clean = Cleaner(settings).clean
    sentry_sdk.init(
        settings.SENTRY_DSN,
        release=f"taskbadger-server@{version('taskbadger-server')}",
        integrations=integrations,
        default_integrations=False,
        auto_enabling_integrations=False,
        before_send=lambda event, _hint: clean(event),
        before_send_transaction=lambda _event, _hint: None,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        enable_backpressure_handling=False,
        trace_propagation_targets=[],
    )


class Cleaner:
    """Takes everything out of events that nobody outside may read."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = sorted(_secrets_of(settings), key=len, reverse=True)

    def clean(self, event: "Event") -> "Event":
        """Return what may be sent of an event."""
        found: dict[str, Any] = {**event}
        clean: dict[str, Any] = {name: found[name] for name in _KEPT if name in found}
        if (found.get("transaction_info") or {}).get("source") in _NAMES:
            clean["transaction"] = found.get("transaction")
        contexts = found.get("contexts") or {}
        clean["contexts"] = {name: contexts[name] for name in _CONTEXTS if name in contexts}
        extra = found.get("extra") or {}
        clean["extra"] = {name: self._of(extra[name]) for name in _EXTRA if name in extra}
        if "logentry" in found:
            clean["logentry"] = self._entry(found["logentry"])
        if "exception" in found:
            values = (found["exception"] or {}).get("values") or ()
            clean["exception"] = {"values": [self._exception(value) for value in values]}
        method = (found.get("request") or {}).get("method")
        if method:
            clean["request"] = {"method": method}
        return clean  # type: ignore[return-value]  # a TypedDict, whose keys are known

    def _entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a log line; its values are in the text only, which is masked."""
        texts = {name: entry[name] for name in ("message", "formatted") if entry.get(name)}
        return {name: self.text(text) for name, text in texts.items()}

    def _exception(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return an exception with its stack, which has no variables."""
        mechanism = value.get("mechanism") or {}
        kept: dict[str, Any] = {
            name: value[name] for name in ("type", "module", "stacktrace") if name in value
        }
        kept["value"] = self.text(str(value.get("value") or ""))
        kept["mechanism"] = {
            name: item
            for name, item in mechanism.items()
            if isinstance(item, bool | int) or name in ("type", "source")
        }
        return kept

    def _of(self, value: Any) -> Any:
        return value if isinstance(value, bool | int | float | None) else self.text(str(value))

    def text(self, text: str) -> str:
        """Return a text without secrets, addresses of people, and what follows a URL's host."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _ROW.sub(rf"\1: {MASK}", text)
        text = _URL.sub(_host_only, text)
        text = _MAIL_ADDRESS.sub(MASK, text)
        text = _SIGNING_SECRET.sub(MASK, _KEY.sub(MASK, text))
        text = _BASE64.sub(_unless_key, text)
        return masked_text(text)


def _secrets_of(settings: Settings) -> set[str]:
    """Return the values of settings that are secret, and the passwords in the others."""
    found = set(settings.secret_keys)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not isinstance(value, str):
            continue
        if field.name.endswith(("_SECRET", "_TOKEN")):
            found.add(value)
        elif "://" in value:
            # Settings are valid URLs by now.
            password = urlsplit(value).password or ""
            found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= 4}


def _host_only(match: re.Match[str]) -> str:
    """Return a URL up to its host: webhooks have their secrets in the path."""
    rest = match[0][len(match[1]) :]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{match[1]}{host}" + (f"/{MASK}" if len(rest) > len(host) else "")


def _unless_key(match: re.Match[str]) -> str:
    """Return what looks like base64, unless it is a key as users see it."""
    token = parse_token(match[0])
    return MASK if token is not None and token.organization is not None else match[0]
