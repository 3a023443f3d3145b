"""API keys: generating, parsing and hashing them."""

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass

PREFIX_BYTES = 6
SECRET_BYTES = 24  # 192 random bits; docs/contract.md#authentication asks for 160.
MAX_TOKEN_LENGTH = 1024
_PUBLIC_KEY = re.compile(r"[0-9a-f]{60}")
_ADDRESS = re.compile(r"(/(?:ping|checks)/[0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f-]{22}")
"""The secret in the address of a monitor's pings."""
_SHOWN = re.compile(r"\b([0-9a-f]{12})(?:\.[A-Za-z0-9_-]{32}|[0-9a-f]{48})")


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


def masked(text: str) -> str:
    """Return a path with its secrets cut to their beginnings, as a log may show it."""
    if "/ping/" in text or "/checks/" in text:
        text = _ADDRESS.sub(r"\1-***", text)
    return _SHOWN.sub(r"\1.***", text) if "." in text or len(text) > 60 else text


def public_key(secret: str) -> str:
    """Return a secret in letters and digits only, as clients of Sentry want it in a DSN."""
    prefix, _, rest = secret.partition(".")
    return prefix + base64.urlsafe_b64decode(rest).hex()


def secret_of(public_key: str) -> str | None:
    """Return the secret of a DSN, which may also be there as it is; None if there is none."""
    if _PUBLIC_KEY.fullmatch(public_key):
        prefix, rest = public_key[: 2 * PREFIX_BYTES], public_key[2 * PREFIX_BYTES :]
        return f"{prefix}.{base64.urlsafe_b64encode(bytes.fromhex(rest)).decode()}"
    return public_key if _SHOWN.fullmatch(public_key) else None


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
