"""API keys: generating, parsing and hashing them."""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass

PREFIX_BYTES = 6
SECRET_BYTES = 24  # 192 random bits; docs/contract.md#authentication asks for 160.
MAX_TOKEN_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Token:
    """What a client sent: a secret, with the slugs that a project key contains."""

    secret: str
    organization: str | None = None
    project: str | None = None


def new_secret() -> str:
    """Return a new secret, ``prefix.random``; the prefix may be shown, the rest must not."""
    return f"{secrets.token_hex(PREFIX_BYTES)}.{secrets.token_urlsafe(SECRET_BYTES)}"


def prefix_of(secret: str) -> str:
    """Return the part of *secret* that lists and logs may show."""
    return secret.partition(".")[0]


def project_key(organization: str, project: str, secret: str) -> str:
    """Return the key as users see it: the three parts in standard base64 with padding."""
    return base64.b64encode(f"{organization}/{project}/{secret}".encode()).decode("ascii")


def parse_token(text: str) -> Token | None:
    """Read one of the three forms in docs/contract.md#authentication; None for anything else."""
    if not text or len(text) > MAX_TOKEN_LENGTH or not text.isascii():
        return None
    try:
        parts = base64.b64decode(text, validate=True).decode("utf-8").split("/")
    except (binascii.Error, ValueError):
        return Token(text)
    if len(parts) == 3 and all(parts):
        return Token(secret=parts[2], organization=parts[0], project=parts[1])
    return Token(text)


def digest(secret: str) -> str:
    """Return the SHA-256 of *secret* in hexadecimal, which is what the database stores."""
    return hashlib.sha256(secret.encode()).hexdigest()
