"""Apprise: off until the operator lists schemes, and then nothing but those."""

import dataclasses
import importlib.util
from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import ValidationError

from taskbadger.channels import DeliveryError, Message, SendContext, load_config
from taskbadger.channels.apprise import Apprise
from tests.receivers import HttpReceiver, answer, closed_port

# Apprise imports all of its plug-ins at the first use, some of which use old modules of Python's.
pytestmark = pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")

MESSAGE = Message(
    id="1",
    kind="task",
    created=datetime(2026, 11, 23, 19, 10, tzinfo=UTC),
    organization="demo",
    title="import: error",
    url="https://tasks.example.com/",
)
ON = SendContext(apprise_schemes=("json", "Matrixs"))


def problem(config: dict[str, Any], context: SendContext = ON) -> object:
    """Return what is wrong with *config*."""
    with pytest.raises(ValidationError) as caught:
        load_config(Apprise(), config, context)
    return caught.value.normalized_messages()


def test_apprise_is_off_by_default() -> None:
    off = "Apprise is turned off on this server. Its operator can allow it."

    assert problem({"url": "json://localhost"}, SendContext()) == {"url": [off]}
    assert Apprise().missing(SendContext()) == off
    with pytest.raises(DeliveryError) as caught:
        Apprise().send(MESSAGE, {"url": "json://localhost"}, {}, SendContext())
    assert (caught.value.error_class, caught.value.permanent) == ("not_configured", False)


def test_apprise_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert (
        Apprise().missing(ON)
        == "Apprise is not installed on this server. Its operator can install it."
    )


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("syslog://localhost", "syslog"),
        ("jsons://localhost", "jsons"),
        ("https://example.com/", "https"),
        ("nonsense", "nonsense"),
        (" syslog://,json://localhost", "syslog"),
    ],
)
def test_scheme_that_is_not_listed_is_refused(url: str, scheme: str) -> None:
    detail = f"The scheme {scheme!r} is not one of: json, Matrixs."

    assert problem({"url": url}) == {"url": [detail]}
    with pytest.raises(DeliveryError) as caught:
        Apprise().send(MESSAGE, {"url": url}, {}, ON)
    assert (caught.value.detail, caught.value.error_class, caught.value.permanent) == (
        detail,
        "refused_url",
        True,
    )


def test_url_that_apprise_does_not_understand_is_refused() -> None:
    assert problem({"url": "json://"}) == {"url": ["Apprise does not understand this URL."]}
    with pytest.raises(DeliveryError) as caught:
        Apprise().send(MESSAGE, {"url": "json://"}, {}, ON)
    assert (caught.value.error_class, caught.value.permanent) == ("refused_url", True)


def test_message_goes_through_apprise() -> None:
    with HttpReceiver() as http:
        config = load_config(Apprise(), {"url": f"json://127.0.0.1:{http.port}/x"}, ON)
        Apprise().send(MESSAGE, config, {}, ON)

    body = http.requests[0].json()
    assert (body["title"], body["message"]) == (
        "import: error",
        "Where: demo\nWhen: 2026-11-23 19:10:00 UTC\nhttps://tasks.example.com/",
    )


def test_message_about_an_incident_has_its_links() -> None:
    links = {"acknowledge": "https://t.example/1", "snooze": "https://t.example/2"}
    with HttpReceiver() as http:
        config = load_config(Apprise(), {"url": f"json://127.0.0.1:{http.port}/x"}, ON)
        Apprise().send(dataclasses.replace(MESSAGE, links=links), config, {}, ON)

    assert http.requests[0].json()["message"].splitlines()[-3:] == [
        "https://tasks.example.com/",
        "Acknowledge: https://t.example/1",
        "Snooze: https://t.example/2",
    ]


def test_second_url_behind_an_allowed_one_is_not_called() -> None:
    with HttpReceiver() as first, HttpReceiver() as second:
        url = f"json://127.0.0.1:{first.port}/, json://127.0.0.1:{second.port}/"
        Apprise().send(MESSAGE, {"url": url}, {}, ON)

        assert second.connections == 0


def test_failure_of_apprise_is_tried_again() -> None:
    with HttpReceiver(answer(500)) as http:
        for port in (http.port, closed_port()):
            with pytest.raises(DeliveryError) as caught:
                Apprise().send(MESSAGE, {"url": f"json://127.0.0.1:{port}"}, {}, ON)
            assert (caught.value.error_class, caught.value.permanent) == ("apprise", False)


def test_destination_shows_the_scheme_only() -> None:
    assert Apprise().destination({"url": "matrixs://me:pw@host/#room"}, {}) == "apprise:matrixs"
