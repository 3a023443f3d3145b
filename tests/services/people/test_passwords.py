"""Hashing passwords, and refusing weak ones."""

import pytest

from taskbadger.errors import ValidationFailed
from taskbadger.services.people import passwords


def test_password_matches_its_own_hash_only() -> None:
    hashed = passwords.hash_password("correct horse battery")

    assert hashed.startswith("$argon2id$")
    assert passwords.verify_password(hashed, "correct horse battery")
    assert not passwords.verify_password(hashed, "Correct horse battery")
    assert hashed != passwords.hash_password("correct horse battery")


def test_password_is_the_same_in_both_unicode_forms() -> None:
    hashed = passwords.hash_password("caf\u00e9 au lait")

    assert passwords.verify_password(hashed, "cafe\u0301 au lait")


@pytest.mark.parametrize("kept", [None, "", "not a hash"])
def test_nothing_matches_without_a_hash(kept: str | None) -> None:
    assert not passwords.verify_password(kept, "nobody has this password")


def test_nobody_takes_as_long_as_somebody() -> None:
    """The hash of nobody has the parameters of new ones, and is compared in full."""
    hasher = passwords._hasher

    assert not hasher.check_needs_rehash(passwords._NOBODY)
    assert hasher.verify(passwords._NOBODY, "nobody has this password")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "min_length"),
        ("x1y2z" * 60, "max_length"),
        ("aabbaabbaabb", "weak"),
        ("Password123!", "weak"),
        ("qwertyuiop", "weak"),
        ("my name is ada", "weak"),
    ],
)
def test_weak_password_is_refused(password: str, code: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        passwords.check_strength(password, email="Ada@example.org")

    assert [(one.attr, one.code) for one in caught.value.errors] == [("password", code)]


@pytest.mark.parametrize("password", ["correct horse", "passwords are for ducks", "x1y2z" * 51])
def test_strong_password_passes(password: str) -> None:
    passwords.check_strength(password, email="bo@example.org")
