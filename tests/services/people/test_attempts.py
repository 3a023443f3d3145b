"""The limits of attempts to sign in, per account and per address, and how they end."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from taskbadger.errors import Throttled
from taskbadger.extensions import db
from taskbadger.services.people import attempts

NOW = datetime(2026, 11, 27, 12, 5, tzinfo=UTC)
ADA, HERS, GUESSER = "ada@example.org", "192.0.2.1", "192.0.2.9"


@pytest.fixture(autouse=True)
def small_limits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PER_ACCOUNT_AND_ADDRESS", 2)
    monkeypatch.setattr(attempts, "PER_ADDRESS", 4)
    monkeypatch.setattr(attempts, "PER_ACCOUNT", 4)


def wait(email: str, address: str) -> int:
    """Count an attempt; return the seconds to wait, 0 if it is allowed."""
    try:
        attempts.count_attempt(email, address, now=NOW)
    except Throttled as error:
        return error.retry_after
    return 0


def test_guessing_one_account_from_one_address_ends_there_only() -> None:
    assert [wait(ADA, GUESSER) for _ in range(3)] == [0, 0, 600]
    assert wait(" ADA@example.org", GUESSER) == 600
    assert wait(ADA, HERS) == 600  # The fifth attempt on the account from everywhere.
    attempts.forget_account(ADA)
    db.session.commit()
    assert wait(ADA, HERS) == 0


def test_guessing_many_accounts_from_one_address_ends() -> None:
    assert [wait(f"{number}@example.org", GUESSER) for number in range(5)] == [0] * 4 + [600]
    assert wait(ADA, HERS) == 0


def test_signing_in_resets_the_limit_of_that_address_only() -> None:
    for address in (HERS, GUESSER):
        wait(ADA, address)
    attempts.forget_attempts(ADA, HERS)
    db.session.commit()

    assert [wait(ADA, HERS), wait(ADA, GUESSER), wait(ADA, GUESSER)] == [0, 0, 600]


def test_uses_of_links_are_limited_per_address(app: Flask) -> None:
    for _ in range(attempts.PER_ADDRESS):
        attempts.count_link_use("203.0.113.9", now=NOW)

    with pytest.raises(Throttled) as raised:
        attempts.count_link_use("203.0.113.9", now=NOW)

    assert 0 < raised.value.retry_after <= attempts.SECONDS
    attempts.count_link_use("203.0.113.10", now=NOW)
