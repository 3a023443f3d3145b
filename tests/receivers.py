"""Real receivers on loopback: a mail server, and a web server that misbehaves on demand."""

import asyncio
import contextlib
import datetime
import email.policy
import functools
import ipaddress
import json
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class TestAuthority:
    """A certificate authority for tests: contexts for a server, and for a client that trusts it."""

    __test__ = False

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate: bytes
    """The authority's certificate, in PEM."""
    server_pem: bytes
    """The server's certificate and its key."""


def authority(name: str = "localhost") -> TestAuthority:
    """Return the authority that certifies *name*, the same one on every call.

    The certificate for localhost also covers 127.0.0.1. A client that trusts another authority
    rejects the server.
    """
    return _authority(name)


# Since Python 3.13, clients ask for what RFC 5280 does: this, and key identifiers.
_CERTIFIES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@functools.cache
def _authority(name: str) -> TestAuthority:
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address(LOOPBACK)))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {name}")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    root = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CERTIFIES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder(
            subject,
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            leaf_key.public_key(),
            x509.random_serial_number(),
        )
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = root.public_bytes(serialization.Encoding.PEM)
    client = ssl.create_default_context(cadata=pem.decode())
    server_pem = leaf.public_bytes(serialization.Encoding.PEM) + leaf_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return TestAuthority(_server_context(server_pem), client, pem, server_pem)


def _server_context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chain.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context


@dataclass(frozen=True)
class ReceivedMail:
    """A mail as received."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    user: str | None
    content: bytes
    """The mail as it was on the wire."""

    @property
    def text(self) -> str:
        """The plain-text part."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML part."""
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


class SmtpReceiver:
    """A mail server. ``with SmtpReceiver() as smtp: … smtp.url, smtp.mails``.

    *recipients* maps addresses to replies, as in ``{"a@example.com": "550 no"}``; *data* is the
    reply to the mail itself; *password* requires a login as ``badger``; *starttls* offers
    STARTTLS, *tls* speaks TLS from the start.
    """

    user = "badger"

    def __init__(
        self,
        *,
        recipients: Mapping[str, str] | None = None,
        data: str = "250 OK",
        sender: str = "250 OK",
        password: str | None = None,
        starttls: bool = False,
        tls: bool = False,
        name: str = "localhost",
    ) -> None:
        self.recipients = dict(recipients or {})
        self.data = data
        self.sender = sender
        self.password = password
        self.starttls = starttls
        self.tls = tls
        self.name = name
        self.mails: list[ReceivedMail] = []
        self.port = 0
        self._arrived = threading.Condition()

    @property
    def url(self) -> str:
        """The URL for the setting SMTP_URL."""
        login = f"{self.user}:{quote(self.password, safe='')}@" if self.password else ""
        scheme, query = ("smtps" if self.tls else "smtp"), ("?starttls=true" * self.starttls)
        return f"{scheme}://{login}{LOOPBACK}:{self.port}{query}"

    def wait(self, count: int, *, seconds: float = 10) -> list[ReceivedMail]:
        """Wait for *count* mails and return them; raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.mails) >= count, seconds):
                raise TimeoutError(f"{len(self.mails)} of {count} mails after {seconds} s")
            return list(self.mails)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the mail server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the mail server did not stop"

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        protocols: list[SMTP] = []

        def protocol() -> SMTP:
            protocols.append(self._protocol())
            return protocols[-1]

        context = authority(self.name).server if self.tls else None
        server = await self._loop.create_server(protocol, LOOPBACK, self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for one in protocols:
            if one.transport is not None:
                one.transport.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await server.wait_closed()

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="localhost",
            loop=self._loop,
            tls_context=authority(self.name).server if self.starttls else None,
            require_starttls=self.starttls,
            auth_required=False,
            auth_require_tls=False,
            authenticator=self._authenticate,
            auth_exclude_mechanism=() if self.password else ("LOGIN", "PLAIN"),
        )

    def _authenticate(self, *arguments: Any) -> AuthResult:
        login = arguments[-1]
        given = (login.login.decode(), login.password.decode())
        return AuthResult(
            success=given == (self.user, self.password), handled=False, auth_data=given[0]
        )

    async def handle_MAIL(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.password and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return self.sender

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        reply = self.recipients.get(address, "250 OK")
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.data.startswith("2"):
            message = BytesParser(policy=email.policy.default).parsebytes(envelope.content)
            assert isinstance(message, EmailMessage)
            mail = ReceivedMail(
                envelope.mail_from,
                list(envelope.rcpt_tos),
                message,
                session.auth_data,
                envelope.content,
            )
            with self._arrived:
                self.mails.append(mail)
                self._arrived.notify_all()
        return self.data


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as received; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Connection:
    """A connection, as a behaviour of `HttpReceiver` sees it; knows when to stop."""

    socket: socket.socket
    stopping: threading.Event
    receiver: "HttpReceiver"

    def read_request(self) -> ReceivedRequest | None:
        """Read and record one request; None if the client hangs up before its end."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.receive()
            if not part:
                return None
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        while len(body) < int(headers.get("content-length", "0")):
            part = self.receive()
            if not part:
                return None
            body += part
        method, path, _ = first.split(" ", 2)
        request = ReceivedRequest(method, path, headers, body)
        self.receiver.record(request)
        return request

    def receive(self) -> bytes:
        """Read what has arrived; empty if the peer has closed or the test ends."""
        self.socket.settimeout(0.05)
        while not self.stopping.is_set():
            try:
                return self.socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return b""
        return b""

    def send(self, data: bytes) -> bool:
        """Send; return False if the peer is gone."""
        self.socket.settimeout(5)
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def hang(self) -> None:
        """Do nothing until the client leaves or the test ends."""
        while self.receive():
            pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Behaviour = Callable[[Connection], None]


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> Behaviour:
    """Answer normally. ``retry_after="3"`` becomes the header ``Retry-After: 3``."""

    def behave(connection: Connection) -> None:
        if connection.read_request():
            lines = [f"HTTP/1.1 {status} Some words", f"Content-Length: {len(body)}"]
            lines += [f"{name.replace('_', '-').title()}: {headers[name]}" for name in headers]
            connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return behave


