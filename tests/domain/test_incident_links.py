"""Tokens of links: what they hold, and what becomes of a forged one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.incident_links import (
    OPERATIONS,
    VALID_FOR,
    IncidentLink,
    InvalidLink,
    read_token,
    write_token,
)

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"
LINK = IncidentLink("acknowledge", 7, "anna@example.com", "d1")


@given(
    st.builds(
        IncidentLink,
        st.sampled_from(OPERATIONS),
        st.integers(1, 2**62),
        st.text(st.characters(codec="utf-8"), max_size=200),
        st.text("abc-_123", min_size=1, max_size=30),
    )
)
def test_token_says_what_was_signed(link: IncidentLink) -> None:
    found = read_token(write_token(link, SECRET, now=NOW), SECRET)

    assert (found.link, found.expires) == (link, NOW + VALID_FOR)


def test_link_is_the_same_one_whenever_it_was_signed() -> None:
    later = NOW + timedelta(hours=1)
    first, second = (read_token(write_token(LINK, SECRET, now=at), SECRET) for at in (NOW, later))

    assert first.link.digest == second.link.digest
    assert second.expires - first.expires == timedelta(hours=1)


@pytest.mark.parametrize(
    "other",
    [
        IncidentLink("snooze", 7, "anna@example.com", "d1"),
        IncidentLink("acknowledge", 8, "anna@example.com", "d1"),
        IncidentLink("acknowledge", 7, "bob@example.com", "d1"),
        IncidentLink("acknowledge", 7, "anna@example.com", "d2"),
    ],
)
def test_other_links_are_other_ones(other: IncidentLink) -> None:
    assert other.digest != LINK.digest


def test_long_names_are_cut() -> None:
    long = IncidentLink("acknowledge", 7, "x" * 5000, "d1")

    assert read_token(write_token(long, SECRET, now=NOW), SECRET).link.person == "x" * 200


@pytest.mark.parametrize(
    "token",
    ["", "x", "x.y", "\x00", "ü.é", "." * 100, write_token(LINK, SECRET, now=NOW)[:-1]],
)
def test_token_that_was_not_signed_is_invalid(token: str) -> None:
    with pytest.raises(InvalidLink):
        read_token(token, SECRET)


def test_another_key_makes_all_links_invalid() -> None:
    with pytest.raises(InvalidLink):
        read_token(write_token(LINK, SECRET, now=NOW), SECRET[::-1])


@given(st.text(max_size=300))
def test_no_text_is_an_error_of_ours(token: str) -> None:
    with pytest.raises(InvalidLink):
        read_token(token, SECRET)
