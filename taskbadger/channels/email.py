"""E-mail over SMTP, as text and as HTML."""

import re
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from marshmallow import Schema, fields, validate

from taskbadger.channels import (
    DIGEST,
    Channel,
    Config,
    DeliveryError,
    Message,
    SendContext,
    text,
)
from taskbadger.channels.links import with_links
from taskbadger.channels.smtp import Mail, hand_over
from taskbadger.domain.mail import (
    MAX_RECIPIENTS,
    encode_header,
    parse_smtp_url,
    read_mailbox,
    read_recipients,
)
from taskbadger.schemas.coded import coded
from taskbadger.schemas.fields import email_addresses

SUBJECT_LENGTH = 150
POLICY = SMTP.clone(cte_type="7bit")  # Servers without 8BITMIME accept it, too.

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class EmailActionSchema(Schema):
    """The config of an action that sends mail."""

    to = fields.String(
        required=True,
        validate=[validate.Length(1, 2000), email_addresses],
        metadata={"description": f"1 to {MAX_RECIPIENTS} addresses, separated by commas."},
    )


class EmailConfigSchema(Schema):
    """The config of an e-mail channel."""

    to = fields.String(
        validate=[validate.Length(1, 2000), email_addresses],
        metadata={"description": "Default recipients, for actions without addresses of their own."},
    )


class Email(Channel):
    """Sends one mail to all addresses of an action.

    A mail with signed links goes to each address on its own, because the links name the person;
    all of them still see who else got it.

    If the server accepts only some addresses, those get the mail, and the DeliveryError names the
    others in *remaining*, so that nobody gets it twice. Addresses that were refused permanently
    (5xx) stay in *remaining*; when only such are left, the error is permanent. If the server
    accepts the mail but disconnects before it says so, the mail is sent again with the same
    Message-ID.
    """

    kind = "email"
    label = "E-mail"
    guide = (
        "The addresses that get the messages of alert rules which name this channel and no "
        "addresses of their own."
    )
    config_schema = EmailConfigSchema
    action_schema = EmailActionSchema

    def missing(self, context: SendContext) -> str | None:
        """Say whether there is no mail server."""
        return None if context.smtp_url else "This server has no mail server."

    def load_action(self, action_config: Any, config: Config) -> dict[str, Any]:
        """Require addresses, unless the channel has default ones."""
        schema = self.action_schema(partial=("to",)) if config.get("to") else self.action_schema()
        loaded: dict[str, Any] = coded(schema).load(action_config)
        return loaded

    def destination(self, config: Config, action_config: Config) -> str:
        """Return the domains of the recipients: deferred mail to one must not delay the others."""
        domains = {address.rpartition("@")[2] for address in _recipients(config, action_config)}
        return f"email:{','.join(sorted(domains))}"[:255]

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Send the mail."""
        missing = self.missing(context)
        if missing:
            raise DeliveryError(missing, error_class="not_configured")
        recipients = _recipients(config, action_config)
        server = parse_smtp_url(context.smtp_url)
        hand_over(
            [
                Mail(compose(copy, recipients, context.mail_from).as_bytes(), addresses)
                for copy, addresses in _copies(message, recipients, context)
            ],
            sender=read_mailbox(context.mail_from).address.ascii,
            server=server,
            seconds=context.smtp_seconds,
            tls=context.smtp_tls,
        )


def _copies(
    message: Message, recipients: list[str], context: SendContext
) -> list[tuple[Message, list[str]]]:
    """Return who gets which copy: each their own if it has links, which name them."""
    signed = [(with_links(message, address, context), [address]) for address in recipients]
    return signed if signed[0][0].links else [(message, recipients)]


def _recipients(config: Config, action_config: Config) -> list[str]:
    return [found.ascii for found in read_recipients(action_config.get("to") or config["to"])]


class _WireHeader(str):
    """A header that is sent exactly as given.

    EmailMessage parses the values of headers. It would decode anything in a task's name that looks
    like an encoded word (RFC 2047), even into line ends and further headers.
    """

    name: str

    def __new__(cls, name: str, value: str) -> "_WireHeader":
        """Return a header; *value* is ASCII, already encoded and folded."""
        header = super().__new__(cls, value)
        header.name = name
        return header

    def fold(self, *, policy: EmailPolicy) -> str:
        """Return the header as one or more lines; called by *policy*."""
        return f"{self.name}: {self}{policy.linesep}"


class Rendered(NamedTuple):
    """What people read of a mail."""

    subject: str
    text: str
    html: str


def render(message: Message) -> Rendered:
    """Return the subject and both parts of the mail."""
    if message.kind == DIGEST:
        name, values = "digest", _digest_values(message)
    else:
        name, values = "email", _values(message)
    return Rendered(
        f"{text.cut(text.title(message), SUBJECT_LENGTH)} ({text.where(message)})",
        _templates.get_template(f"{name}.txt").render(values),
        _templates.get_template(f"{name}.html").render(values),
    )


def _values(message: Message) -> dict[str, Any]:
    return {
        "title": text.title(message),
        "mood": text.mood(message),
        "facts": text.facts(message),
        "notes": text.notes(message),
        "links": text.links(message),
    }


def _digest_values(message: Message) -> dict[str, Any]:
    digest = message.digest or {}
    organization = text.where(message)
    return {
        "title": text.title(message),
        "where": organization,
        "period": digest["period"],
        "sections": digest["sections"],
        "nothing": "Nothing happened.",
        "why": f"You get this {digest['frequency']} digest as a member of {organization}.",
        "account_url": digest["account_url"],
        "unsubscribe_url": (message.links or {}).get("unsubscribe"),
    }


def compose(message: Message, recipients: list[str], mail_from: str) -> EmailMessage:
    """Return the mail, with a text part and an HTML part."""
    sender = read_mailbox(mail_from)
    domain = sender.address.ascii.rpartition("@")[2]
    rendered = render(message)
    mail = EmailMessage(policy=POLICY)
    mail["From"] = _WireHeader("From", sender.header())
    mail["To"] = _WireHeader("To", f",{POLICY.linesep} ".join(recipients))
    mail["Subject"] = _WireHeader("Subject", encode_header("Subject", rendered.subject))
    mail["Date"] = message.created
    mail["Message-ID"] = f"<{_id_part(message.id)}@{domain}>"
    thread = text.thread(message)
    if thread:
        # The id of no mail: whatever order they arrive in, all of them belong together.
        root = f"<{thread}.{_id_part(message.organization)}@{domain}>"
        mail["In-Reply-To"], mail["References"] = root, root
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    _add_unsubscribe(mail, (message.links or {}).get("unsubscribe"))
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    return mail


def _add_unsubscribe(mail: EmailMessage, url: str | None) -> None:
    """Let mail programs unsubscribe with one click (RFC 8058), which requires https."""
    if url is None:
        return
    mail["List-Unsubscribe"] = _WireHeader("List-Unsubscribe", f"<{url}>")
    if url.startswith("https:"):
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"


def _id_part(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", value)
