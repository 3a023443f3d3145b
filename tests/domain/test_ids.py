"""Task ids: version 7 UUIDs in 22 characters that need no quoting in a URL."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain import ids

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(), timedelta(days=30_000)).map(lambda age: EPOCH + age)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def test_id_is_a_version_7_uuid_of_its_moment_in_a_url_safe_alphabet() -> None:
    text = ids.new_id(NOW)

    number = ids.to_uuid(text)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", text)
    assert number is not None
    assert number.version == 7
    assert number.int >> 80 == int(NOW.timestamp() * 1000)


def place(text: str) -> bytes:
    return ids.to_bytes(text) or b""


def test_ids_sort_by_the_microsecond_that_they_were_made_in() -> None:
    made = [ids.new_id(NOW + timedelta(microseconds=step)) for step in range(2500)]

    assert sorted(made, key=place) == made


def test_time_in_an_id_is_exact() -> None:
    # As a float, this moment times a million is a little less than a whole number.
    moment = datetime(2026, 1, 25, 12, 0, 0, 123457, tzinfo=UTC)

    number = int.from_bytes(place(ids.new_id(moment)), "big")

    assert (number >> 80) % 1000 == 123
    assert (number >> 64) % 4096 == 457 * 4096 // 1000


@given(MOMENTS, st.timedeltas(timedelta(microseconds=1), timedelta(seconds=2)))
def test_bounds_enclose_the_ids_of_a_time(moment: datetime, step: timedelta) -> None:
    before, at, after = (place(ids.new_id(moment + shift)) for shift in (-step, timedelta(), step))

    assert before < place(ids.end_id(moment))
    assert place(ids.first_id(moment)) < at < place(ids.end_id(moment + step))
    assert before < at <= place(ids.last_id(moment)) < after


@given(MOMENTS, st.binary(min_size=10, max_size=10))
def test_bounds_enclose_ids_whose_fraction_is_random(moment: datetime, rest: bytes) -> None:
    rounded_down = int(moment.timestamp() * 1000).to_bytes(6, "big") + rest

    assert place(ids.first_id(moment)) <= rounded_down
    assert rounded_down < place(ids.end_id(moment + timedelta(microseconds=1)))


@given(MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)))
def test_bounds_of_whole_milliseconds_are_exact(moment: datetime) -> None:
    before = ids.new_id(moment - timedelta(microseconds=1))

    assert place(before) < place(ids.first_id(moment)) < place(ids.new_id(moment))
    assert ids.first_id(moment) == ids.end_id(moment)


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]
)
def test_bounds_exist_for_every_time(moment: datetime) -> None:
    assert place(ids.first_id(moment)) <= place(ids.end_id(moment))
    assert place(ids.new_id(moment)) <= place(ids.last_id(moment))


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


def test_sort_key_sorts_as_databases_do() -> None:
    values = [bytes([number]) * 16 for number in (0, 25, 26, 51, 52, 61, 62, 63, 64, 200, 255)]
    made = [ids.from_bytes(value) for value in values]

    assert sorted(made, key=ids.sort_key) == made
    assert sorted(made) != made


@given(MOMENTS)
def test_time_of_an_id_is_the_moment_it_was_made(moment: datetime) -> None:
    assert abs(ids.time_of(ids.new_id(moment)) - moment) <= timedelta(microseconds=1)
