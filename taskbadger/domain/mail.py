"""Mail addresses, senders and mail servers: one rule for everyone who names one."""

from dataclasses import dataclass
from email.charset import SHORTEST, Charset
from email.header import Header
from email.utils import formataddr, parseaddr
from urllib.parse import parse_qsl, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from taskbadger.errors import SettingsError

# The library takes addresses of the public internet only. A mail server also takes those of its
# own network, under the names that RFC 6761, 6762 and 8375 set aside. Other names without a dot
# are refused: more often than not, such an address lacks its last part (ann@example).
_INSIDE = (".localhost", ".local", ".test", ".home.arpa")
_PUBLIC = ".example.com"
MAX_RECIPIENTS = 5
"""The largest number of addresses that one mail is sent to."""
_PORTS = {"smtp": 25, "starttls": 587, "smtps": 465}


class InvalidAddress(ValueError):
    """The text is not a mail address that a mail server could take."""


@dataclass(frozen=True, slots=True)
class MailAddress:
    """A checked address."""

    text: str
    """As people write it: the domain in Unicode."""
    ascii: str
    """As mail servers take it: the domain in Punycode."""


def read_login(text: str) -> str:
    """Check the address by which a person signs in, which may have letters of any script.

    Raises InvalidAddress.
    """
    return _read(text, smtputf8=True).text.lower()


def read_address(text: str) -> MailAddress:
    """Check an address by syntax, without asking the DNS; raises InvalidAddress."""
    return _read(text, smtputf8=False)


def read_recipients(text: str) -> list[MailAddress]:
    """Read 1 to MAX_RECIPIENTS addresses, separated by commas; each is returned once.

    Raises InvalidAddress, which says to people what is wrong.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InvalidAddress("Give at least one e-mail address.")
    if len(parts) > MAX_RECIPIENTS:
        raise InvalidAddress(f"Give at most {MAX_RECIPIENTS} e-mail addresses.")
    return list({found.ascii: found for found in map(_read_recipient, parts)}.values())


def _read_recipient(text: str) -> MailAddress:
    try:
        return read_address(text)
    except InvalidAddress as error:
        raise InvalidAddress(f"“{text}” is not a valid e-mail address.") from error


def _read(text: str, *, smtputf8: bool) -> MailAddress:
    added = _added_to(text)
    try:
        found = validate_email(text + added, check_deliverability=False, allow_smtputf8=smtputf8)
    except EmailNotValidError as error:
        raise InvalidAddress(str(error)) from error
    written = found.normalized
    return MailAddress(
        written.removesuffix(added), (found.ascii_email or written).removesuffix(added)
    )


def _added_to(text: str) -> str:
    """Return the suffix that makes an internal address acceptable to the library."""
    domain = text.rpartition("@")[2].lower()
    return _PUBLIC if domain == "localhost" or domain.endswith(_INSIDE) else ""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name, perhaps empty, and an address: ``Task Badger <taskbadger@localhost>``."""

    name: str
    address: MailAddress

    def header(self) -> str:
        """Return the value of the header From, folded, with every character of the name kept."""
        if _is_plain(self.name):
            return formataddr((self.name, self.address.ascii))
        return f"{encode_header('From', self.name)} <{self.address.ascii}>"


def encode_header(name: str, text: str) -> str:
    """Return *text* as the value of the header *name*: ASCII, folded, and read back as it is."""
    charset = Charset("us-ascii" if _is_plain(text) else "utf-8")
    if charset.header_encoding:
        # A library that also writes mails may have changed the default for the whole process.
        charset.header_encoding = SHORTEST
    return Header(text, charset, header_name=name).encode(linesep="\r\n")


def _is_plain(text: str) -> bool:
    """Say whether a header can hold *text* as it is.

    It must look nowhere like an encoded word (RFC 2047), and have spaces at which to fold it.
    """
    can_fold = all(len(word) < 60 for word in text.split(" "))
    return text.isascii() and text.isprintable() and can_fold and "=?" not in text


def read_mailbox(text: str) -> Mailbox:
    """Read ``address`` or ``Name <address>``; raises InvalidAddress.

    A name needs no quotes, whatever signs it has: what stands before the last ``<`` is the name.
    """
    name, bracket, rest = text.strip().rpartition("<")
    if not bracket:
        return Mailbox("", read_address(text.strip()))
    if not rest.endswith(">"):
        raise InvalidAddress("The address is not closed by “>”.")
    name = name.strip()
    if name.startswith('"'):
        name = parseaddr(f"{name} <a@b>")[0] or name.strip('"')
    if not name.isprintable():
        raise InvalidAddress("The name has control characters.")
    return Mailbox(name, read_address(rest[:-1].strip()))


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
        raise SettingsError("TASKBADGER_SMTP_URL has only one option: ?starttls=true")
    wants_starttls = starttls in ("true", "1")
    if wants_starttls and parts.scheme == "smtps":
        raise SettingsError("TASKBADGER_SMTP_URL: use either smtps:// or ?starttls=true, not both")
    return MailServer(
        host=parts.hostname,
        port=port or _PORTS["starttls" if wants_starttls else parts.scheme],
        tls=parts.scheme == "smtps",
        starttls=wants_starttls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
    )
