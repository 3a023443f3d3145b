"""Tokens of links to unsubscribe: what they hold, and what becomes of a forged one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain import incident_links
from taskbadger.domain.digest_links import DigestLink, InvalidLink, read_token, write_token
from taskbadger.domain.incident_links import IncidentLink

SECRET = "0123456789abcdef0123456789abcdef"
LINK = DigestLink(3, 7)


@given(st.builds(DigestLink, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1)))
def test_token_says_what_was_signed(link: DigestLink) -> None:
    assert read_token(write_token(link, SECRET), SECRET) == link


@pytest.mark.parametrize("other", [DigestLink(3, 8), DigestLink(4, 7), DigestLink(7, 3)])
def test_token_of_another_member_is_another_one(other: DigestLink) -> None:
    assert write_token(other, SECRET) != write_token(LINK, SECRET)


@given(st.integers(0), st.characters(codec="ascii", categories=("L", "N")))
def test_changed_token_never_names_another_member(place: int, letter: str) -> None:
    token = write_token(LINK, SECRET)
    place %= len(token)

    try:
        found = read_token(token[:place] + letter + token[place + 1 :], SECRET)
    except InvalidLink:
        return
    assert found == LINK  # The last letter has bits that mean nothing.


@pytest.mark.parametrize("token", ["", ".", "a.b", "x" * 5000, "ä", "\x00", "WzMsN10"])
def test_what_is_no_token_is_invalid(token: str) -> None:
    with pytest.raises(InvalidLink):
        read_token(token, SECRET)


def test_token_of_another_key_or_of_another_page_is_invalid() -> None:
    incident = IncidentLink("acknowledge", 7, "a@example.com", "d1")
    foreign = incident_links.write_token(incident, SECRET, now=datetime(2026, 11, 28, tzinfo=UTC))

    for token in (write_token(LINK, "another key, as long as this one"), foreign):
        with pytest.raises(InvalidLink):
            read_token(token, SECRET)
