"""The words of the search language for times, and for values in ``data``."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from taskbadger.domain.search import Problem, Search, Term, Value, parse
from taskbadger.domain.search_words import DataFilter, DataValue, day_of, parse_data

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FORM = (
    "Use data.key:value, or data.key.key:value for one level below; keys with dots are in quotes."
)


def data(text: str, *path: str, prefix: bool = False, quoted: bool = False) -> Value:
    shown = text.removesuffix("*")
    value = DataValue(shown, is_prefix=prefix, is_text=quoted)
    return Value(text, path=path, data=value)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("data.customer:42", Term("data", (data("42", "customer"),))),
        ("DATA.customer:42", Term("data", (data("42", "customer"),))),
        ("data.order.id:7", Term("data", (data("7", "order", "id"),))),
        ("-data.a:1", Term("data", (data("1", "a"),), excluded=True)),
        ("data.a:1,2", Term("data", (data("1", "a"), data("2", "a")))),
        ('data.a:"42"', Term("data", (data("42", "a", quoted=True),))),
        ('data.a:"x, y"', Term("data", (data("x, y", "a", quoted=True),))),
        ("data.a:imp*", Term("data", (data("imp*", "a", prefix=True),))),
        ("data.a:*", Term("data", (data("*", "a", prefix=True),))),
        ('data."a.b":x', Term("data", (data("x", "a.b"),))),
        ('data."a.b"."c:d e":x', Term("data", (data("x", "a.b", "c:d e"),))),
        ('data."say ""a""":x', Term("data", (data("x", 'say "a"'),))),
        ("data.url:http://x", Term("data", (data("http://x", "url"),))),
        ('data.a:""', Term("data", (data("", "a", quoted=True),))),
    ],
)
def test_keys_and_values_of_data_are_read(text: str, term: Term) -> None:
    assert parse(text, now=NOW) == Search((term,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:42", FORM),
        ("data.a.b.c:42", FORM),
        ("data..a:42", FORM),
        ("data.a.:42", FORM),
        ('data."":42', FORM),
        ("data.a:", "“data.a:” needs a value; * stands for any."),
        ("data.a:,", "“data.a:” needs a value; * stands for any."),
        ('data."a:42', "A closing quotation mark is missing."),
    ],
)
def test_wrong_keys_are_a_clear_message(text: str, message: str) -> None:
    assert parse(text, now=NOW) == Search(problems=(Problem(0, len(text), message),))


@pytest.mark.parametrize(
    ("value", "integer", "number", "word"),
    [
        (DataValue("42"), 42, 42.0, None),
        (DataValue("-7"), -7, -7.0, None),
        (DataValue("4.2e1"), None, 42.0, None),
        (DataValue("9223372036854775808"), None, 9223372036854775808.0, None),
        (DataValue("1" * 101), None, None, None),
        (DataValue("1e100"), None, None, None),
        (DataValue("٤٢"), None, None, None),
        (DataValue("inf"), None, None, None),
        (DataValue("true"), None, None, "true"),
        (DataValue("null"), None, None, "null"),
        (DataValue("True"), None, None, None),
        (DataValue("42", is_text=True), None, None, None),
        (DataValue("42", is_prefix=True), None, None, None),
        (DataValue("true", is_text=True), None, None, None),
    ],
)
def test_value_without_quotes_may_be_a_number_or_a_word(
    value: DataValue, integer: int | None, number: float | None, word: str | None
) -> None:
    assert (value.integer, value.number, value.word) == (integer, number, word)


@pytest.mark.parametrize(
    ("word", "zone", "begin", "end"),
    [
        ("today", "UTC", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("Yesterday", "UTC", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("today", "Europe/Berlin", "2026-11-22T23:00", "2026-11-23T23:00"),
        ("today", "Pacific/Auckland", "2026-11-23T11:00", "2026-11-24T11:00"),
        ("yesterday", "America/New_York", "2026-11-22T05:00", "2026-11-23T05:00"),
    ],
)
def test_days_are_those_of_the_zone(word: str, zone: str, begin: str, end: str) -> None:
    expected = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end))

    assert day_of(word, now=NOW, zone=ZoneInfo(zone)) == expected


def test_day_on_which_clocks_change_has_its_own_length() -> None:
    now = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)

    assert day_of("today", now=now, zone=ZoneInfo("Europe/Berlin")) == (
        datetime(2026, 10, 24, 22, 0, tzinfo=UTC),
        datetime(2026, 10, 25, 23, 0, tzinfo=UTC),
    )


def test_day_is_a_term_with_a_hint_and_a_time_for_the_others() -> None:
    begin, end = datetime(2026, 11, 21, 23, tzinfo=UTC), datetime(2026, 11, 22, 23, tzinfo=UTC)
    hint = (
        "“yesterday” is 2026-11-22 (Europe/Berlin), by the time of creation. In quotes, it is a "
        "part of the name."
    )
    berlin = ZoneInfo("Europe/Berlin")

    found = parse("-yesterday before:yesterday", now=NOW, zone=berlin)

    assert found == Search(
        (
            Term("day", (Value("yesterday", moment=begin, until=end),), excluded=True),
            Term("before", (Value("yesterday", moment=begin),)),
        ),
        hints=(hint,),
    )
    assert parse('"yesterday"', now=NOW) == Search((Term("text", (Value("yesterday"),)),))


@pytest.mark.parametrize(
    ("text", "value", "hint"),
    [
        (
            "customer=42",
            Value("42", tag="customer"),
            "“customer=42” is read as tag:customer:42. In data, it is found by data.customer:42, "
            "as a part of the name in quotes.",
        ),
        (
            'a.b="x y"',
            Value("x y", tag="a.b"),
            '“a.b="x y"” is read as tag:a.b:"x y". In data, it is found by data."a.b":"x y", as a '
            "part of the name in quotes.",
        ),
        (
            "env=p*",
            Value("p", prefix=True, tag="env"),
            "“env=p*” is read as tag:env:p*. In data, it is found by data.env:p*, as a part of the "
            "name in quotes.",
        ),
    ],
)
def test_equation_is_read_as_a_tag_with_a_hint(text: str, value: Value, hint: str) -> None:
    assert parse(text, now=NOW) == Search((Term("tag", (value,)),), hints=(hint,))


@pytest.mark.parametrize("text", ['"customer=42"', "=42", "customer="])
def test_other_words_with_an_equals_sign_are_words(text: str) -> None:
    found = parse(text, now=NOW)

    assert [term.field for term in found.terms] == ["text"]
    assert found.hints == ()


def test_qualifier_with_an_equals_sign_stays_what_it_is() -> None:
    assert parse("name:a=b", now=NOW) == Search((Term("name", (Value("a=b"),)),))


@pytest.mark.parametrize("begin", ["", "data.", "name:", "a="])
@pytest.mark.parametrize("mark", ['""', '"', '"a"'])
def test_many_quotation_marks_are_read_at_once(begin: str, mark: str) -> None:
    """Reading them in each possible way would not end in anybody's lifetime."""
    for end in ("", ":", "="):
        parse(begin + mark * 400 + end, now=NOW)
        parse_data(mark * 400 + end)


def test_quoted_keys_may_have_quotation_marks() -> None:
    found = parse_data('"a""b".c:1')

    assert found == DataFilter(('a"b', "c"), (DataValue("1"),))
