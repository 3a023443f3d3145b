"""E-mail over SMTP, as text and as HTML."""

import re
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from pathlib import Path
from typing import Any

import jinja2
from marshmallow import Schema, fields, validate

from taskbadger.channels import Channel, Config, DeliveryError, Message, SendContext, text
from taskbadger.channels.smtp import hand_over
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

    If the server accepts only some addresses, those get the mail, and the DeliveryError names the
    others in *remaining*, so that nobody gets it twice. Addresses that were refused permanently
    (5xx) stay in *remaining*; when only such are left, the error is permanent. If the server
    accepts the mail but disconnects before it says so, the mail is sent again with the same
    Message-ID.
    """

    kind = "email"
    label = "E-mail"
    config_schema = EmailConfigSchema
    action_schema = EmailActionSchema

    def missing(self, context: SendContext) -> str | None:
        """Say whether TASKBADGER_SMTP_URL is missing."""
        return None if context.smtp_url else "Set TASKBADGER_SMTP_URL to send e-mails."

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
        mail = compose(message, recipients, context.mail_from)
        hand_over(
            mail.as_bytes(),
            sender=read_mailbox(context.mail_from).address.ascii,
            recipients=recipients,
            server=server,
            seconds=context.smtp_seconds,
            tls=context.smtp_tls,
        )


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


def compose(message: Message, recipients: list[str], mail_from: str) -> EmailMessage:
    """Return the mail, with a text part and an HTML part."""
    sender = read_mailbox(mail_from)
    domain = sender.address.ascii.rpartition("@")[2]
    subject = f"{text.cut(text.title(message), SUBJECT_LENGTH)} ({text.where(message)})"
    mail = EmailMessage(policy=POLICY)
    mail["From"] = _WireHeader("From", sender.header())
    mail["To"] = _WireHeader("To", f",{POLICY.linesep} ".join(recipients))
    mail["Subject"] = _WireHeader("Subject", encode_header("Subject", subject))
    mail["Date"] = message.created
    mail["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9_-]', '-', message.id)}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    values = {
        "title": text.title(message),
        "mood": text.mood(message),
        "facts": text.facts(message),
        "notes": text.notes(message),
        "link": text.link(message),
    }
    mail.set_content(_templates.get_template("email.txt").render(values))
    html = _templates.get_template("email.html").render(values)
    mail.add_alternative(html, subtype="html")
    return mail
