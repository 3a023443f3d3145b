"""Passwords: argon2id, with the low-memory figures of the OWASP password storage cheat sheet."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from taskbadger.errors import ValidationFailed

LEAST_LENGTH = 10
MOST_LENGTH = 256
_LEAST_DIFFERENT = 5

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# What is compared when there is no such user, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Return what the database keeps of *password*."""
    return _hasher.hash(_normal(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Say whether *password* made *password_hash*; None is as slow, and never right."""
    try:
        _hasher.verify(password_hash or _NOBODY, _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def check_strength(password: str, *, email: str = "") -> None:
    """Raise ValidationFailed for a password that is too easy to guess."""
    if len(password) < LEAST_LENGTH:
        raise _weak(f"Use at least {LEAST_LENGTH} characters.", "min_length")
    if len(password) > MOST_LENGTH:
        raise _weak(f"Use at most {MOST_LENGTH} characters.", "max_length")
    if len(set(password)) < _LEAST_DIFFERENT:
        raise _weak("Use more different characters.", "weak")
    if _is_common(password.lower()):
        raise _weak("This password is among the first that are tried.", "weak")
    if email and email.partition("@")[0].lower() in password.lower():
        raise _weak("Use something other than your address.", "weak")


_COMMON = (
    *("password", "passw0rd", "qwertyuiop", "qwerty", "letmein", "welcome", "iloveyou"),
    *("1234567890", "123456789", "12345678", "abcdefghij", "taskbadger", "administrator"),
)


def _is_common(password: str) -> bool:
    """Say whether nothing but digits and signs is left beside a well-known word."""
    rest = password
    for word in _COMMON:
        rest = rest.replace(word, "")
    return rest != password and not any(letter.isalpha() for letter in rest)


def _normal(password: str) -> str:
    """Return *password* as it is whatever keyboard it was typed on (RFC 8265)."""
    return unicodedata.normalize("NFC", password)


def _weak(detail: str, code: str) -> ValidationFailed:
    return ValidationFailed.one("password", detail, code)
