"""Passwords: argon2id, with the low-memory parameters of the OWASP password storage cheat sheet."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from taskbadger.errors import ValidationFailed

MIN_LENGTH = 10
MAX_LENGTH = 256
_MIN_DIFFERENT = 5

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Compared when there is no such user, so that the answer takes equally long.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1"
    "$ikYZN23XPsnsA7JKMOjIBw$lGsNNqn+L0/DyQl+P0QhEvqleNbocr5EzqILj/c1sbU"
)


def hash_password(password: str) -> str:
    """Return the hash of *password* that the database stores."""
    return _hasher.hash(_normal(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Say whether *password* has this hash. No hash takes equally long, and never matches."""
    try:
        _hasher.verify(password_hash or _NOBODY, _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return bool(password_hash)


def check_strength(password: str, *, email: str = "") -> None:
    """Raise ValidationFailed if a password is too easy to guess."""
    if len(password) < MIN_LENGTH:
        raise _weak(f"Use at least {MIN_LENGTH} characters.", "min_length")
    if len(password) > MAX_LENGTH:
        raise _weak(f"Use at most {MAX_LENGTH} characters.", "max_length")
    if len(set(password)) < _MIN_DIFFERENT:
        raise _weak("Use a greater variety of characters.", "weak")
    if _is_common(password.lower()):
        raise _weak("This password is too common.", "weak")
    if email and email.partition("@")[0].lower() in password.lower():
        raise _weak("Do not use your e-mail address as your password.", "weak")


_COMMON = (
    *("password", "passw0rd", "qwertyuiop", "qwerty", "letmein", "welcome", "iloveyou"),
    *("1234567890", "123456789", "12345678", "abcdefghij", "taskbadger", "administrator"),
)


def _is_common(password: str) -> bool:
    """Say whether a password is a common word with only digits and punctuation around it."""
    rest = password
    for word in _COMMON:
        rest = rest.replace(word, "")
    return rest != password and not any(letter.isalpha() for letter in rest)


def _normal(password: str) -> str:
    """Return *password* in the same Unicode form for every keyboard (NFC, as in RFC 8265)."""
    return unicodedata.normalize("NFC", password)


def _weak(detail: str, code: str) -> ValidationFailed:
    return ValidationFailed.one("password", detail, code)
