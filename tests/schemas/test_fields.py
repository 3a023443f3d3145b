"""The fields of requests: what each takes, and the code of what it does not."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields

from taskbadger.clock import duration_to_wire
from taskbadger.domain import ids
from taskbadger.errors import FieldError
from taskbadger.schemas.fields import (
    Choice,
    Duration,
    Flag,
    Message,
    Moment,
    TaskRef,
    Text,
    WholeNumber,
    email_addresses,
    field_errors,
    parse_duration,
    parse_moment,
)

NAME = Text(required=True, max_length=5, min_length=2)
NOT_A_STRING = FieldError("invalid", "Not a valid string.", "f")
NO_INTEGER = FieldError("invalid", "A valid integer is required.", "f")


def load(field: fields.Field[Any], value: Any) -> Any:
    """Return *value* as the field ``f`` loads it, or its errors."""
    try:
        return Schema.from_dict({"f": field})().load({"f": value})["f"]
    except ValidationError as error:
        return list(field_errors(error.messages))


def error(code: str, detail: str) -> list[FieldError]:
    return [FieldError(code, detail, "f")]


def test_field_that_is_missing_is_required() -> None:
    with pytest.raises(ValidationError) as caught:
        Schema.from_dict({"f": NAME})().load({})

    assert list(field_errors(caught.value.messages)) == error("required", "This field is required.")


@pytest.mark.parametrize(
    "field", [NAME, WholeNumber(), Moment(), Duration(), Choice(("a",)), TaskRef(), Flag()]
)
def test_field_that_takes_no_null_says_so(field: fields.Field[Any]) -> None:
    assert load(field, None) == error("null", "This field may not be null.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ab", "ab"),
        ("  ab \n", "ab"),
        (" abcde ", "abcde"),
        ("é😀", "é😀"),
        ("", error("blank", "This field may not be blank.")),
        (" \t", error("blank", "This field may not be blank.")),
        ("a", error("min_length", "Ensure this field has at least 2 characters.")),
        ("abcdef", error("max_length", "Ensure this field has no more than 5 characters.")),
        ("a\x00b", error("invalid", "Null characters are not allowed.")),
        ("é\x00b", error("invalid", "Null characters are not allowed.")),
        ("a\ud800", error("invalid", "Lone surrogates are not allowed.")),
        (5, [NOT_A_STRING]),
        (True, [NOT_A_STRING]),
        (["ab"], [NOT_A_STRING]),
        ({}, [NOT_A_STRING]),
    ],
)
def test_text(value: Any, expected: Any) -> None:
    assert load(NAME, value) == expected


def test_text_may_be_blank_where_it_says_so() -> None:
    assert load(Text(max_length=5, blank=True), "  ") == ""


def test_text_is_not_trimmed_where_it_says_so() -> None:
    assert load(Text(max_length=5, trim=False), " a ") == " a "


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, "5"), (1.5, "1.5"), (-0, "0"), (True, [NOT_A_STRING]), (float("inf"), [NOT_A_STRING])],
)
def test_numbers_become_text_where_they_may(value: Any, expected: Any) -> None:
    assert load(Text(max_length=5, numbers=True), value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (9, 9),
        (5.0, 5),
        ("7", 7),
        (" 7 ", 7),
        ("+7", 7),
        ("007", 7),
        (0, error("min_value", "Ensure this value is greater than or equal to 1.")),
        (-(10**400), error("min_value", "Ensure this value is greater than or equal to 1.")),
        ("-3", error("min_value", "Ensure this value is greater than or equal to 1.")),
        (10, error("max_value", "Ensure this value is less than or equal to 9.")),
        (10**400, error("max_value", "Ensure this value is less than or equal to 9.")),
        (1e300, error("max_value", "Ensure this value is less than or equal to 9.")),
        (5.5, [NO_INTEGER]),
        (float("inf"), [NO_INTEGER]),
        (True, [NO_INTEGER]),
        (False, [NO_INTEGER]),
        ("", [NO_INTEGER]),
        ("5.5", [NO_INTEGER]),
        ("0x5", [NO_INTEGER]),
        ("1_0", [NO_INTEGER]),
        ("٣", [NO_INTEGER]),
        ("five", [NO_INTEGER]),
        ([5], [NO_INTEGER]),
        ({}, [NO_INTEGER]),
    ],
)
def test_whole_number(value: Any, expected: Any) -> None:
    assert load(WholeNumber(min_value=1, max_value=9), value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-09-22T06:53:40.683555Z", datetime(2022, 9, 22, 6, 53, 40, 683555, UTC)),
        ("2022-09-22t06:53:40z", datetime(2022, 9, 22, 6, 53, 40, tzinfo=UTC)),
        ("2022-09-22 06:53", datetime(2022, 9, 22, 6, 53, tzinfo=UTC)),
        ("2022-09-22T06:53:40", datetime(2022, 9, 22, 6, 53, 40, tzinfo=UTC)),
        ("2022-09-22T06:53:40+02:00", datetime(2022, 9, 22, 4, 53, 40, tzinfo=UTC)),
        ("2022-09-22T06:53:40-0530", datetime(2022, 9, 22, 12, 23, 40, tzinfo=UTC)),
        ("2022-09-22T23:53:40-02", datetime(2022, 9, 23, 1, 53, 40, tzinfo=UTC)),
        ("2022-09-22T06:53:40.1Z", datetime(2022, 9, 22, 6, 53, 40, 100000, UTC)),
        ("2022-09-22T06:53:40,000001Z", datetime(2022, 9, 22, 6, 53, 40, 1, UTC)),
        ("2022-09-22T06:53:40.123456789Z", datetime(2022, 9, 22, 6, 53, 40, 123456, UTC)),
        (" 2022-09-22T06:53:40Z ", datetime(2022, 9, 22, 6, 53, 40, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59-00:01", None),
        ("0000-01-01T00:00:00Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("2022-02-29T00:00:00Z", None),
        ("2022-13-01T00:00:00Z", None),
        ("2022-01-01T25:00:00Z", None),
        ("2022-01-01T00:00:61Z", None),
        ("2022-01-01T00:00:00+25:00", None),
        ("2022-01-01", None),
        ("20220101T000000Z", None),
        ("1663829620", None),
        ("now", None),
        ("", None),
        ("2022-09-22T06:53:40Z\x00", None),
        ("２022-09-22T06:53:40Z", None),
    ],
)
def test_moment_is_read_as_utc(text: str, expected: datetime | None) -> None:
    assert parse_moment(text) == expected


@given(st.datetimes(timezones=st.timezones()))
def test_every_moment_that_python_writes_is_read(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        return  # Offsets with seconds, before railways, are not ISO 8601.

    fixed = moment.replace(tzinfo=timezone(offset), fold=0)

    assert parse_moment(fixed.isoformat()) == expected


@pytest.mark.parametrize("value", [5, 5.5, True, [], {}, "soon"])
def test_anything_else_is_no_moment(value: Any) -> None:
    detail = "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z."

    assert load(Moment(), value) == error("invalid", detail)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("00:00:00", timedelta()),
        ("01:02:03", timedelta(hours=1, minutes=2, seconds=3)),
        ("1 01:02:03.5", timedelta(1, 3723, 500_000)),
        ("100:00:00", timedelta(hours=100)),
        ("00:00:00.000001", timedelta(microseconds=1)),
        ("5", timedelta(seconds=5)),
        ("5.25", timedelta(seconds=5, milliseconds=250)),
        (0, timedelta()),
        (90, timedelta(seconds=90)),
        (0.1, timedelta(milliseconds=100)),
        (1e-6, timedelta(microseconds=1)),
        (100_000_000 * 86_400, timedelta(days=100_000_000)),
        ("100000000 00:00:00", timedelta(days=100_000_000)),
    ],
)
def test_duration_in_either_form(value: Any, expected: timedelta) -> None:
    assert load(Duration(), value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "01:60:00",
        "01:00:60",
        "1:2",
        "-1",
        -1,
        "-01:00:00",
        "P1D",
        "nan",
        "inf",
        float("inf"),
        True,
        False,
        [],
        {},
        "1" * 50,
        10**400,
        100_000_000 * 86_400 + 1,
        "999999999 999999999:00:00",
        "٠1:00:00",
    ],
)
def test_anything_else_is_no_duration(value: Any) -> None:
    detail = "Duration has wrong format. Use [D ]HH:MM:SS[.ffffff] or a number of seconds."

    assert load(Duration(), value) == error("invalid", detail)


@given(st.timedeltas(timedelta(), timedelta(days=100_000_000)))
def test_every_duration_comes_back_from_its_text(duration: timedelta) -> None:
    assert parse_duration(duration_to_wire(duration)) == duration


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("foo", "foo"),
        ("A", "A"),
        ("", ""),
        (" a", " a"),
        (5, "5"),
        (True, "True"),
        ([], "[]"),
        ({"x": "\ud800"}, r"{'x': '\ud800'}"),
        ("\ud800", r"\ud800"),
    ],
)
def test_choice_takes_its_words_alone(value: Any, shown: str) -> None:
    assert load(Choice(("a", "b")), "b") == "b"
    assert load(Choice(("a", "b")), value) == error(
        "invalid_choice", f'"{shown}" is not a valid choice.'
    )


def test_choice_shows_little_of_a_long_value() -> None:
    found = load(Choice(("a",)), list(range(10_000)))

    assert len(found[0].detail) < 200


def test_reference_must_be_an_id() -> None:
    text = "A" * 22

    assert load(TaskRef(), text) == text
    assert load(TaskRef(), 5) == [NOT_A_STRING]
    assert load(TaskRef(), "x") == error(
        "does_not_exist", 'Invalid parent "x" - task does not exist.'
    )
    assert ids.to_bytes(text) is not None


def test_recipients_are_kept_as_people_write_them() -> None:
    assert email_addresses("a@example.com, b@MÜNCHEN.de,") == ["a@example.com", "b@münchen.de"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (" , ", "Give at least one e-mail address."),
        ("\ud800@example.com", r"“\ud800@example.com” is not a valid e-mail address."),
    ],
)
def test_what_is_no_address_is_refused(text: str, detail: str) -> None:
    with pytest.raises(ValidationError) as caught:
        email_addresses(text)

    assert list(field_errors(caught.value.messages)) == [FieldError("invalid", detail, None)]


def test_nested_messages_are_flattened_with_their_codes() -> None:
    messages = {
        "name": [Message("blank", "Empty.")],
        "actions": {0: {"trigger": ["Plain."]}, 2: {"_schema": [Message("invalid", "Odd.")]}},
        "_schema": ["All wrong."],
    }

    assert list(field_errors(messages)) == [
        FieldError("blank", "Empty.", "name"),
        FieldError("invalid", "Plain.", "actions.0.trigger"),
        FieldError("invalid", "Odd.", "actions.2"),
        FieldError("invalid", "All wrong.", None),
    ]
