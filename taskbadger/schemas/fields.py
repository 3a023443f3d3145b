"""Fields whose error messages have the codes of docs/contract.md#errors."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import Schema, ValidationError, fields

from taskbadger.domain import ids
from taskbadger.domain.mail import InvalidAddress, read_recipients
from taskbadger.errors import FieldError

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


class Message(str):
    """The text of a validation error, with its code."""

    code: str

    def __new__(cls, code: str, text: str) -> "Message":
        message = super().__new__(cls, text)
        message.code = code
        return message

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # one more than str
        """Keep the code in copies: marshmallow copies fields for each schema."""
        return self.code, str(self)

    def format(self, *args: object, **kwargs: object) -> "Message":
        """Format the text and keep the code. Marshmallow calls this."""
        return Message(self.code, super().format(*args, **kwargs))


def invalid(text: str) -> ValidationError:
    """Return an error with the code ``invalid``."""
    return ValidationError(Message("invalid", text))


def field_errors(messages: Any, path: str = "") -> Iterator[FieldError]:
    """Yield a FieldError for each of marshmallow's nested *messages*; ``attr`` is dotted."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            at = path if name == "_schema" else f"{path}.{name}" if path else str(name)
            yield from field_errors(inner, at)
        return
    for message in messages if isinstance(messages, list) else [messages]:
        if isinstance(message, Mapping):
            yield from field_errors(message, path)
        else:
            yield FieldError(getattr(message, "code", "invalid"), str(message), path or None)


_COMMON = {
    "required": Message("required", "This field is required."),
    "null": Message("null", "This field may not be null."),
    "validator_failed": Message("invalid", "Invalid value."),
}


class RequestSchema(Schema):
    """A request body. Unknown fields are ignored, because clients of other versions send some."""

    class Meta:
        unknown = "exclude"

    error_messages = {  # noqa: RUF012 - marshmallow's own way
        "type": Message("invalid", "Invalid data. Expected an object."),
    }


class Text(fields.String):
    """Text of limited length without NUL and lone surrogates, trimmed by default.

    With *numbers*, it also accepts JSON numbers and loads them as text.
    """

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message("invalid", "Not a valid string."),
        "invalid_utf8": Message("invalid", "Not a valid string."),
        "blank": Message("blank", "This field may not be blank."),
        "nul": Message("invalid", "Null characters are not allowed."),
        "surrogate": Message("invalid", "Lone surrogates are not allowed."),
        "max_length": Message(
            "max_length", "Ensure this field has no more than {max_length} characters."
        ),
        "min_length": Message(
            "min_length", "Ensure this field has at least {min_length} characters."
        ),
    }

    def __init__(
        self,
        *,
        max_length: int,
        min_length: int = 0,
        blank: bool = False,
        trim: bool = True,
        numbers: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_length, self.min_length = max_length, min_length
        self.blank, self.trim = blank, trim
        self.numbers = numbers

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            return self.check(value)
        if not self.numbers or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.make_error("invalid")
        if isinstance(value, float) and math.isinf(value):  # 1e400: its digits are lost.
            raise self.make_error("invalid")
        return self.check(str(value))

    def check(self, text: str) -> str:
        """Return *text* as it is stored; raises ValidationError."""
        if self.trim:
            text = text.strip()
        if not text and not self.blank:
            raise self.make_error("blank")
        if len(text) > self.max_length:
            raise self.make_error("max_length", max_length=self.max_length)
        if len(text) < self.min_length:
            raise self.make_error("min_length", min_length=self.min_length)
        if text.isascii():
            if "\x00" in text:
                raise self.make_error("nul")
            return text
        return self._check_unicode(text)

    def _check_unicode(self, text: str) -> str:
        if "\x00" in text:
            raise self.make_error("nul")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.make_error("surrogate") from error
        return text


class WholeNumber(fields.Integer):
    """An integer within limits: a JSON integer, a float without fraction, or a decimal string."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message("invalid", "A valid integer is required."),
        "min_value": Message(
            "min_value", "Ensure this value is greater than or equal to {min_value}."
        ),
        "max_value": Message(
            "max_value", "Ensure this value is less than or equal to {max_value}."
        ),
    }

    def __init__(self, *, min_value: int = 0, max_value: int = INT64_MAX, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_value, self.max_value = min_value, max_value

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        number = value if type(value) is int else self._convert(value)
        if number < self.min_value:
            raise self.make_error("min_value", min_value=self.min_value)
        if number > self.max_value:
            raise self.make_error("max_value", max_value=self.max_value)
        return number

    def _convert(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            return int(value)
        raise self.make_error("invalid")


_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}")


class Moment(fields.DateTime):
    """An ISO 8601 datetime; without an offset it is UTC. Loads as an aware datetime in UTC."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message(
            "invalid",
            "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z.",
        ),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        moment = parse_moment(value) if isinstance(value, str) else None
        if moment is None:
            raise self.make_error("invalid")
        return moment


