"""Everything else, through Apprise: an extra, off until the operator names the allowed schemes.

Apprise looks names up and connects by itself, outside the guard of `taskbadger.outbound`, and
knows schemes that write to the host. So only schemes that the operator has listed are accepted.
"""

import importlib
import importlib.util
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from taskbadger.channels import Channel, Config, DeliveryError, Message, SendContext, text

SECONDS = 15.0
URL_LENGTH = 2048


class AppriseConfigSchema(Schema):
    """The config of an Apprise channel."""

    url = fields.String(
        required=True,
        validate=validate.Length(1, URL_LENGTH),
        metadata={"description": "An Apprise URL, as matrixs://user:password@host/#room."},
    )


class Apprise(Channel):
    """Sends through one Apprise URL."""

    kind = "apprise"
    label = "Apprise"
    config_schema = AppriseConfigSchema
    secret_fields = ("url",)

    def missing(self, context: SendContext) -> str | None:
        """The package and a list of schemes are needed."""
        if not context.apprise_schemes:
            return "Set TASKBADGER_APPRISE_SCHEMES to the URL schemes that Apprise may use."
        if importlib.util.find_spec("apprise") is None:
            return "Install the extra: taskbadger-server[apprise]."
        return None

    def check(self, config: Config, context: SendContext) -> None:
        """Refuse schemes that are not listed, and URLs that Apprise does not understand."""
        problem = self.missing(context) or _scheme_problem(config["url"], context)
        if problem:
            raise ValidationError({"url": [problem]})
        if _service(config["url"]) is None:
            raise ValidationError({"url": ["Apprise does not understand this URL."]})

    def destination(self, config: Config, action_config: Config) -> str:
        """Return the scheme: Apprise's URLs hold their secrets anywhere."""
        return f"apprise:{_scheme(config['url'])}"

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Send the message; whether another attempt may help, Apprise does not tell."""
        missing = self.missing(context)
        if missing:
            raise DeliveryError(missing, error_class="not_configured")
        problem = _scheme_problem(config["url"], context)
        if problem:
            raise DeliveryError(problem, error_class="refused_url", permanent=True)
        service = _service(config["url"])
        if service is None:
            raise DeliveryError(
                "Apprise does not understand the URL.", error_class="refused_url", permanent=True
            )
        result = service.notify(
            body=_body(message), title=text.title(message), body_format="text", timeout=SECONDS
        )
        if not result:
            raise DeliveryError("Apprise could not deliver the message.", error_class="apprise")


def _body(message: Message) -> str:
    link = text.link(message)
    return "\n".join([text.plain(message), *([link] if link else [])])


def _scheme(url: str) -> str:
    return url.partition("://")[0].strip().lower()


def _scheme_problem(url: str, context: SendContext) -> str | None:
    scheme = _scheme(url)
    if scheme in {allowed.lower() for allowed in context.apprise_schemes}:
        return None
    allowed = ", ".join(context.apprise_schemes)
    return f"The scheme {text.cut(text.one_line(scheme), 30)!r} is not one of: {allowed}."


def _service(url: str) -> Any:
    """Return an Apprise object for *url*, or None; the extra is loaded when it is first needed."""
    apprise = importlib.import_module("apprise")
    # instantiate() takes one URL; add() would take a list, whose others nobody has checked.
    plugin = apprise.Apprise.instantiate(url)
    return None if plugin is None else apprise.Apprise(plugin)
