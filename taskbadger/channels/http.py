"""What all channels over HTTP share: fields of their configs, the request, and its outcome."""

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

MOST_RETRY_AFTER = 24 * 3600
PERMANENT_ERRORS = frozenset({"refused_url", "refused_address"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True)
class Request:
    """A POST that a channel wants to be made."""

    url: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def json_request(url: str, payload: Any, headers: dict[str, str] | None = None) -> Request:
    """Return the request that posts *payload* as JSON."""
    return Request(
        url, dump(payload), {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    )


def dump(payload: Any) -> bytes:
    """Write JSON that every parser reads: numbers beyond the range of a double become null."""
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
    """Check a URL without looking its host up; raises ValidationError."""
    try:
        parse_url(text)
    except OutboundError as error:
        raise ValidationError(error.detail) from error


def url_field(**options: Any) -> fields.String:
    """Return the field of an http or https URL."""
    return fields.String(validate=[validate.Length(1, URL_LENGTH), check_url], **options)


def check_header_value(text: str) -> None:
    """Check that *text* can stand in a header; raises ValidationError."""
    if not _HEADER_VALUE.fullmatch(text):
        raise ValidationError("Only printable ASCII characters are allowed.")


def check_header_name(text: str) -> None:
    """Check that *text* is the name of a header; raises ValidationError."""
    if not _HEADER_NAME.fullmatch(text):
        raise ValidationError("This is not the name of a header.")


def endpoint(kind: str, url: str) -> str:
    """Return the key of a URL: its host for people, a digest in place of secret paths.

    One per URL, not per host: on a shared host (chat services) a dead URL must not stop others.
    """
    parsed = parse_url(url)
    host = parsed.raw_host.decode("ascii")
    port = parsed.port or PORTS[parsed.scheme]
    return f"{kind}:{host[:200]}:{port}/{hashlib.sha256(url.encode()).hexdigest()[:12]}"


class HttpChannel(Channel):
    """A channel that delivers with one POST, through the guard."""

    permanent_statuses: ClassVar[frozenset[int]] = frozenset({410})
    """Statuses after which another attempt is useless, by the service's own documents."""

    def url(self, config: Config) -> str:
        """Return the URL that is posted to."""
        url: str = config["url"]
        return url

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request that delivers *message*."""
        raise NotImplementedError

    def check(self, config: Config, context: SendContext) -> None:
        """Refuse at once what the guard would refuse without looking a name up."""
        try:
            context.http.check(self.url(config))
        except OutboundError as error:
            name = "url" if "url" in self.config_schema().fields else "server"
            raise ValidationError({name: [error.detail]}) from error

    def destination(self, config: Config, action_config: Config) -> str:
        """Return a key of the URL."""
        return endpoint(self.kind, self.url(config))

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Post the message; anything but a 2xx is a DeliveryError."""
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
        """Return the error for an answer that is no success."""
        return DeliveryError(
            _explain(answer.status),
            error_class="http_status",
            permanent=answer.status in self.permanent_statuses,
            retry_after=self.retry_after(answer, now),
            status=answer.status,
        )

    def retry_after(self, answer: Answer, now: datetime) -> float | None:
        """Return the seconds that the receiver wants us to wait, at most a day."""
        return read_retry_after(answer.headers.get("retry-after"), now)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a ``Retry-After``: seconds, or a date; None when there is none that makes sense."""
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), MOST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MOST_RETRY_AFTER)


def _explain(status: int) -> str:
    if 300 <= status <= 399:
        return f"The receiver answered {status}: redirects are not followed."
    if status == 410:
        return "The receiver answered 410: it wants no more messages."
    return f"The receiver answered {status}."
