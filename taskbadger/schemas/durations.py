"""Durations in forms: read as people write them, and loaded as the seconds that the API has."""

from typing import Any

from taskbadger.domain import durations
from taskbadger.domain.durations import DurationError
from taskbadger.schemas.fields import Message, WholeNumber, invalid


class TypedDuration(WholeNumber):
    """A duration as typed, loaded as seconds.

    With *or_zero*, 0 is allowed beside what *min_value* allows.
    """

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "min_value": Message("min_value", "At least {min_value}."),
        "max_value": Message("max_value", "At most {max_value}."),
    }

    def __init__(self, *, max_value: int, or_zero: bool = False, **kwargs: Any) -> None:
        super().__init__(max_value=max_value, **kwargs)
        self.or_zero = or_zero

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        try:
            seconds = durations.read(str(value))
        except DurationError as error:
            raise invalid(str(error)) from error
        if seconds < self.min_value and not (self.or_zero and seconds == 0):
            raise self.make_error("min_value", min_value=durations.write(self.min_value))
        if seconds > self.max_value:
            raise self.make_error("max_value", max_value=durations.write(self.max_value))
        return seconds


def write_optional(seconds: int | None) -> str:
    """Return a duration as a field shows it: empty for None and for 0."""
    return durations.write(seconds) if seconds else ""
