"""The signed links of a message: about its incident, to unsubscribe, or to join."""

from dataclasses import replace
from urllib.parse import urlencode

from taskbadger.channels import DIGEST, INVITATION, DeliveryError, Message, SendContext
from taskbadger.domain import digest_links, invitation_links
from taskbadger.domain.digest_links import DigestLink
from taskbadger.domain.incident_links import ACKNOWLEDGE, OPERATIONS, IncidentLink, write_token

PATH = "/public/incidents/"
DIGEST_PATH = "/public/digests/"
INVITATION_PATH = "/invitation"
_KINDS = frozenset({"monitor_failing", "task.failing", "task.new_failure", "task.reminder"})


def with_links(message: Message, person: str, context: SendContext) -> Message:
    """Return *message* with links that were sent to *person*, if its incident is open.

    A digest has a link to unsubscribe, an invitation one to join.

    They are signed when it is sent, not when it is queued: then they are valid for 72 hours from
    there, each recipient of a mail gets their own, and none is stored.
    """
    if message.kind == DIGEST:
        return _with_unsubscribe(message, context)
    if message.kind == INVITATION:
        return _with_join(message, context)
    incident = message.incident or {}
    number = incident.get("id")
    if not (context.base_url and context.secret_key and message.kind in _KINDS):
        return message
    if not isinstance(number, int) or incident.get("closed"):
        return message
    left = [each for each in OPERATIONS if each != ACKNOWLEDGE or not incident.get("acknowledged")]
    links = {
        operation: _url(IncidentLink(operation, number, person, message.id), context)
        for operation in left
    }
    return replace(message, links=links)


def _url(link: IncidentLink, context: SendContext) -> str:
    token = write_token(link, context.secret_key, now=context.clock())
    # In the query, because the request log has paths.
    return f"{context.base_url}{PATH}?{urlencode({'token': token})}"


def _with_unsubscribe(message: Message, context: SendContext) -> Message:
    member = (message.digest or {}).get("member")
    if not (member and context.base_url and context.secret_key):
        return message
    token = digest_links.write_token(DigestLink(**member), context.secret_key)
    url = f"{context.base_url}{DIGEST_PATH}?{urlencode({'token': token})}"
    return replace(message, links={"unsubscribe": url})


def _with_join(message: Message, context: SendContext) -> Message:
    """Return an invitation with its link, without which it would be of no use."""
    invited = message.invitation
    if invited is None:
        return message
    if not (context.base_url and context.secret_key):
        raise DeliveryError(
            "The server does not know its own address, so it cannot send links.",
            error_class="not_configured",
        )
    token = invitation_links.write_token(invited["digest"], context.secret_key)
    url = f"{context.base_url}{INVITATION_PATH}?{urlencode({'token': token})}"
    return replace(message, links={"join": url})
