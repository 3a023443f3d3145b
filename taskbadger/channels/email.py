"""E-mail over SMTP: what, where, since when and why, to read on a phone."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import jinja2
from email_validator import EmailNotValidError, validate_email
from marshmallow import Schema, ValidationError, fields, validate

from taskbadger.channels import Channel, Config, DeliveryError, Message, SendContext, text
from taskbadger.channels.smtp import hand_over, parse_smtp_url
from taskbadger.errors import SettingsError
from taskbadger.schemas.coded import coded

MOST_ADDRESSES = 5
SUBJECT_LENGTH = 150
INSIDE = ("@localhost", ".localhost", ".local", ".test")
PUBLIC = ".example.com"
POLICY = SMTP.clone(cte_type="7bit")  # Every server takes it, 8BITMIME or not.

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def parse_addresses(value: str) -> list[str]:
    """Return the addresses of a comma-separated list, without doubles; raises ValidationError."""
    return list(dict.fromkeys(_parse_address(part.strip()) for part in value.split(",")))


def _parse_address(value: str) -> str:
    # The library knows no mail inside a network: root@localhost is checked as if it were public.
    is_inside = value.lower().endswith(INSIDE)
    try:
        found = validate_email(
            value + PUBLIC if is_inside else value, check_deliverability=False, allow_smtputf8=False
        )
    except EmailNotValidError as error:
        raise ValidationError(f"{text.one_line(value)!r} is not an e-mail address.") from error
    address = str(found.ascii_email)
    return address.removesuffix(PUBLIC) if is_inside else address


def check_addresses(value: str) -> None:
    """Check a comma-separated list of 1 to 5 addresses; raises ValidationError."""
    if len(parse_addresses(value)) > MOST_ADDRESSES:
        raise ValidationError(f"At most {MOST_ADDRESSES} addresses are allowed.")


class EmailActionSchema(Schema):
    """The config of an action that sends mail."""

    to = fields.String(
        required=True,
        validate=[validate.Length(1, 2000), check_addresses],
        metadata={"description": "1 to 5 addresses, separated by commas."},
    )


class EmailConfigSchema(Schema):
    """The config of an e-mail channel that someone set up."""

    to = fields.String(
        validate=[validate.Length(1, 2000), check_addresses],
        metadata={"description": "Where actions without addresses of their own write to."},
    )


class Email(Channel):
    """Sends one mail to all addresses of an action.

    When the server takes the mail for some addresses and not for others, it is sent to those, and
    the DeliveryError names the others as *remaining*: nobody gets it twice because of someone else.
    Addresses refused for good (5xx) stay in *remaining* too, and once only such are left the error
    is permanent. A server that takes the mail and hangs up before it says so gets it again, under
    the same Message-ID.
    """

    kind = "email"
    label = "E-mail"
    config_schema = EmailConfigSchema
    action_schema = EmailActionSchema

    def missing(self, context: SendContext) -> str | None:
        """Without a mail server there is no mail."""
        if not context.smtp_url:
            return "Set TASKBADGER_SMTP_URL to send e-mails."
        try:
            parse_smtp_url(context.smtp_url)
        except SettingsError as error:
            return f"{error}."
        return None

    def load_action(self, action_config: Any, config: Config) -> dict[str, Any]:
        """Ask for addresses, unless the channel has its own."""
        schema = self.action_schema(partial=("to",)) if config.get("to") else self.action_schema()
        loaded: dict[str, Any] = coded(schema).load(action_config)
        return loaded

    def destination(self, config: Config, action_config: Config) -> str:
        """Return the domains: a mail server that defers one must not hold up the others."""
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
            sender=parseaddr(context.mail_from)[1],
            recipients=recipients,
            server=server,
            seconds=context.smtp_seconds,
            tls=context.smtp_tls,
        )


def _recipients(config: Config, action_config: Config) -> list[str]:
    return parse_addresses(action_config.get("to") or config["to"])


def compose(message: Message, recipients: list[str], mail_from: str) -> EmailMessage:
    """Return the mail, with a text and an HTML part."""
    name, sender = parseaddr(mail_from)
    domain = sender.rpartition("@")[2] or "localhost"
    subject = f"{text.cut(text.title(message), SUBJECT_LENGTH)} ({text.where(message)})"
    mail = EmailMessage(policy=POLICY)
    mail["From"] = Address(display_name=text.one_line(name), addr_spec=sender)
    mail["To"] = [Address(addr_spec=address) for address in recipients]
    mail["Subject"] = subject
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
