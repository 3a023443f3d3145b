"""The fields of a cron expression: what is read, and what each refusal says."""

import pytest

from taskbadger.domain.cron_fields import ALIASES, FIELDS
from taskbadger.domain.schedule import Cron, parse_cron
from taskbadger.errors import ScheduleError


@pytest.mark.parametrize(("alias", "expression"), ALIASES.items())
def test_alias_is_written_out(alias: str, expression: str) -> None:
    assert parse_cron(f" {alias.upper()} ", "Asia/Tokyo") == Cron(expression, "Asia/Tokyo")


def test_spaces_are_normalised() -> None:
    assert parse_cron("  5   4\t* * mon-FRI ") == Cron("5 4 * * mon-FRI", "UTC")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("? * * * *", "minute: ? is not supported; write * for any."),
        ("0 0 ? * MON", "day-of-month: ? is not supported; write * for any."),
        ("0 0 * * ?", "day-of-week: ? is not supported; write * for any."),
        ("H * * * *", "minute: H is not supported; write a number."),
        ("0 h/6 * * *", "hour: H is not supported; write a number."),
        ("0 1,H(2-5) * * *", "hour: H is not supported; write a number."),
        ("50-10 * * * *",
         "minute: the range 50-10 runs backwards; write 50-59,0-10 instead."),
        ("0 22-2 * * *", "hour: the range 22-2 runs backwards; write 22-23,0-2 instead."),
        ("0 22-2/2 * * *", "hour: the range 22-2/2 runs backwards; write 22-23,0-2 instead."),
        ("0 0 28-3 * *",
         "day-of-month: the range 28-3 runs backwards; write 28-31,1-3 instead."),
        ("0 0 * NOV-feb *",
         "month: the range NOV-FEB runs backwards; write NOV-12,1-FEB instead."),
        ("0 0 * * FRI-MON",
         "day-of-week: the range FRI-MON runs backwards; write FRI-7,0-MON instead."),
        ("0 0 * * 1,SAT-SUN",
         "day-of-week: the range SAT-SUN runs backwards; write SAT-7,0-SUN instead."),
        ("60 * * * *", 'minute: "60" is not valid; use 0 to 59.'),
        ("*/0 * * * *", 'minute: "*/0" is not valid; use 0 to 59.'),
        ("1,,2 * * * *", 'minute: "" is not valid; use 0 to 59.'),
        ("-1 * * * *", 'minute: "-1" is not valid; use 0 to 59.'),
        ("70-65 * * * *", 'minute: "70-65" is not valid; use 0 to 59.'),
        ("٣ * * * *", 'minute: "٣" is not valid; use 0 to 59.'),
        ("0 24 * * *", 'hour: "24" is not valid; use 0 to 23.'),
        ("0 L * * *", 'hour: "L" is not valid; use 0 to 23.'),
        ("0 MON-FRI * * *", 'hour: "MON-FRI" is not valid; use 0 to 23.'),
        ("0 0 0 * *", 'day-of-month: "0" is not valid; use 1 to 31, L (the last day) or '
         "LW (the last weekday)."),
        ("0 0 15W * *", 'day-of-month: "15W" is not valid; use 1 to 31, L (the last day) or '
         "LW (the last weekday)."),
        ("0 0 * 13 *", 'month: "13" is not valid; use 1 to 12 or JAN to DEC.'),
        ("0 0 * MAI *", 'month: "MAI" is not valid; use 1 to 12 or JAN to DEC.'),
        ("0 0 * * 8", 'day-of-week: "8" is not valid; use 0 to 7 (0 and 7 are Sunday), SUN '
         "to SAT, 5L (the last Friday) or MON#1 (the first Monday)."),
        ("0 0 * * \u017fun", 'day-of-week: "SUN" is not valid; use 0 to 7 (0 and 7 are '
         "Sunday), SUN to SAT, 5L (the last Friday) or MON#1 (the first Monday)."),
        ("0 0 31 2 *",
         'day-of-month: "31" never occurs with month "2" and day-of-week "*".'),
        ("0 0 31 4,6,9,11 *",
         'day-of-month: "31" never occurs with month "4,6,9,11" and day-of-week "*".'),
        ("0 0 LW * */7",
         'day-of-month: "LW" never occurs with month "*" and day-of-week "*/7".'),
        ("", "minute: the field is missing; a schedule has five: "
         "minute hour day-of-month month day-of-week."),
        ("0 0 * *", "day-of-week: the field is missing; a schedule has five: "
         "minute hour day-of-month month day-of-week."),
        ("0 0 0 * * 2027", 'field 6: "2027" is one too many (seconds and years are not supported); '
         "a schedule has five: minute hour day-of-month month day-of-week."),
        ("@reboot", '"@reboot" is not valid; use @hourly, @daily, @midnight, @weekly, @monthly, '
         "@yearly, @annually."),
        ("1" * 256 + " * * * *", "The schedule is longer than 255 characters."),
    ],
)  # fmt: skip
def test_wrong_expression_is_refused_by_field(expression: str, message: str) -> None:
    with pytest.raises(ScheduleError) as error:
        parse_cron(expression)

    assert str(error.value) == message


@pytest.mark.parametrize("expression", ["0 0 * * FRI-7,0-MON", "0 22-23,0-2 * * *"])
def test_what_a_message_proposes_is_valid(expression: str) -> None:
    assert parse_cron(expression).expression == expression


def test_fields_are_named_as_in_messages() -> None:
    assert FIELDS == ("minute", "hour", "day-of-month", "month", "day-of-week")