def send_raw(data: bytes, *, then_hang: bool = False) -> Behaviour:
    """Send *data* verbatim, then hang up or hang."""

    def behave(connection: Connection) -> None:
        if connection.read_request() and connection.send(data) and then_hang:
            connection.hang()

    return behave


def hang_at_accept(connection: Connection) -> None:
    """Accept the connection and read nothing."""
    connection.stopping.wait()


def hang_at_headers(connection: Connection) -> None:
    """Read the request and never answer."""
    connection.read_request()
    connection.hang()


hang_in_headers = send_raw(b"HTTP/1.1 200 OK\r\nContent-", then_hang=True)
hang_at_body = send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", then_hang=True)
short_body = send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!")
not_http = send_raw(b"SSH-2.0-OpenSSH_9.2\r\n")
bad_length = send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")
no_answer = send_raw(b"")


def reset_at_once(connection: Connection) -> None:
    """Reset the connection before anything is read."""
    connection.reset()


def reset_after_request(connection: Connection) -> None:
    """Read the request, then reset the connection."""
    connection.read_request()
    connection.reset()


def endless_body(connection: Connection) -> None:
    """Answer 200 with a body that never ends."""
    if connection.read_request():
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not connection.stopping.is_set() and connection.send(b"x" * 65536):
            pass


def endless_headers(connection: Connection) -> None:
    """Answer with headers that never end."""
    if connection.read_request():
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.stopping.is_set() and connection.send(b"X-More: " + b"x" * 1000):
            pass


def slow_drip(connection: Connection) -> None:
    """Answer byte by byte, fast enough that no single read times out."""
    if connection.read_request():
        for byte in b"HTTP/1.1 200 OK\r\nX-Filler: " + b"." * 100_000:
            if connection.stopping.wait(0.05) or not connection.send(bytes([byte])):
                return


def redirect(location: str, status: int = 302) -> Behaviour:
    """Answer with a redirect."""
    return answer(status, b"", location=location)


class HttpReceiver:
    """A web server that records requests and behaves as configured.

    ``with HttpReceiver(answer(500), answer(204)) as http: … http.url, http.requests``: each
    behaviour is for one connection, and the last one for all further ones. ``http.behave(…)``
    changes it while the server runs. *tls* is a server's SSL context.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviours = list(behaviours or (answer(),))
        self.tls = tls
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self._arrived = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.url_for(LOOPBACK)

    def url_for(self, host: str) -> str:
        """The address of the server with another host name."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}/hook"

    @property
    def root(self) -> str:
        """The address without a path."""
        return self.url.removesuffix("/hook")

    def behave(self, *behaviours: Behaviour) -> None:
        """Set the behaviour from the next connection on."""
        with self._arrived:
            self._behaviours = list(behaviours)

    def record(self, request: ReceivedRequest) -> None:
        """Record a request."""
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def wait(self, count: int, *, seconds: float = 10) -> list[ReceivedRequest]:
        """Wait for *count* requests and return them; raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, seconds):
                raise TimeoutError(f"{len(self.requests)} of {count} requests after {seconds} s")
            return list(self.requests)

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for thread in (self._acceptor, *self._threads):
            thread.join(10)
            assert not thread.is_alive(), "the web server did not stop"
        self._listener.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if selector.select(0.05):
                    self._take(self._listener.accept()[0])

    def _take(self, client: socket.socket) -> None:
        with self._arrived:
            self.connections += 1
            is_last = len(self._behaviours) == 1
            behaviour = self._behaviours[0] if is_last else self._behaviours.pop(0)
        thread = threading.Thread(target=self._handle, args=(client, behaviour), daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _handle(self, client: socket.socket, behaviour: Behaviour) -> None:
        with self._secured(client) as connected:
            if connected is not None:
                behaviour(Connection(connected, self._stopping, self))

    @contextlib.contextmanager
    def _secured(self, client: socket.socket) -> Iterator[socket.socket | None]:
        with client:
            if self.tls is None:
                yield client
                return
            client.settimeout(5)
            try:
                secured = self.tls.wrap_socket(client, server_side=True)
            except OSError:
                yield None
                return
            with secured:
                yield secured


@dataclass
class SilentListener:
    """A port whose handshakes the kernel completes but nobody accepts, or a closed one."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server((LOOPBACK, 0)))

    @property
    def port(self) -> int:
        """The port."""
        return int(self.listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listener.close()


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with SilentListener() as listener:
        return listener.port
