"""Guarded HTTP: POST to an address that someone else chose, without reaching inside.

What the guard promises:

- http or https, no user name or password in the URL, no redirects, no proxies or ``.netrc``.
- *Every* address that the name resolves to is checked against the table below; one bad address
  refuses the request. The connection then goes to the checked address: there is no second look-up.
- One deadline for everything, the look-up included; 64 KiB of the answer are read at most.

Every port is allowed: receivers listen where they like, the address is what separates inside from
outside, and a JSON body cannot hold the line breaks that text protocols would take for commands.
"""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpcore2
import httpx2

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""Turns a host name and a port into addresses; raises OSError when there is none."""

SECONDS = 15.0
ANSWER_BYTES = 64 * 1024
URL_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")

# The registries of special-purpose addresses, with their own words for each block:
# iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
# Python's is_private and is_global miss several of them.
SPECIAL: Mapping[Network, str] = {
    ip_network(network): name
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private use"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "Azure's host agent"),
        ("169.254.0.0/16", "link local"),
        ("172.16.0.0/12", "private use"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private use"),
        ("192.175.48.0/24", "AS112 direct delegation"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, and broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard only"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "IETF protocol assignments, and Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112 direct delegation"),
        ("3ffe::/16", "6bone"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link local"),
        ("fec0::/10", "site local"),
        ("ff00::/8", "multicast"),
        # What is left outside 2000::/3 is not assigned to anyone.
        ("::/3", "unassigned"),
        ("4000::/2", "unassigned"),
        ("8000::/1", "unassigned"),
    )
}

_LAST_32_BITS = tuple(
    IPv6Network(network)
    for network in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
    )
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


class OutboundError(Exception):
    """A request got no answer.

    ``error_class`` is one of ``refused_url``, ``refused_address``, ``dns``, ``connect``, ``tls``,
    ``timeout``, ``reset`` and ``protocol``. The text is for people; it names no address, so that
    it tells nobody what the names inside resolve to.
    """

    def __init__(self, error_class: str, detail: str) -> None:
        super().__init__(detail)
        self.error_class = error_class
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered: any status; names of headers ignore case; the body may be cut."""

    status: int
    headers: httpx2.Headers
    body: bytes


def is_refused(address: Address, allow: Iterable[Network] = ()) -> bool:
    """Say whether *address*, or an IPv4 address inside it, is special and not in *allow*."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return True
    networks = tuple(allow)
    return any(
        any(part in network for network in SPECIAL)
        and not any(part in network for network in networks)
        for part in (address, *_embedded(address))
    )


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses to which the IPv6 *address* may lead."""
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    if bits > 1 and any(address in network for network in _LAST_32_BITS):
        yield IPv4Address(bits & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:  # RFC 6052 splits it around bits 64 to 71.
        yield IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        yield IPv4Address(bits >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~bits & 0xFFFFFFFF)
    if bits >> 32 & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(bits & 0xFFFFFFFF)


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of *host*, in the order to try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def look_up(host: str, port: int, *, seconds: float, resolver: Resolver = resolve) -> list[str]:
    """Return the addresses of *host* within *seconds*; raises OutboundError.

    The system's look-up cannot be stopped, so it runs in a thread that is left behind when late.
    """
    outcome: list[Sequence[str] | Exception] = []

    def ask() -> None:
        try:
            outcome.append(resolver(host, port))
        except (OSError, UnicodeError) as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, name="look-up", daemon=True)
    thread.start()
    thread.join(max(seconds, 0))
    if not outcome:
        raise OutboundError("timeout", "Looking up the host's name took too long.")
    found = outcome[0]
    if isinstance(found, Exception) or not found:
        raise OutboundError("dns", "The host's name could not be resolved.")
    return list(found)


