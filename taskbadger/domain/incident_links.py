"""Signed links in messages: whoever opens one may do one thing with one incident, once."""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

ACKNOWLEDGE = "acknowledge"
SNOOZE = "snooze"
OPERATIONS = (ACKNOWLEDGE, SNOOZE)
VALID_FOR = timedelta(hours=72)
_SALT = "taskbadger.incident-link"
_PERSON_LENGTH = 200


class InvalidLink(ValueError):
    """The token was not signed with this key, or was changed."""


@dataclass(frozen=True, slots=True)
class IncidentLink:
    """What a link allows, and to whom it was sent."""

    operation: str
    """One of OPERATIONS."""
    incident_id: int
    person: str
    """The address that it was sent to, or the channel."""
    message_id: str
    """The delivery. Its links are the same for each attempt to deliver it."""

    @property
    def digest(self) -> str:
        """Tells links apart, whenever they were signed."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ReadLink:
    """A link that was opened."""

    link: IncidentLink
    expires: datetime


def write_token(link: IncidentLink, secret_key: str, *, now: datetime) -> str:
    """Return a token for a URL; it can be read with the same *secret_key*."""
    expires = int((now + VALID_FOR).timestamp())
    values = [link.operation, link.incident_id, link.person[:_PERSON_LENGTH], link.message_id]
    return str(_serializer(secret_key).dumps([*values, expires]))


def read_token(token: str, secret_keys: str | Sequence[str]) -> ReadLink:
    """Read what `write_token` wrote with one of these keys; raises InvalidLink.

    The caller compares ``expires``.
    """
    try:
        operation, incident_id, person, message_id, expires = _serializer(secret_keys).loads(token)
    except (BadData, ValueError) as error:
        raise InvalidLink() from error
    link = IncidentLink(operation, incident_id, person, message_id)
    return ReadLink(link, datetime.fromtimestamp(expires, UTC))


def _serializer(secret_keys: str | Sequence[str]) -> URLSafeSerializer:
    return URLSafeSerializer(secret_keys, salt=_SALT)
