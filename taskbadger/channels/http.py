"""What channels over HTTP share: fields of their configs, the request and its outcome."""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate

from taskbadger.channels import Channel, Config, DeliveryError, Message, SendContext
from taskbadger.outbound import PORTS, URL_LENGTH, Answer, OutboundError, parse_url

MAX_RETRY_AFTER = 24 * 3600
PERMANENT_ERRORS = frozenset({"refused_url", "refused_address"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class Request:
    """The POST request that delivers a message."""

    url: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def json_request(url: str, payload: Any, headers: dict[str, str] | None = None) -> Request:
    """Return the request that posts *payload* as JSON."""
    return Request(
        url, dump(payload), {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    )


def dump(payload: Any) -> bytes:
    """Return JSON that every parser reads: infinite numbers and NaN become null."""
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(payload), ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def check_url(text: str) -> None:
    """Check a URL without resolving its host; raises ValidationError."""
    try:
        parse_url(text)
    except OutboundError as error:
        raise ValidationError(error.detail) from error


def url_field(**options: Any) -> fields.String:
    """Return a field for an http or https URL."""
    return fields.String(validate=[validate.Length(1, URL_LENGTH), check_url], **options)


def check_header_value(text: str) -> None:
    """Check that *text* is a valid value of a header; raises ValidationError."""
    if not _HEADER_VALUE.fullmatch(text):
        raise ValidationError("Only printable ASCII characters are allowed.")


def check_header_name(text: str) -> None:
    """Check that *text* is a valid name of a header; raises ValidationError."""
    if not _HEADER_NAME.fullmatch(text):
        raise ValidationError("Not a valid header name.")


def destination_key(kind: str, url: str) -> str:
    """Return a key of a URL: its host, and a digest, because the path may be secret.

    Each URL has its own: on a shared host (chat services) a dead URL must not block the others.
    """
    parsed = parse_url(url)
    host = parsed.raw_host.decode("ascii")
    port = parsed.port or PORTS[parsed.scheme]
    return f"{kind}:{host[:200]}:{port}/{hashlib.sha256(url.encode()).hexdigest()[:12]}"


class HttpChannel(Channel):
    """A channel that delivers with one POST, through the guarded HTTP client."""

    permanent_statuses: ClassVar[frozenset[int]] = frozenset({410})
    """Statuses after which another attempt is useless, according to the service's documents."""

    def url(self, config: Config) -> str:
        """Return the URL to which messages are posted."""
        url: str = config["url"]
        return url

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request that delivers *message*."""
        raise NotImplementedError

    def check(self, config: Config, context: SendContext) -> None:
        """Reject at once what the guarded client would reject before it resolves the name."""
        try:
            context.http.check(self.url(config))
        except OutboundError as error:
            name = "url" if "url" in self.config_schema().fields else "server"
            raise ValidationError({name: [error.detail]}) from error

    def destination(self, config: Config, action_config: Config) -> str:
        """Return a key of the URL."""
        return destination_key(self.kind, self.url(config))

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Post the message; raises DeliveryError for any status but 2xx."""
        request = self.request(message, config, context)
        try:
            answer = context.http.post(
                request.url, content=request.content, headers=request.headers
            )
        except OutboundError as error:
            raise DeliveryError(
                error.detail,
                error_class=error.error_class,
                permanent=error.error_class in PERMANENT_ERRORS,
            ) from error
        if not 200 <= answer.status <= 299:
            raise self.failure(answer, context.clock())

    def failure(self, answer: Answer, now: datetime) -> DeliveryError:
        """Return the error for a response that is not a 2xx."""
        return DeliveryError(
            _explain(answer.status),
            error_class="http_status",
            permanent=answer.status in self.permanent_statuses,
            retry_after=self.retry_after(answer, now),
            status=answer.status,
        )

    def retry_after(self, answer: Answer, now: datetime) -> float | None:
        """Return the seconds that the receiver asked us to wait, at most a day."""
        return read_retry_after(answer.headers.get("retry-after"), now)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After``; None if it is missing or malformed."""
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _explain(status: int) -> str:
    if 300 <= status <= 399:
        return f"The receiver answered {status}: redirects are not followed."
    if status == 410:
        return "The receiver answered 410: it no longer accepts messages."
    return f"The receiver answered {status}."