@dataclass(frozen=True)
class Sender:
    """Sends guarded requests. One is enough for all threads.

    *allow* names networks that are reachable although they are special; *seconds* bounds a whole
    request. An IPv4 address inside an IPv6 one must be allowed as well as the outer one.
    """

    allow: tuple[Network, ...] = ()
    seconds: float = SECONDS
    resolver: Resolver = resolve
    tls: ssl.SSLContext = field(default_factory=httpx2.create_ssl_context)

    def __post_init__(self) -> None:
        # Once, here: setting it while another thread makes a connection is not safe.
        self.tls.set_alpn_protocols(["http/1.1"])

    @classmethod
    def allowing(cls, networks: Iterable[str], **options: Any) -> "Sender":
        """Make a sender from networks as text, as the setting OUTBOUND_ALLOW has them."""
        return cls(allow=tuple(ip_network(network) for network in networks), **options)

    def check(self, url: str) -> httpx2.URL:
        """Return *url*, parsed, or raise OutboundError; looks nothing up."""
        parsed = parse_url(url)
        address = _literal(parsed.raw_host.decode("ascii"))
        if address is not None:
            self._check_address(address)
        return parsed

    def post(self, url: str, *, content: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """POST *content*, and return the answer whatever its status; raises OutboundError.

        Once the status is there, the answer stands: a body that hangs, breaks off or never ends
        costs time, but it is not a failure, because the receiver has said what it thinks.
        """
        deadline = _Deadline(self.seconds)
        parsed = self.check(url)
        host = parsed.raw_host.decode("ascii")
        port = parsed.port or PORTS[parsed.scheme]
        network = _PinnedNetwork(self._addresses(host, port, deadline), deadline, self.tls)
        request_headers = [
            ("Host", parsed.netloc.decode("ascii")),
            ("User-Agent", "taskbadger-server"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *(headers or {}).items(),
        ]
        target = httpcore2.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=port, target=parsed.raw_path
        )
        with _named_errors(network):
            connection = httpcore2.HTTPConnection(
                # A context of its own, for the library to change; `_TimedStream` uses ours.
                target.origin,
                ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                network_backend=network,
            )
            with (
                connection,
                connection.stream(
                    "POST",
                    target,
                    headers=request_headers,
                    content=content,
                    extensions={"sni_hostname": host.rstrip(".")},
                ) as response,
            ):
                return Answer(
                    status=response.status,
                    headers=httpx2.Headers(response.headers),
                    body=_read_start(response),
                )

    def _addresses(self, host: str, port: int, deadline: "_Deadline") -> list[str]:
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
        raise OutboundError("refused_url", "The URL may not hold a user name or password.")
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


def _literal(host: str) -> Address | None:
    """Return the address that *host* spells, short, octal and hexadecimal forms included."""
    with contextlib.suppress(ValueError):
        return ip_address(host)
    with contextlib.suppress(OSError):
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    return None


class _Deadline:
    """The moment by which everything has to be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()


class _TLSFailure(Exception):
    """The connection stands, but the other side did not prove who it is."""


class _PinnedNetwork(httpcore2.NetworkBackend):
    """Connects to given addresses whatever the host's name, and to nothing else."""

    def __init__(self, addresses: Sequence[str], deadline: _Deadline, tls: ssl.SSLContext) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self.tls = tls
        self.received = 0
        """Bytes that the other side has sent."""

    def connect_tcp(
        self, host: str, port: int, *_args: object, **_options: object
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers; each has its share of the time."""
        backend = httpcore2.SyncBackend()
        for place, address in enumerate(self._addresses, start=1):
            share = _positive(self._deadline.left() / (len(self._addresses) - place + 1))
            try:
                return _TimedStream(backend.connect_tcp(address, port, timeout=share), self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(self._addresses):
                    raise
        raise AssertionError("there is at least one address")  # pragma: no cover

    def time_left(self) -> float:
        return _positive(self._deadline.left())


def _positive(seconds: float) -> float:
    """Return *seconds*, or raise when time is up: a socket takes 0 for "do not wait"."""
    if seconds <= 0:
        raise httpcore2.ReadTimeout("the deadline has passed")
    return seconds


class _TimedStream(httpcore2.NetworkStream):
    """A stream whose every step ends at the deadline of the whole request."""

    def __init__(self, stream: httpcore2.NetworkStream, network: _PinnedNetwork) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._network.time_left())
        self._network.received += len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.time_left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            seconds = self._network.time_left()
            stream = self._stream.start_tls(self._network.tls, server_hostname, seconds)
        except httpcore2.ConnectError as error:
            raise _TLSFailure from error
        except httpcore2.TimeoutException:
            self.close()
            raise
        return _TimedStream(stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@contextlib.contextmanager
def _named_errors(network: _PinnedNetwork) -> Iterator[None]:
    """Turn what the HTTP library raises into an OutboundError."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise OutboundError("timeout", "The receiver did not answer in time.") from error
    except _TLSFailure as error:
        raise OutboundError(
            "tls", "No secure connection: the certificate or the TLS set-up is wrong."
        ) from error
    except httpcore2.ConnectError as error:
        raise OutboundError("connect", "The receiver refuses connections.") from error
    except httpcore2.NetworkError as error:
        raise OutboundError("reset", "The receiver broke the connection off.") from error
    except httpcore2.ProtocolError as error:
        if network.received == 0:
            raise OutboundError("reset", "The receiver hung up without an answer.") from error
        raise OutboundError("protocol", "The receiver's answer is not valid HTTP.") from error


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
