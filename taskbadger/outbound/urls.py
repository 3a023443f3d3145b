"""URLs that somebody else chose: what is wrong with one, before anything is looked up."""

import re

import httpx2

from taskbadger.outbound.errors import OutboundError

URL_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


def parse_url(url: str) -> httpx2.URL:
    """Return *url*, parsed, or raise OutboundError when it is none that we would call."""
    if len(url) > URL_LENGTH:
        raise OutboundError("refused_url", f"The URL is longer than {URL_LENGTH} characters.")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise OutboundError("refused_url", "The URL is not valid.") from error
    if parsed.scheme not in PORTS:
        raise OutboundError("refused_url", "The URL must start with http:// or https://.")
    if parsed.userinfo:
        raise OutboundError("refused_url", "The URL must not contain a user name or password.")
    if not _is_host(parsed):
        raise OutboundError("refused_url", "The URL has no valid host name.")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise OutboundError("refused_url", "The port must be between 1 and 65535.")
    return parsed


def _is_host(parsed: httpx2.URL) -> bool:
    host = parsed.raw_host.decode("ascii")
    if ":" in host:  # The library has checked that it is IPv6; a zone means this machine's links.
        return "%" not in host
    return _HOST.fullmatch(host) is not None
