"""Numbers that Python cannot hold."""

import json
from typing import Any

import pytest

from taskbadger.domain.numbers import Number, read, read_exactly, write

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, -2.50, 1e3]", [1, -2.5, 1000.0]),
        (f'{{"n": -{LONG}}}', {"n": Number(f"-{LONG}")}),
        ("[1e400, -1e400]", [Number("1e400"), Number("-1e400")]),
        ("9" * 4000, 10**4000 - 1),
    ],
)
def test_numbers_are_python_s_own_where_it_has_them(text: str, value: Any) -> None:
    read_value = read(text)

    assert read_value == value
    assert repr(read_value) == repr(value)


def test_number_that_python_cannot_hold_is_a_string_for_others() -> None:
    assert json.dumps(read("[1e400, 2.5]")) == '["1e400", 2.5]'


@pytest.mark.parametrize(
    "text", [LONG, "1e400", "0.10000000000000001", "1.0", "-0.0", "12.50", "1E-999", "7", "-0"]
)
def test_numbers_are_written_as_they_were(text: str) -> None:
    assert write(read_exactly(text)) == text
    assert write(read_exactly(f'{{"a":[{text},"{text}"]}}')) == (
        f'{{\n  "a": [\n    {text},\n    "{text}"\n  ]\n}}'
    )
