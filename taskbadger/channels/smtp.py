"""Handing a mail to a mail server, within one deadline and without sending it twice."""

import contextlib
import functools
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from taskbadger.channels import DeliveryError
from taskbadger.errors import SettingsError
from taskbadger.outbound import OutboundError, look_up

PORTS = {"smtp": 25, "starttls": 587, "smtps": 465}
ACCEPTED = frozenset({250, 251, 252})
QUIT_SECONDS = 1.0


@dataclass(frozen=True)
class MailServer:
    """What the setting SMTP_URL says."""

    host: str
    port: int
    tls: bool = False
    """Speak TLS from the first byte."""
    starttls: bool = False
    """Refuse to go on without STARTTLS."""
    user: str | None = None
    password: str = ""


def parse_smtp_url(url: str) -> MailServer:
    """Read ``smtp://user:password@host:port``; raises SettingsError, without the password."""
    try:
        parts = urlsplit(url)
        port, options = parts.port, dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise SettingsError("TASKBADGER_SMTP_URL is not a valid URL") from error
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingsError("TASKBADGER_SMTP_URL must be smtp://host or smtps://host")
    starttls = options.pop("starttls", "false").lower()
    if options or starttls not in ("true", "false", "1", "0"):
        raise SettingsError("TASKBADGER_SMTP_URL knows one option: ?starttls=true")
    wants_starttls = starttls in ("true", "1")
    if wants_starttls and parts.scheme == "smtps":
        raise SettingsError("TASKBADGER_SMTP_URL: smtps:// and ?starttls=true exclude each other")
    return MailServer(
        host=parts.hostname,
        port=port or PORTS["starttls" if wants_starttls else parts.scheme],
        tls=parts.scheme == "smtps",
        starttls=wants_starttls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
    )


def hand_over(
    content: bytes,
    *,
    sender: str,
    recipients: list[str],
    server: MailServer,
    seconds: float,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Hand a mail to *server*; raises DeliveryError, with who did not get it as *remaining*."""
    with _session(server, tls or _system_tls(), seconds) as session:
        session.open()
        _transmit(session, content, sender, recipients)


def _transmit(session: smtplib.SMTP, content: bytes, sender: str, recipients: list[str]) -> None:
    code, reply = session.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, reply, sender)
    replies = {address: session.rcpt(address)[0] for address in recipients}
    refused = {address: code for address, code in replies.items() if code not in ACCEPTED}
    is_sent = len(refused) < len(recipients)
    if is_sent:
        code, reply = session.data(content)
        if code != 250:
            raise smtplib.SMTPDataError(code, reply)
    if refused:
        raise _refusal(refused, is_sent)


def _refusal(refused: dict[str, int], is_sent: bool) -> DeliveryError:
    """Return the error about *refused* addresses and the codes they got.

    Those that may be accepted later keep the delivery going; the others stay with them, so that
    they are still named in the end.
    """
    names = ", ".join(f"{address} ({code})" for address, code in refused.items())
    others = "; the others have got it" if is_sent else ""
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
        raise _named(error, is_late=session.is_late) from error
    finally:
        session.end()


class _Session(smtplib.SMTP):
    """An SMTP connection whose every step ends at one deadline."""

    def __init__(self, server: MailServer, tls: ssl.SSLContext, seconds: float) -> None:
        # smtplib would ask the DNS for our name, which may take longer than the mail.
        super().__init__(local_hostname=_own_name(), timeout=seconds)
        self._host = server.host  # What starttls() checks the certificate against.
        self._server = server
        self._tls = tls
        self._end = time.monotonic() + seconds
        self._open_socket: socket.socket | None = None
        self.is_late = False
        # A timeout of one step does not end a server that sends a byte now and then.
        self._watchdog = threading.Timer(seconds, self._hang_up)
        self._watchdog.daemon = True

    def begin(self) -> None:
        """Connect."""
        self._watchdog.start()
        code, reply = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, reply)

    def open(self) -> None:
        """Greet, switch to TLS and log in, as the server's URL says."""
        self.ehlo_or_helo_if_needed()
        if self._server.starttls:
            cast(socket.socket, self.sock).settimeout(self._positive_left())
            self.starttls(context=self._tls)
            self._open_socket = self.sock
            self.ehlo()
        if self._server.user is not None:
            self.login(self._server.user, self._server.password)

    def end(self) -> None:
        """Say goodbye and close everything; what the server makes of it changes nothing."""
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
        """Connect to the first address that answers; each has its share of the time."""
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


@functools.cache
def _system_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _own_name() -> str:
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "localhost"


def _named(error: Exception, *, is_late: bool) -> DeliveryError:
    """Turn what went wrong with the mail server into a DeliveryError.

    Only an answer to the mail itself (DATA) is permanent: everything else is for the operator to
    repair, and the mail then still goes out.
    """
    if is_late or isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return DeliveryError("The mail server did not answer in time.", error_class="timeout")
    if isinstance(error, OutboundError):
        return DeliveryError(error.detail, error_class=error.error_class)
    if isinstance(error, smtplib.SMTPAuthenticationError | UnicodeError):
        code = getattr(error, "smtp_code", None)
        return DeliveryError("The mail server refused the login.", error_class="auth", status=code)
    if isinstance(error, smtplib.SMTPResponseException):
        return DeliveryError(
            f"The mail server answered {error.smtp_code}.",
            error_class="smtp_status",
            permanent=isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500,
            status=error.smtp_code,
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryError(
            "The mail server does not offer the STARTTLS or login that its URL asks for.",
            error_class="not_supported",
        )
    if isinstance(error, ssl.SSLError):
        return DeliveryError(
            "No secure connection to the mail server: its certificate or TLS set-up is wrong.",
            error_class="tls",
        )
    if isinstance(error, smtplib.SMTPException | ConnectionResetError | BrokenPipeError):
        return DeliveryError("The mail server broke the connection off.", error_class="reset")
    return DeliveryError("The mail server refuses connections.", error_class="connect")