_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?"
    r" ?([Zz]|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)

_LOST_SIGN = re.compile(r"\d{2}:\d{2}\S* \d{2}(?::?\d{2})?$", re.ASCII)


def parse_moment(text: str) -> datetime | None:
    """Read an ISO 8601 datetime; None if invalid or, in UTC, outside of the years 1 to 9999."""
    match = _DATETIME.fullmatch(text.strip())
    if match is None:
        return None
    date, clock, fraction, offset = match.groups()
    if offset is None or offset in "Zz":
        offset = "+00:00"
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.replace(microsecond=int((fraction or "").ljust(6, "0")[:6]))


def explain_moment(text: str) -> str:
    """Return the error for a *text* of a URL that is not a datetime."""
    detail = "Datetime has wrong format. Use ISO 8601."
    if _LOST_SIGN.search(text.strip()):
        detail += " In a URL, write %2B for +, which stands for a space there."
    return detail


class Duration(fields.Field[timedelta]):
    """A duration: ``[D ]HH:MM:SS[.ffffff]``, or a number of seconds. Never negative."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message(
            "invalid",
            "Duration has wrong format. Use [D ]HH:MM:SS[.ffffff] or a number of seconds.",
        ),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> timedelta:
        duration = None if isinstance(value, bool) else parse_duration(str(value))
        if duration is None:
            raise self.make_error("invalid")
        return duration


_DURATION = re.compile(r"(?:(\d{1,9}) )?(\d{1,9}):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?", re.ASCII)
_MAX_SECONDS = 100_000_000 * 86_400  # Fits in 64 bits of microseconds.


def parse_duration(text: str) -> timedelta | None:
    """Read a duration; None if it is invalid or longer than 100 million days."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return _parse_seconds(text)
    days, hours, minutes, seconds, fraction = match.groups()
    whole = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    if whole > _MAX_SECONDS:
        return None
    return timedelta(seconds=whole, microseconds=int((fraction or "").ljust(6, "0")))


def _parse_seconds(text: str) -> timedelta | None:
    if len(text) > 40 or not text.isascii():
        return None
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        return None
    if not seconds.is_finite() or not 0 <= seconds <= _MAX_SECONDS:
        return None
    return timedelta(microseconds=int(seconds * 1_000_000))


class Choice(fields.String):
    """One of a fixed set of words."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message("invalid", "Not a valid string."),
        "invalid_choice": Message("invalid_choice", '"{input}" is not a valid choice.'),
    }

    def __init__(self, choices: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = choices

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        shown = value if isinstance(value, str) else _short(value)
        raise self.make_error("invalid_choice", input=printable(shown))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def printable(text: str) -> str:
    """Return *text* with lone surrogates escaped, so that it can be encoded as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class TaskRef(fields.String):
    """The id of another task. The service checks that it exists."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message("invalid", "Not a valid string."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if ids.to_bytes(value) is None:
            raise ValidationError(Message("does_not_exist", no_such_task(value)))
        return value


def no_such_task(value: str) -> str:
    """Return the detail for a task that does not exist."""
    return f'Invalid parent "{printable(value[:100])}" - task does not exist.'


@dataclass(frozen=True, slots=True)
class RawJSON:
    """A JSON value, and the text that was sent, which ``data`` stores."""

    text: str
    value: Any


class Verbatim(fields.Raw):
    """Any JSON, loaded as the text that was sent, so that numbers keep all their digits."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return value.text if isinstance(value, RawJSON) else value


class Flag(fields.Boolean):
    """True or false."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        **_COMMON,
        "invalid": Message("invalid", "Must be a valid boolean."),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


def email_addresses(text: str) -> list[str]:
    """Read the recipients of a mail, as people write them; raises ValidationError."""
    try:
        return [address.text for address in read_recipients(text)]
    except InvalidAddress as error:
        raise invalid(printable(str(error))) from error
