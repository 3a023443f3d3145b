"""Guarded HTTP: POST to an address that someone else chose, without reaching inside.

What the guard promises:

- http or https, no user name or password in the URL, no redirects, no proxies or ``.netrc``.
- *Every* address that the name resolves to is checked against the table in ``addresses``; one bad
  address refuses the request. The connection then goes to the checked address: there is no second
  look-up.
- One deadline for everything, the look-up included; 64 KiB of the answer are read at most.

Every port is allowed: receivers listen where they like, the address is what separates inside from
outside, and a JSON body cannot hold the line breaks that text protocols would take for commands.
"""

from taskbadger.outbound.errors import OutboundError
from taskbadger.outbound.sender import Answer, Sender, look_up
from taskbadger.outbound.urls import PORTS, URL_LENGTH, parse_url

__all__ = [
    "PORTS",
    "URL_LENGTH",
    "Answer",
    "OutboundError",
    "Sender",
    "look_up",
    "parse_url",
]
