"""Task ids: version 7 UUIDs in 22 characters that need no quoting in a URL."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain import ids

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_id_is_a_version_7_uuid_of_its_moment_in_a_url_safe_alphabet() -> None:
    text = ids.new_id(NOW)

    number = ids.to_uuid(text)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", text)
    assert number is not None
    assert number.version == 7
    assert number.int >> 80 == int(NOW.timestamp() * 1000)


def test_ids_sort_by_the_millisecond_that_they_were_made_in() -> None:
    made = [ids.new_id(NOW + timedelta(milliseconds=step)) for step in range(100)]

    assert sorted(made, key=lambda text: ids.to_bytes(text) or b"") == made


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new_id(NOW) for _ in range(1000)}) == 1000


@given(st.uuids())
def test_every_uuid_comes_back_from_its_text(number: UUID) -> None:
    text = ids.from_bytes(number.bytes)

    assert (ids.to_bytes(text), ids.to_uuid(text)) == (number.bytes, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "B",  # An unused bit is set: a second spelling of another id.
        "A" * 21 + "=",
        "A" * 20 + "==",
        "A" * 21 + "+",
        "A" * 21 + "\x00",
        "A" * 21 + "é",
        "A" * 21 + "\ud800",
        " " + "A" * 21,
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_text_that_is_no_id_is_none(text: str) -> None:
    assert ids.to_bytes(text) is None
    assert ids.to_uuid(text) is None


@given(st.text())
def test_no_text_is_a_second_spelling_of_an_id(text: str) -> None:
    number = ids.to_bytes(text)

    assert number is None or ids.from_bytes(number) == text
