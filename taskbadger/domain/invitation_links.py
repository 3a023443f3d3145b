"""Signed links in mails of invitations: as good as the link that was shown to who invited.

The token of that link is not stored, so the mail names the invitation by the token's digest.
"""

from collections.abc import Sequence

from itsdangerous import BadData, URLSafeSerializer

from taskbadger.domain.keys import digest

_SALT = "taskbadger.invitation-link"
_SEPARATOR = "."
"""Every signed token has one; those of links that are shown have none."""


def write_token(token_digest: str, secret_key: str) -> str:
    """Return a token for a URL. It does not expire: the invitation does."""
    return str(_serializer(secret_key).dumps(token_digest))


def digest_of(token: str, secret_keys: str | Sequence[str]) -> str:
    """Return the digest that names the invitation of a link, shown or mailed; empty if forged."""
    if _SEPARATOR not in token:
        return digest(token)
    try:
        return str(_serializer(secret_keys).loads(token))
    except (BadData, ValueError):
        return ""


def _serializer(secret_keys: str | Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(secret_keys, salt=_SALT)
