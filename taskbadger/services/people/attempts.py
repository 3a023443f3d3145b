"""Limits how often someone may try a password, or use links of messages.

The limit that a person meets is that of one account from one address: a stranger elsewhere needs
hundreds of attempts to lock the owner out. The wider limits stop guessing with many addresses or
many accounts.
"""

import hashlib
import ipaddress
from datetime import datetime

from taskbadger.errors import Throttled
from taskbadger.extensions import db
from taskbadger.services import throttle

SECONDS = 15 * 60
PER_ACCOUNT_AND_ADDRESS = 10
PER_ADDRESS = 50
PER_ACCOUNT = 500
"""From all addresses together; ``users unlock`` ends the wait."""


def count_attempt(email: str, address: str, *, now: datetime) -> None:
    """Count an attempt on an account, known or not; raises Throttled.

    Commits, as an attempt counts whatever becomes of the request.
    """
    account, network = _account(email), _network(address)
    waits = [
        throttle.count(subject, limit=limit, seconds=SECONDS, now=now)
        for subject, limit in (
            (f"{account}:{network}", PER_ACCOUNT_AND_ADDRESS),
            (account, PER_ACCOUNT),
            (f"sign-in:{network}", PER_ADDRESS),
        )
    ]
    db.session.commit()
    if any(waits):
        raise Throttled(max(waits))


def count_link_use(address: str, *, now: datetime) -> None:
    """Count a use of a signed link by whoever has it; raises Throttled. Commits, as above."""
    wait = throttle.count(f"link:{_network(address)}", limit=PER_ADDRESS, seconds=SECONDS, now=now)
    db.session.commit()
    if wait:
        raise Throttled(wait)


def forget_attempts(email: str, address: str) -> None:
    """Reset the limit of an account from one address: its user has signed in."""
    throttle.forget(f"{_account(email)}:{_network(address)}")


def forget_account(email: str) -> None:
    """Reset the limits of an account, from all addresses."""
    throttle.forget(_account(email))
    throttle.forget_all(f"{_account(email)}:")


def _account(email: str) -> str:
    return f"sign-in:{hashlib.sha256(email.strip().lower().encode()).hexdigest()}"


def _network(address: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address: one user has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return (
        address if parsed.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
    )
