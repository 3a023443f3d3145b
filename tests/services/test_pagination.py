"""Cursors, page sizes and the URLs of neighbouring pages."""

import base64
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.services.pagination import (
    Cursor,
    InvalidCursor,
    Page,
    cut_page,
    page_url,
    read_cursor,
    read_page_size,
)

FIVE = list("abcde")


def encoded(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def key(row: str) -> tuple[str, ...]:
    return (row,)


@given(
    st.lists(st.text("abc-_:.0123456789TZ", min_size=1, max_size=30), min_size=1, max_size=3),
    st.booleans(),
)
def test_cursor_comes_back_from_its_text(parts: list[str], backwards: bool) -> None:
    cursor = Cursor(tuple(parts), backwards)

    assert read_cursor(cursor.write(), parts=len(parts)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "%%%",
        "é",
        "\x00",
        "",
        encoded(""),
        encoded("n"),
        encoded("n|a|b"),
        encoded("x|a"),
        encoded("n|é"),
        encoded("n|" + "a" * 300),
        "A" * 100_000,
    ],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        read_cursor(text, parts=1)

    assert (caught.value.status, caught.value.detail) == (404, "Invalid cursor")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, 100),
        ("1", 1),
        ("007", 7),
        ("1000", 1000),
        ("1001", 1000),
        ("99999999999999999999", 1000),
        ("9" * 10_000, 1000),
    ],
)
def test_page_size_is_cut_to_the_greatest(text: str | None, size: int) -> None:
    assert read_page_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "000", "-1", "+1", "1.0", "1e2", "ten", " 1", "١", "1\n"]
)
def test_anything_else_is_no_page_size(text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        read_page_size(text)

    detail = "A whole number above 0 is required."
    assert caught.value.errors == (FieldError("invalid", detail, "page_size"),)


@pytest.mark.parametrize(
    ("rows", "cursor", "expected"),
    [
        ([], None, Page([], None, None)),
        ([], Cursor(("x",)), Page([], None, None)),
        (FIVE[:3], None, Page(["a", "b", "c"], None, None)),
        (FIVE[:4], None, Page(["a", "b", "c"], Cursor(("c",)), None)),
        (FIVE[1:3], Cursor(("a",)), Page(["b", "c"], None, Cursor(("b",), True))),
        (
            FIVE[1:],
            Cursor(("a",)),
            Page(["b", "c", "d"], Cursor(("d",)), Cursor(("b",), True)),
        ),
        (
            ["c", "b", "a"],
            Cursor(("d",), True),
            Page(["a", "b", "c"], Cursor(("c",)), None),
        ),
        (
            ["d", "c", "b", "a"],
            Cursor(("e",), True),
            Page(["b", "c", "d"], Cursor(("d",)), Cursor(("b",), True)),
        ),
    ],
)
def test_page_knows_its_neighbours(
    rows: list[str], cursor: Cursor | None, expected: Page[str]
) -> None:
    assert cut_page(rows, 3, cursor, key) == expected


def test_url_keeps_the_other_parameters_and_replaces_its_own() -> None:
    asked = [
        ("status", "error"),
        ("cursor", "old"),
        ("tag", "a:b"),
        ("page_size", "7"),
        ("tag", "é&"),
    ]

    url = page_url("https://x.example/api/tasks/", asked, Cursor(("k",)), 7)

    assert url is not None
    parts = urlsplit(url)
    assert (parts.netloc, parts.path) == ("x.example", "/api/tasks/")
    assert parse_qsl(parts.query) == [
        ("cursor", Cursor(("k",)).write()),
        ("page_size", "7"),
        ("status", "error"),
        ("tag", "a:b"),
        ("tag", "é&"),
    ]


def test_there_is_no_url_where_there_is_no_page() -> None:
    assert page_url("https://x.example/", [], None, 7) is None
