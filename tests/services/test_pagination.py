"""Cursors, page sizes, walks of a keyset, and the URLs of neighbouring pages."""

import base64
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import count_queries
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.pagination import (
    Cursor,
    InvalidCursor,
    Keyset,
    Order,
    Page,
    cut_page,
    keyset_of,
    page_url,
    read_big_number,
    read_cursor,
    read_number,
    read_page_size,
    read_task_id,
    read_uuid,
    walk,
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
    cursor = Cursor(tuple(parts), backwards=backwards)

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
        encoded("n|" + "a" * 1_400),
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
        (FIVE[1:3], Cursor(("a",)), Page(["b", "c"], None, Cursor(("b",), backwards=True))),
        (
            FIVE[1:],
            Cursor(("a",)),
            Page(["b", "c", "d"], Cursor(("d",)), Cursor(("b",), backwards=True)),
        ),
        (
            ["c", "b", "a"],
            Cursor(("d",), backwards=True),
            Page(["a", "b", "c"], Cursor(("c",)), None),
        ),
        (
            ["d", "c", "b", "a"],
            Cursor(("e",), backwards=True),
            Page(["b", "c", "d"], Cursor(("d",)), Cursor(("b",), backwards=True)),
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


@pytest.fixture
def organizations(app: Flask) -> list[str]:
    """Five organizations, by their ids."""
    slugs = [f"o{number}" for number in range(5)]
    now = utcnow()
    for slug in slugs:
        db.session.add(Organization(slug=slug, name=slug, created=now))
        db.session.flush()
    return slugs


@pytest.mark.parametrize("order", Order)
def test_walk_holds_every_row_once_in_both_directions(
    organizations: list[str], order: Order
) -> None:
    keyset = keyset_of(Organization.id, read_number, order)
    expected = organizations if order is Order.ASCENDING else organizations[::-1]
    pages = [walk(select(Organization), keyset, None, 2)]
    while (cursor := pages[-1].next) is not None:
        pages.append(walk(select(Organization), keyset, cursor, 2))
    back = [pages[-1]]
    while (cursor := back[-1].previous) is not None:
        back.append(walk(select(Organization), keyset, cursor, 2))

    found = [[row.slug for row in page.rows] for page in pages]
    assert found == [expected[:2], expected[2:4], expected[4:]]
    assert [[row.slug for row in page.rows] for page in back[::-1]] == found


def test_walk_compares_several_columns_as_one_key(organizations: list[str]) -> None:
    keyset: Keyset[Organization] = Keyset(
        (Organization.created.expression, Organization.id.expression),
        Order.DESCENDING,
        lambda key: (utcnow() if key[0] == "now" else None, int(key[1])),
        lambda row: ("now", str(row.id)),
    )

    with count_queries() as queries:
        page = walk(select(Organization), keyset, Cursor(("now", "0")), 3)

    assert [row.slug for row in page.rows] == organizations[::-1][:3]
    assert len(queries) == 1


def test_walk_refuses_a_key_that_it_cannot_read(app: Flask) -> None:
    with pytest.raises(InvalidCursor):
        walk(select(Organization), keyset_of(Organization.id, read_number), Cursor(("no id",)), 2)


def test_ids_in_texts_are_read_or_are_none() -> None:
    numbers = ("0", "2147483647", "2147483648", "9" * 18, "9" * 19, "-1", "1\n", "١", "", "x", "05")
    uuid = "01890a5d-ac96-774b-bcce-b302099a8057"

    assert [read_number(text) for text in numbers] == [0, 2147483647, *[None] * 9]
    assert [read_big_number(text) for text in numbers] == [
        0,
        2147483647,
        2147483648,
        int("9" * 18),
        *[None] * 7,
    ]
    assert [str(read_uuid(text)) for text in (uuid, "x")] == [uuid, "None"]
    assert [read_task_id(text) for text in ("A" * 22, "A", "")] == ["A" * 22, None, None]
