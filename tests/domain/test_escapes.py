"""Backslashes in the filters of the API."""

import pytest

from taskbadger.domain.escapes import split_list, split_pair


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        (",a,", ["", "a", ""]),
        (r"a\, b", ["a, b"]),
        (r"a\, b, c\:d", ["a, b", "c:d"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"a\\\,b", ["a\\,b"]),
        (r"C:\jobs\new", ["C:\\jobs\\new"]),
        (r"a\\b", ["a\\b"]),
        ("ends\\", ["ends\\"]),
        ("a\n,b", ["a", "b"]),
        ("a\n\\,b", ["a\n,b"]),
    ],
)
def test_list_is_split_at_its_commas(text: str, values: list[str]) -> None:
    assert split_list(text) == values


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a", None),
        (r"a\:b", None),
        ("a:b", ("a", "b")),
        ("a:b:c", ("a", "b:c")),
        (" a: b,c ", (" a", " b,c ")),
        (":", ("", "")),
        (r"a\:b:c", ("a:b", "c")),
        (r"a\\:b", ("a\\", "b")),
        (r"a:b\:c\\d\,e", ("a", "b:c\\d,e")),
        (r"a\b:c\d", ("a\\b", "c\\d")),
        ("a\n:b\n", ("a\n", "b\n")),
    ],
)
def test_pair_is_split_at_its_first_colon(text: str, pair: tuple[str, str] | None) -> None:
    assert split_pair(text) == pair
