"""The guarded sender: one POST to a URL that somebody else chose."""

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

import httpcore2
import httpx2

from taskbadger import look_ups
from taskbadger.look_ups import Resolver, resolve
from taskbadger.outbound.addresses import Address, Network, is_refused, literal_address
from taskbadger.outbound.errors import OutboundError
from taskbadger.outbound.network import Deadline, PinnedNetwork, named_errors
from taskbadger.outbound.urls import PORTS, parse_url

SECONDS = 15.0
ANSWER_BYTES = 64 * 1024
_PROTOCOLS = ["http/1.1"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered: any status; names of headers ignore case; the body may be cut."""

    status: int
    headers: httpx2.Headers
    body: bytes


def look_up(host: str, port: int, *, seconds: float, resolver: Resolver = resolve) -> list[str]:
    """Return the addresses of *host* within *seconds*; raises OutboundError."""
    try:
        found = look_ups.look_up(host, port, seconds=seconds, resolver=resolver)
    except TimeoutError as error:
        raise OutboundError("timeout", "Looking up the host name took too long.") from error
    except (OSError, UnicodeError) as error:
        raise OutboundError("dns", "The host name could not be resolved.") from error
    if not found:
        raise OutboundError("dns", "The host name could not be resolved.")
    return list(found)


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Return the context that all senders share: reading the certificates takes a while."""
    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(_PROTOCOLS)
    return context


@dataclass(frozen=True)
class Sender:
    """Sends guarded requests. One is enough for all threads.

    *allow* names networks that are reachable although they are special; *seconds* bounds a whole
    request. An IPv4 address inside an IPv6 one must be allowed as well as the outer one.
    """

    allow: tuple[Network, ...] = ()
    seconds: float = SECONDS
    resolver: Resolver = resolve
    tls: ssl.SSLContext = field(default_factory=_trusted)

    def __post_init__(self) -> None:
        # Once: setting it while another thread makes a connection is not safe.
        if self.tls is not _trusted():
            self.tls.set_alpn_protocols(_PROTOCOLS)

    @classmethod
    def allowing(cls, networks: Iterable[str], **options: Any) -> "Sender":
        """Make a sender from networks as text, as the setting OUTBOUND_ALLOW has them."""
        return cls(allow=tuple(ip_network(network) for network in networks), **options)

    def check(self, url: str) -> httpx2.URL:
        """Return *url*, parsed, or raise OutboundError; looks nothing up."""
        parsed = parse_url(url)
        address = literal_address(parsed.raw_host.decode("ascii"))
        if address is not None:
            self._check_address(address)
        return parsed

    def post(self, url: str, *, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """POST *content*, and return the answer whatever its status; raises OutboundError.

        Once the status is there, the answer stands: a body that hangs, breaks off or never ends
        costs time, but it is not a failure, because the receiver has said what it thinks.
        """
        deadline = Deadline(self.seconds)
        parsed = self.check(url)
        target = _target_of(parsed)
        host = parsed.raw_host.decode("ascii")
        network = PinnedNetwork(
            self._addresses(host, parsed.port or PORTS[parsed.scheme], deadline), deadline, self.tls
        )
        connection = httpcore2.HTTPConnection(
            # A context that the library may change; `network` uses ours.
            target.origin,
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            network_backend=network,
        )
        with (
            named_errors(network),
            connection,
            connection.stream(
                "POST",
                target,
                headers=_headers(parsed, headers or {}),
                content=content,
                extensions={"sni_hostname": host.rstrip(".")},
            ) as response,
        ):
            return Answer(response.status, httpx2.Headers(response.headers), _read_start(response))

    def _addresses(self, host: str, port: int, deadline: "Deadline") -> list[str]:
        found = look_up(host, port, seconds=deadline.left(), resolver=self.resolver)
        for address in found:
            self._check_address(ip_address(address))
        return found

    def _check_address(self, address: Address) -> None:
        if is_refused(address, self.allow):
            raise OutboundError(
                "refused_address",
                "The host is inside a network that requests may not reach. "
                "TASKBADGER_OUTBOUND_ALLOW can allow it.",
            )


def _target_of(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme,
        host=url.raw_host,
        port=url.port or PORTS[url.scheme],
        target=url.raw_path,
    )


def _headers(url: httpx2.URL, more: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("Host", url.netloc.decode("ascii")),
        ("User-Agent", "taskbadger-server"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        *more.items(),
    ]


def _read_start(response: httpcore2.Response) -> bytes:
    body = bytearray()
    with contextlib.suppress(
        httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError
    ):
        for chunk in response.iter_stream():
            body += chunk
            if len(body) >= ANSWER_BYTES:
                break
    return bytes(body[:ANSWER_BYTES])
