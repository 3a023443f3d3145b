"""Signed links in digests: whoever opens one may turn these digests off, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

_SALT = "taskbadger.digest-link"


class InvalidLink(ValueError):
    """The token was not signed with this key, or was changed."""


@dataclass(frozen=True, slots=True)
class DigestLink:
    """Whose digests a link turns off.

    The ids of the two are never used again; those of memberships may be.
    """

    organization_id: int
    user_id: int


def write_token(link: DigestLink, secret_key: str) -> str:
    """Return a token for a URL. It does not expire: old mails must let people unsubscribe."""
    return str(_serializer(secret_key).dumps([link.organization_id, link.user_id]))


def read_token(token: str, secret_keys: str | Sequence[str]) -> DigestLink:
    """Read what `write_token` wrote with one of these keys; raises InvalidLink."""
    try:
        organization_id, user_id = _serializer(secret_keys).loads(token)
    except (BadData, ValueError) as error:
        raise InvalidLink() from error
    return DigestLink(organization_id, user_id)


def _serializer(secret_keys: str | Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(secret_keys, salt=_SALT)
