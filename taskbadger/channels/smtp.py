"""Hands mails to a mail server, within one deadline and without sending one twice."""

import contextlib
import functools
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from taskbadger.channels import DeliveryError
from taskbadger.domain.mail import MailServer
from taskbadger.outbound import OutboundError, look_up

ACCEPTED = frozenset({250, 251, 252})
QUIT_SECONDS = 1.0


class Mail(NamedTuple):
    """A mail as it goes over the wire, and who gets it."""

    content: bytes
    recipients: Sequence[str]


def hand_over(
    mails: Sequence[Mail],
    *,
    sender: str,
    server: MailServer,
    seconds: float,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Hand mails to *server*, in one session.

    Raises DeliveryError; its *remaining* names the recipients who did not get their mail, after a
    partial success.
    """
    refused: dict[str, int] = {}
    left = [address for mail in mails for address in mail.recipients]
    count = len(left)
    try:
        with _session(server, tls or _system_tls(), seconds) as session:
            session.open()
            for mail in mails:
                refused |= _transmit(session, mail, sender, is_only=len(mails) == 1)
                left = [each for each in left if each in refused or each not in mail.recipients]
    except DeliveryError as error:
        if len(left) < count:
            error.remaining = {"to": ",".join(left)}
        raise
    if refused:
        raise _refusal(refused, is_sent=len(left) < count)


def try_server(server: MailServer, *, seconds: float) -> None:
    """Connect and log in, and send nothing; raises DeliveryError."""
    with _session(server, _system_tls(), seconds) as session:
        session.open()


def _transmit(session: smtplib.SMTP, mail: Mail, sender: str, *, is_only: bool) -> dict[str, int]:
    """Send a mail to those whom the server accepts; return the reply codes of the others."""
    code, reply = session.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, reply, sender)
    replies = {address: session.rcpt(address)[0] for address in mail.recipients}
    refused = {address: code for address, code in replies.items() if code not in ACCEPTED}
    if len(refused) == len(replies):
        session.rset()
        return refused
    try:
        code, reply = session.data(mail.content)
        if code == 250:
            return refused
        raise smtplib.SMTPDataError(code, reply)
    except smtplib.SMTPDataError as error:
        if error.smtp_code < 500 or is_only:
            raise
        # One mail of several: the others may be taken.
        session.rset()
        return refused | dict.fromkeys(set(replies) - set(refused), error.smtp_code)


def _refusal(refused: dict[str, int], *, is_sent: bool) -> DeliveryError:
    """Return the error for *refused* addresses, given with their reply codes.

    The delivery is retried while an address may still be accepted. Rejected addresses stay in
    *remaining*, so that the final error names them.
    """
    names = ", ".join(f"{address} ({code})" for address, code in refused.items())
    others = "; the others received it" if is_sent else ""
    return DeliveryError(
        f"The mail server refused {names}{others}.",
        error_class="smtp_status",
        permanent=all(code >= 500 for code in refused.values()),
        status=max(refused.values()),
        remaining={"to": ",".join(refused)} if is_sent else None,
    )


@contextlib.contextmanager
def _session(server: MailServer, tls: ssl.SSLContext, seconds: float) -> Iterator["_Session"]:
    session = _Session(server, tls, seconds)
    try:
        session.begin()
        yield session
    except (smtplib.SMTPException, OutboundError, OSError, UnicodeError) as error:
        raise _to_delivery_error(error, is_late=session.is_late) from error
    finally:
        session.end()


class _Session(smtplib.SMTP):
    """An SMTP connection with one deadline for all its steps."""

    def __init__(self, server: MailServer, tls: ssl.SSLContext, seconds: float) -> None:
        # smtplib would look up our own name in the DNS, which may take longer than the mail.
        super().__init__(local_hostname=_own_name(), timeout=seconds)
        self._host = server.host  # What starttls() checks the certificate against.
        self._server = server
        self._tls = tls
        self._end = time.monotonic() + seconds
        self._open_socket: socket.socket | None = None
        self.is_late = False
        # A timeout per step does not stop a server that keeps sending single bytes.
        self._watchdog = threading.Timer(seconds, self._hang_up)
        self._watchdog.daemon = True

    def begin(self) -> None:
        """Connect."""
        self._watchdog.start()
        code, reply = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, reply)

    def open(self) -> None:
        """Greet the server, switch to TLS and log in, as its URL says."""
        self.ehlo_or_helo_if_needed()
        if self._server.starttls:
            cast(socket.socket, self.sock).settimeout(self._positive_left())
            self.starttls(context=self._tls)
            self._open_socket = self.sock
            self.ehlo()
        if self._server.user is not None:
            self.login(_Utf8(self._server.user), _Utf8(self._server.password))

    def auth_plain(self, challenge: Any = None) -> str:
        """Return the answer of AUTH PLAIN."""
        return _Utf8(super().auth_plain(challenge))

    def auth_cram_md5(self, challenge: Any = None) -> Any:
        """Return the answer of AUTH CRAM-MD5."""
        answer = super().auth_cram_md5(challenge)
        return None if answer is None else _Utf8(answer)

    def end(self) -> None:
        """Send QUIT and close everything; errors are ignored."""
        if self.sock is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self.sock.settimeout(QUIT_SECONDS)
                self.quit()
        self._watchdog.cancel()
        self.close()
        if self._open_socket is not None:
            self._open_socket.close()
        self._watchdog.join()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected = self._connect_any(look_up(host, port, seconds=self._left()), port)
        connected.settimeout(self._positive_left())
        if self._server.tls:
            connected = self._tls.wrap_socket(connected, server_hostname=host)
        self._open_socket = connected
        return connected

    def _connect_any(self, addresses: list[str], port: int) -> socket.socket:
        """Connect to the first address that answers; each gets a share of the remaining time."""
        for place, address in enumerate(addresses, start=1):
            share = self._left() / (len(addresses) - place + 1)
            try:
                return socket.create_connection((address, port), max(share, 0.01))
            except OSError:
                if place == len(addresses):
                    raise
        raise AssertionError("there is at least one address")  # pragma: no cover

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _positive_left(self) -> float:
        return max(self._left(), 0.01)

    def _hang_up(self) -> None:
        self.is_late = True
        if self._open_socket is not None:
            with contextlib.suppress(OSError):
                self._open_socket.shutdown(socket.SHUT_RDWR)


class _Utf8(str):
    """Text that smtplib sends as UTF-8, as RFC 4616 has it, where it would encode it as ASCII."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the text as UTF-8, whatever *encoding* is asked for."""
        return super().encode("utf-8", errors)


@functools.cache
def _system_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _own_name() -> str:
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "localhost"


def _to_delivery_error(error: Exception, *, is_late: bool) -> DeliveryError:
    """Return the DeliveryError for an error of the mail server.

    Only a 5xx reply to the mail itself (DATA) is permanent. The operator can repair everything
    else, and the mail then still goes out.
    """
    if is_late or isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return DeliveryError("The mail server did not answer in time.", error_class="timeout")
    if isinstance(error, OutboundError):
        return DeliveryError(error.detail, error_class=error.error_class)
    if isinstance(error, smtplib.SMTPAuthenticationError | UnicodeError):
        code = getattr(error, "smtp_code", None)
        return DeliveryError("The mail server rejected the login.", error_class="auth", status=code)
    if isinstance(error, smtplib.SMTPResponseException):
        return DeliveryError(
            f"The mail server answered {error.smtp_code}.",
            error_class="smtp_status",
            permanent=isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500,
            status=error.smtp_code,
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryError(
            "The mail server does not support the STARTTLS or login that its URL requires.",
            error_class="not_supported",
        )
    if isinstance(error, ssl.SSLError):
        return DeliveryError(
            "TLS with the mail server failed: the certificate or TLS configuration is not valid.",
            error_class="tls",
        )
    if isinstance(error, smtplib.SMTPException | ConnectionResetError | BrokenPipeError):
        return DeliveryError("The mail server closed the connection.", error_class="reset")
    return DeliveryError("The mail server refused the connection.", error_class="connect")
