"""Webhooks: the signed body, and what each answer of a receiver means."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marshmallow import ValidationError
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from taskbadger.channels import DeliveryError, Message, SendContext, load_config
from taskbadger.channels.http import read_retry_after
from taskbadger.channels.webhook import Webhook, new_secret
from taskbadger.outbound import Sender
from tests import receivers
from tests.receivers import HttpReceiver, answer, authority, closed_port

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 11, 23, 19, 10, tzinfo=UTC)
MESSAGE = Message(
    id="0198f1c2-delivery",
    kind="task",
    created=NOW - timedelta(hours=1),
    organization="demo",
    project="shop",
    title="import: error",
    task={"id": "t1", "name": "import", "status": "error", "data": {"größe": 1.0, "n": 10**19}},
    action={"id": 3, "trigger": "error", "integration": "webhook:ops", "config": {}},
    trigger="error",
    reasons=({"point": "error", "kind": "status", "reached": "error"},),
    held_back=2,
    url="https://tasks.example.com/a/demo/tasks/t1/",
    error="ValueError: no row 7",
)


def context(**options: Any) -> SendContext:
    """A context that may reach the receivers of these tests, with a short time limit."""
    sender = Sender.allowing(["127.0.0.0/8"], **{"seconds": 0.7, **options})
    return SendContext(http=sender, clock=lambda: NOW)


def send(url: str, message: Message = MESSAGE, **options: Any) -> None:
    Webhook().send(message, {"url": url, "secret": SECRET}, {}, context(**options))


def failure(url: str, **options: Any) -> tuple[str, int | None, bool, float | None]:
    """Return class, status, permanence and wait of the error that sending to *url* raises."""
    with pytest.raises(DeliveryError) as caught:
        send(url, **options)
    error = caught.value
    return error.error_class, error.status, error.permanent, error.retry_after


def test_body_holds_everything_that_is_known() -> None:
    with HttpReceiver() as http:
        send(http.url)

    [request] = http.requests
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.json() == {
        "type": "task.triggered",
        "timestamp": "2026-11-23T18:10:00.000000Z",
        "data": {
            "id": "0198f1c2-delivery",
            "organization": "demo",
            "project": "shop",
            "title": "import: error",
            "url": "https://tasks.example.com/a/demo/tasks/t1/",
            "task": MESSAGE.task,
            "action": MESSAGE.action,
            "trigger": "error",
            "reasons": [{"point": "error", "kind": "status", "reached": "error"}],
            "held_back": 2,
            "monitor": None,
            "incident": None,
            "failure": None,
            "error": "ValueError: no row 7",
            "links": None,
        },
    }


@pytest.mark.parametrize(
    "kind", ["task.failing", "task.new_failure", "task.recovered", "task.reminder"]
)
def test_messages_about_incidents_are_events_of_their_own(kind: str) -> None:
    incident = {"id": 7, "name": "import", "opened": "2026-11-23T18:10:00Z", "closed": None}
    failure = {"id": 4, "title": "ValueError: no"}
    links = {"acknowledge": "https://t.example/1", "snooze": "https://t.example/2"}
    with HttpReceiver() as http:
        about = {"kind": kind, "incident": incident, "failure": failure, "links": links}
        send(http.url, dataclasses.replace(MESSAGE, **about))

    [request] = http.requests
    body = request.json()
    assert (body["type"], {name: body["data"][name] for name in about if name != "kind"}) == (
        kind,
        {"incident": incident, "failure": failure, "links": links},
    )


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("test", "channel.test"),
        ("monitor_failing", "monitor.failing"),
        ("monitor_recovered", "monitor.recovered"),
        ("channel_disabled", "channel.disabled"),
    ],
)
def test_type_follows_the_kind(kind: str, event: str) -> None:
    with HttpReceiver() as http:
        send(http.url, dataclasses.replace(MESSAGE, kind=kind))

    assert http.requests[0].json()["type"] == event


def test_signature_is_that_of_the_specification() -> None:
    with HttpReceiver() as http:
        send(http.url)

    [request] = http.requests
    assert request.headers["webhook-id"] == "0198f1c2-delivery"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert request.headers["webhook-signature"] == Verifier(SECRET).sign(
        "0198f1c2-delivery", NOW, request.body.decode()
    )


def test_receiver_with_the_secret_verifies_and_another_does_not() -> None:
    live = SendContext(http=Sender.allowing(["127.0.0.0/8"]))
    with HttpReceiver() as http:
        config = load_config(Webhook(), {"url": http.url}, live)
        Webhook().send(MESSAGE, config, {}, live)

    [request] = http.requests
    Verifier(config["secret"]).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(new_secret()).verify(request.body, request.headers)


def test_id_stays_and_timestamp_moves_on_a_retry() -> None:
    with HttpReceiver(answer(500), answer(200)) as http:
        failure(http.url)
        later = dataclasses.replace(context(), clock=lambda: NOW + timedelta(minutes=5))
        Webhook().send(MESSAGE, {"url": http.url, "secret": SECRET}, {}, later)

    first, second = http.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 300


def test_number_that_json_does_not_know_becomes_null() -> None:
    task = {"data": [1e308 * 10, {"x": float("nan")}, (1, 2.5)]}
    with HttpReceiver() as http:
        send(http.url, dataclasses.replace(MESSAGE, task=task))

    assert http.requests[0].json()["data"]["task"] == {"data": [None, {"x": None}, [1, 2.5]]}


def test_extra_headers_are_sent() -> None:
    config = {"url": "", "secret": SECRET, "headers": {"Authorization": "Bearer x"}}
    with HttpReceiver() as http:
        Webhook().send(MESSAGE, {**config, "url": http.url}, {}, context())

    assert http.requests[0].headers["authorization"] == "Bearer x"


# What an answer means


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    with HttpReceiver(answer(status, b"")) as http:
        send(http.url)

    assert len(http.requests) == 1


@pytest.mark.parametrize("status", [300, 304, 307, 400, 401, 403, 404, 422, 429, 500, 502, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    with HttpReceiver(answer(status)) as http:
        assert failure(http.url) == ("http_status", status, False, None)


def test_410_ends_the_delivery() -> None:
    with HttpReceiver(answer(410)) as http:
        assert failure(http.url) == ("http_status", 410, True, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("999999999", 86400.0),
        ("Mon, 23 Nov 2026 19:12:00 GMT", 120.0),
        ("Mon, 23 Nov 2026 19:12:00 -0000", 120.0),
        ("Mon, 23 Nov 2026 18:00:00 GMT", 0.0),
        ("Wed, 23 Dec 2026 19:10:00 GMT", 86400.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1e9", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_up_to_a_day(
    status: int, header: str, seconds: float | None
) -> None:
    with HttpReceiver(answer(status, retry_after=header)) as http:
        assert failure(http.url) == ("http_status", status, False, seconds)


def test_retry_after_that_is_missing_is_none() -> None:
    assert read_retry_after(None, NOW) is None


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (receivers.hang_at_accept, "timeout"),
        (receivers.hang_at_headers, "timeout"),
        (receivers.slow_drip, "timeout"),
        (receivers.reset_after_request, "reset"),
        (receivers.no_answer, "reset"),
        (receivers.not_http, "protocol"),
        (receivers.endless_headers, "protocol"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_receiver_that_misbehaves_is_tried_again(
    behaviour: receivers.Behaviour, expected: str
) -> None:
    with HttpReceiver(behaviour) as http:
        assert failure(http.url) == (expected, None, False, None)


@pytest.mark.parametrize("behaviour", [receivers.hang_at_body, receivers.endless_body])
def test_2xx_counts_whatever_becomes_of_the_body(behaviour: receivers.Behaviour) -> None:
    with HttpReceiver(behaviour) as http:
        send(http.url)

    assert len(http.requests) == 1


def test_redirect_into_the_inside_is_not_followed() -> None:
    with HttpReceiver() as inside, HttpReceiver(receivers.redirect(inside.url)) as http:
        with pytest.raises(DeliveryError) as caught:
            send(http.url)

        assert inside.connections == 0
    assert caught.value.detail == "The receiver answered 302: redirects are not followed."


def test_bad_certificate_is_tried_again() -> None:
    with HttpReceiver(tls=authority().server) as http:
        assert failure(http.url) == ("tls", None, False, None)


def test_closed_port_is_tried_again() -> None:
    assert failure(f"http://127.0.0.1:{closed_port()}/") == ("connect", None, False, None)


def test_address_inside_is_permanent() -> None:
    assert failure("http://10.0.0.1/") == ("refused_address", None, True, None)
    inside = {"resolver": lambda *_: ["169.254.169.254"]}
    assert failure("http://x.example/", **inside) == ("refused_address", None, True, None)


def test_body_of_the_answer_is_never_shown_back() -> None:
    receiver = HttpReceiver(answer(500, b"the-secrets-of-the-inside"))
    with receiver as http, pytest.raises(DeliveryError) as caught:
        send(http.url)

    assert caught.value.detail == "The receiver answered 500."


# Configs


def test_secret_is_made_when_it_is_left_out() -> None:
    first, second = (
        load_config(Webhook(), {"url": "https://example.com/"}, SendContext()) for _ in range(2)
    )

    assert first["secret"].startswith("whsec_")
    assert first["secret"] != second["secret"]
    assert json.loads(json.dumps(first)) == first


def test_secret_of_ones_own_is_kept() -> None:
    config = {"url": "https://example.com/", "secret": SECRET}

    assert load_config(Webhook(), config, SendContext()) == config


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://me:pw@example.com/"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest/"}, "url"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_"}, "secret"),
        ({"secret": "whsec_!!!!"}, "secret"),
        ({"secret": "whsec_ääää"}, "secret"),
        ({"secret": "whsec_" + "A" * 88}, "secret"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"content-length": "1"}}, "headers"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "headers"),
        ({"headers": {"Webhook-Id": "x"}}, "headers"),
        ({"headers": {"Proxy-Authorization": "x"}}, "headers"),
        ({"headers": {"X Y": "x"}}, "headers"),
        ({"headers": {"X:": "x"}}, "headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "headers"),
        ({"headers": {"X": "ä"}}, "headers"),
        ({"headers": {"X": " x"}}, "headers"),
        ({"headers": {"X": ""}}, "headers"),
        ({"headers": {f"X-{number}": "x" for number in range(11)}}, "headers"),
        ({"more": 1}, "more"),
    ],
)
def test_bad_config_is_refused_when_saved(changes: dict[str, Any], field: str) -> None:
    config = {"url": "https://example.com/", **changes}

    with pytest.raises(ValidationError) as caught:
        load_config(Webhook(), config, SendContext())

    assert list(caught.value.normalized_messages()) == [field]


def test_address_inside_is_accepted_when_the_operator_allows_it() -> None:
    config = {"url": "http://127.0.0.1:9/", "secret": SECRET}

    assert load_config(Webhook(), config, context()) == config


def test_destination_names_the_host_and_hides_the_rest() -> None:
    config = {"url": "https://Hooks.example.com/services/T0/SECRET", "secret": SECRET}

    key = Webhook().destination(config, {})

    assert key.startswith("webhook:hooks.example.com:443/")
    assert "SECRET" not in key
    assert key == Webhook().destination(config, {})
    assert key != Webhook().destination({**config, "url": "https://hooks.example.com/x"}, {})
