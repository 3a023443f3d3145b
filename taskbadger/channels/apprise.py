"""All other services, through Apprise: an optional extra, off until the operator lists schemes.

Apprise resolves names and connects by itself, without the checks of `taskbadger.outbound`, and
some of its schemes write to the host. So it may use only the schemes that the operator listed.
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
        metadata={"description": "An Apprise URL, e.g. matrixs://user:password@host/#room."},
    )


class Apprise(Channel):
    """Sends through one Apprise URL."""

    kind = "apprise"
    label = "Apprise"
    guide = "The page of each service in the documentation of Apprise says what its URL looks like."
    guide_url = "https://github.com/caronc/apprise/wiki"
    config_schema = AppriseConfigSchema
    secret_fields = ("url",)

    def missing(self, context: SendContext) -> str | None:
        """Say whether the list of schemes or the package is missing."""
        if not context.apprise_schemes:
            return "Apprise is turned off on this server. Its operator can allow it."
        if importlib.util.find_spec("apprise") is None:
            return "Apprise is not installed on this server. Its operator can install it."
        return None

    def check(self, config: Config, context: SendContext) -> None:
        """Reject schemes that are not listed, and URLs that Apprise does not understand."""
        problem = self.missing(context) or _scheme_problem(config["url"], context)
        if problem:
            raise ValidationError({"url": [problem]})
        if _service(config["url"]) is None:
            raise ValidationError({"url": ["Apprise does not understand this URL."]})

    def destination(self, config: Config, action_config: Config) -> str:
        """Return the scheme only: any other part of an Apprise URL may be secret."""
        return f"apprise:{_scheme(config['url'])}"

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Send the message. Apprise does not say whether another attempt may help."""
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
    links = [url if label == "Open" else f"{label}: {url}" for label, url in text.links(message)]
    return "\n".join([text.plain(message), *links])


def _scheme(url: str) -> str:
    return url.partition("://")[0].strip().lower()


def _scheme_problem(url: str, context: SendContext) -> str | None:
    scheme = _scheme(url)
    if scheme in {allowed.lower() for allowed in context.apprise_schemes}:
        return None
    allowed = ", ".join(context.apprise_schemes)
    return f"The scheme {text.cut(text.one_line(scheme), 30)!r} is not one of: {allowed}."


def _service(url: str) -> Any:
    """Return an Apprise object for *url*, or None. Imports the extra on first use."""
    apprise = importlib.import_module("apprise")
    # add() also accepts several URLs, of which only the first would be checked.
    plugin = apprise.Apprise.instantiate(url)
    return None if plugin is None else apprise.Apprise(plugin)
