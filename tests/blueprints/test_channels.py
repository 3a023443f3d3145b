"""The endpoints of channels."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_key
from flask import Flask
from managing import DENIED, NOT_FOUND, audited, conflict, manager, walk, without
from receivers import HttpReceiver, SmtpReceiver
from receivers import answer as reply
from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Delivery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPS = {
    "kind": "webhook",
    "slug": "ops",
    "name": "Operations",
    "config": {
        "url": "https://hooks.example.com/badger",
        "secret": SECRET,
        "headers": {"Authorization": "Bearer hidden-token"},
    },
}
SHOWN = {
    "integration": "webhook:ops",
    "kind": "webhook",
    "slug": "ops",
    "name": "Operations",
    "config": {"url": "https://hooks.example.com/badger"},
    "secrets": ["secret", "headers"],
    "enabled": True,
    "disabled": None,
    "failing_since": None,
}
TIMES = ("created", "updated")


def stored(slug: str = "ops") -> dict[str, Any]:
    """Return the config as the database has it."""
    db.session.rollback()
    text = db.session.scalars(select(ChannelConfig.config).where(ChannelConfig.slug == slug)).one()
    db.session.commit()
    config: dict[str, Any] = json.loads(text)
    return config


def test_channel_is_made_read_and_listed_without_its_secrets(admin: ApiClient) -> None:
    made = admin.post("/channels/", OPS)

    assert (made.status_code, without(made.json, *TIMES)) == (201, SHOWN)
    assert admin.get("/channels/webhook:ops/").json == made.json
    assert admin.get("/channels/").json == {
        "next": None,
        "previous": None,
        "results": [made.json],
    }
    assert stored() == OPS["config"]
    assert audited() == [("key", "terraform", "channel.create", "webhook:ops")]


def test_name_is_the_slug_unless_given_and_a_channel_may_start_turned_off(admin: ApiClient) -> None:
    body = {"kind": "ntfy", "slug": "phone", "config": {"topic": "jobs"}, "enabled": False}

    made = admin.post("/channels/", body).json

    assert without(made, "disabled", *TIMES) == {
        "integration": "ntfy:phone",
        "kind": "ntfy",
        "slug": "phone",
        "name": "phone",
        "config": {"topic": "jobs", "server": "https://ntfy.sh"},
        "secrets": [],
        "enabled": False,
        "failing_since": None,
    }


def test_secrets_are_kept_when_they_are_left_out(admin: ApiClient) -> None:
    admin.post("/channels/", OPS)

    changed = admin.patch(
        "/channels/webhook:ops/",
        {"config": {"url": "https://HOOKS.example.com:443/new"}, "name": "Ops"},
    )

    assert (changed.status_code, without(changed.json, *TIMES)) == (
        200,
        {**SHOWN, "name": "Ops", "config": {"url": "https://HOOKS.example.com:443/new"}},
    )
    assert stored() == {**OPS["config"], "url": "https://HOOKS.example.com:443/new"}  # type: ignore[dict-item]
    assert audited()[1:] == [("key", "terraform", "channel.change", "webhook:ops")]


@pytest.mark.parametrize(
    "url",
    [
        "https://new.example.com/badger",
        "http://hooks.example.com/badger",
        "https://hooks.example.com:8443/badger",
    ],
)
def test_secrets_do_not_follow_to_another_server(admin: ApiClient, url: str) -> None:
    admin.post("/channels/", OPS)

    changed = admin.patch("/channels/webhook:ops/", {"config": {"url": url}})

    assert (changed.status_code, changed.json["config"]) == (200, stored())
    assert list(stored()) == ["url", "secret"]
    assert stored()["secret"] != SECRET
    assert admin.get("/channels/webhook:ops/").json["secrets"] == ["secret"]


@pytest.mark.parametrize(
    ("kind", "config", "name"),
    [
        ("telegram", {"token": "17:abcdefghijklmnop", "chat_id": "1"}, "token"),
        ("pagerduty", {"routing_key": "a" * 32}, "routing_key"),
    ],
)
def test_secret_that_is_needed_has_to_be_given_again_for_another_server(
    admin: ApiClient, kind: str, config: dict[str, Any], name: str
) -> None:
    admin.post("/channels/", {"kind": kind, "slug": "ops", "config": config})
    before = stored()
    new = {key: value for key, value in config.items() if key != name}
    new["server"] = "https://new.example.com"

    refused = admin.patch(f"/channels/{kind}:ops/", {"config": new})
    given = {**new, name: config[name]}

    required = wrong((f"config.{name}", "required", "This field is required."))
    assert (refused.status_code, refused.json, stored()) == (400, required, before)
    assert admin.patch(f"/channels/{kind}:ops/", {"config": given}).status_code == 200
    assert stored() == given


def test_secret_stays_where_the_usual_server_is_left_out(admin: ApiClient) -> None:
    config = {"topic": "jobs", "token": "tk_17", "server": "https://ntfy.sh"}
    admin.post("/channels/", {"kind": "ntfy", "slug": "ops", "config": config})

    changed = admin.patch("/channels/ntfy:ops/", {"config": {"topic": "new"}})

    assert changed.status_code == 200
    assert stored() == {**config, "topic": "new"}


def test_secret_is_replaced_or_taken_away(admin: ApiClient) -> None:
    admin.post("/channels/", OPS)
    url = "https://hooks.example.com/badger"
    secret = "whsec_" + "QUJD" * 8

    changed = admin.patch(
        "/channels/webhook:ops/", {"config": {"url": url, "secret": secret, "headers": None}}
    )

    assert changed.json["secrets"] == ["secret"]
    assert stored() == {"url": url, "secret": secret}


@pytest.mark.parametrize("again", [False, True])
def test_secret_that_the_server_made_is_shown_once(admin: ApiClient, again: bool) -> None:
    config = {"url": "https://hooks.example.com/badger"}

    made = admin.post("/channels/", {"kind": "webhook", "slug": "ops", "config": config})
    if again:
        made = admin.patch("/channels/webhook:ops/", {"config": {**config, "secret": None}})

    assert made.json["config"] == stored()
    assert made.json["config"]["secret"].startswith("whsec_")
    assert made.headers["Cache-Control"] == "no-store"
    assert admin.get("/channels/webhook:ops/").json["config"] == config


def test_channel_is_turned_off_and_on(admin: ApiClient) -> None:
    admin.post("/channels/", OPS)

    off = admin.patch("/channels/webhook:ops/", {"enabled": False}).json
    on = admin.patch("/channels/webhook:ops/", {"enabled": True}).json

    assert (off["enabled"], off["disabled"]) == (False, off["updated"])
    assert (on["enabled"], on["disabled"]) == (True, None)


def test_change_of_nothing_is_not_in_the_audit_log(admin: ApiClient) -> None:
    made = admin.post("/channels/", OPS).json

    same = admin.patch("/channels/webhook:ops/", {**OPS, "enabled": True})

    assert same.json == made
    assert len(audited()) == 1


def test_deleted_channel_is_gone(admin: ApiClient) -> None:
    admin.post("/channels/", OPS)

    answers = [admin.delete("/channels/webhook:ops/").status_code for _ in range(2)]

    assert answers == [204, 404]
    assert admin.get("/channels/").json["results"] == []
    assert [entry[2] for entry in audited()] == ["channel.create", "channel.delete"]


def test_second_channel_of_the_same_name_is_a_conflict(admin: ApiClient) -> None:
    admin.post("/channels/", OPS)

    again = admin.post("/channels/", OPS)

    assert (again.status_code, again.json) == (
        409,
        conflict("A channel of this kind already has this slug."),
    )
    assert len(admin.get("/channels/").json["results"]) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"config": {}}, ("config.url", "required", "This field is required.")),
        ({"config": {"url": None}}, ("config.url", "null", "This field may not be null.")),
        ({"config": None}, ("config", "null", "This field may not be null.")),
        ({"config": []}, ("config", "invalid", "Expected an object.")),
        (
            {"config": {"url": "ftp://example.com"}},
            ("config.url", "invalid", "The URL must start with http:// or https://."),
        ),
        (
            {"config": {"url": "https://example.com", "color": "red"}},
            ("config.color", "invalid", "Unknown field."),
        ),
        (
            {"config": {"url": "https://example.com", "headers": {"X-A": "b" * 1001}}},
            (
                "config.headers.X-A.value",
                "max_length",
                "Ensure this field has a length of at most 1000.",
            ),
        ),
        (
            {"config": {"url": "https://example.com", "secret": "short"}},
            (
                "config.secret",
                "invalid",
                "A secret is whsec_ followed by 24 to 64 bytes in base64.",
            ),
        ),
        ({"kind": "pigeon"}, ("kind", "invalid_choice", '"pigeon" is not a valid choice.')),
        (
            {"slug": "Ops!"},
            (
                "slug",
                "invalid",
                "Use a-z, 0-9, - and _. Start and end with a letter or digit.",
            ),
        ),
        ({"name": " "}, ("name", "blank", "This field may not be blank.")),
        ({"enabled": "on"}, ("enabled", "invalid", "Must be a valid boolean.")),
    ],
)
def test_wrong_channel_is_refused(
    admin: ApiClient, changes: dict[str, Any], error: tuple[str, str, str]
) -> None:
    refused = admin.post("/channels/", {**OPS, **changes})

    assert (refused.status_code, refused.json) == (400, wrong(error))
    assert admin.get("/channels/").json["results"] == []


def test_address_inside_is_refused_on_its_field(admin: ApiClient) -> None:
    refused = admin.post("/channels/", {**OPS, "config": {"url": "http://127.0.0.1/"}})

    assert [(one["attr"], one["code"]) for one in refused.json["errors"]] == [
        ("config.url", "invalid")
    ]


def test_wrong_change_leaves_the_channel_as_it_was(admin: ApiClient) -> None:
    made = admin.post("/channels/", OPS).json

    refused = admin.patch("/channels/webhook:ops/", {"name": "New", "config": {"url": "x"}})

    assert refused.status_code == 400
    assert admin.get("/channels/webhook:ops/").json == made


def test_channels_of_another_organization_are_not_there(app: Flask, admin: ApiClient) -> None:
    manager(app, "other").post("/channels/", OPS)

    assert admin.get("/channels/").json["results"] == []
    assert admin.get("/channels/webhook:ops/").json == NOT_FOUND
    assert admin.patch("/channels/webhook:ops/", {"name": "x"}).json == NOT_FOUND
    assert admin.delete("/channels/webhook:ops/").json == NOT_FOUND
    assert admin.post("/channels/webhook:ops/test/").json == NOT_FOUND
    assert admin.get("/channels/webhook:%00/").json == NOT_FOUND
    assert admin.get("/api/other/-/channels/").json == NOT_FOUND


def test_channels_are_for_organization_keys_with_the_right_scope(
    app: Flask, admin: ApiClient
) -> None:
    admin.post("/channels/", OPS)
    reader = ApiClient(app.test_client(), make_key(slug=None), base="/api/acme/-")

    assert reader.get("/channels/webhook:ops/").status_code == 200
    assert reader.post("/channels/", OPS).json == DENIED
    assert reader.delete("/channels/webhook:ops/").json == DENIED
    assert reader.post("/channels/webhook:ops/test/").json == DENIED
    assert manager(app, slug="web").get("/channels/").json == DENIED


def test_no_answer_and_no_log_has_a_secret(
    admin: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    slack = "https://hooks.slack.com/services/T00/B00/hidden-token"

    answers = [
        admin.post("/channels/", OPS),
        admin.post("/channels/", OPS),
        admin.post("/channels/", {"kind": "slack", "slug": "a", "config": {"url": slack}}),
        admin.patch("/channels/webhook:ops/", {"config": {**OPS["config"], "url": 3}}),  # type: ignore[dict-item]
        admin.get("/channels/webhook:ops/"),
        admin.get("/channels/"),
    ]

    said = "".join(answer.text for answer in answers) + caplog.text
    assert [answer.status_code for answer in answers] == [201, 409, 201, 400, 200, 200]
    assert SECRET not in said
    assert "hidden-token" not in said


def test_list_is_walked_with_as_many_queries_for_one_as_for_a_hundred(admin: ApiClient) -> None:
    admin.post("/channels/", {**OPS, "slug": "c0"})
    admin.get("/channels/")
    with count_queries() as one:
        admin.get("/channels/")
    for number in range(1, 100):
        admin.post("/channels/", {**OPS, "slug": f"c{number}"})
    admin.get("/channels/")  # The key is known again.
    with count_queries() as hundred:
        admin.get("/channels/")

    assert len(hundred) == len(one) <= 2
    assert walk(admin, "/channels/", "slug") == [f"c{number}" for number in range(100)]


def test_test_message_is_sent_at_once_and_its_outcome_shown(make_app: Callable[..., Flask]) -> None:
    with HttpReceiver() as http:
        admin = manager(make_app(OUTBOUND_ALLOW=("127.0.0.0/8",)))
        admin.post("/channels/", {**OPS, "config": {"url": http.url}})

        shown = admin.post("/channels/webhook:ops/test/")

        assert (shown.status_code, without(shown.json, "delivery", "duration_ms")) == (
            200,
            {"delivered": True, "status": None, "error_class": None, "error": None},
        )
        assert [json.loads(one.body)["type"] for one in http.requests] == ["channel.test"]
        delivery = admin.get(f"/deliveries/{shown.json['delivery']}/").json
        assert (delivery["kind"], delivery["state"], len(delivery["attempts"])) == (
            "test",
            "delivered",
            1,
        )


def test_failed_test_says_what_went_wrong(make_app: Callable[..., Flask]) -> None:
    with HttpReceiver(reply(500)) as http:
        admin = manager(make_app(OUTBOUND_ALLOW=("127.0.0.0/8",)))
        admin.post("/channels/", {**OPS, "config": {"url": http.url}})

        shown = admin.post("/channels/webhook:ops/test/").json

        assert without(shown, "delivery", "duration_ms") == {
            "delivered": False,
            "status": 500,
            "error_class": "http_status",
            "error": "The receiver answered 500.",
        }
        assert admin.get(f"/deliveries/{shown['delivery']}/").json["state"] == "dead"
        assert admin.get("/channels/webhook:ops/").json["failing_since"] is None


def test_test_by_mail_needs_a_mail_server(app: Flask, admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "email", "slug": "team", "config": {"to": "a@example.com"}})

    shown = admin.post("/channels/email:team/test/").json

    assert (shown["delivered"], shown["error"]) == (
        False,
        "This server has no mail server.",
    )


def test_test_by_mail_arrives(make_app: Callable[..., Flask]) -> None:
    with SmtpReceiver() as smtp:
        admin = manager(make_app(SMTP_URL=smtp.url))
        body = {"kind": "email", "slug": "team", "config": {"to": "a@example.com"}}
        admin.post("/channels/", body)

        shown = admin.post("/channels/email:team/test/").json

        assert shown["delivered"] is True
        assert [mail.recipients for mail in smtp.mails] == [["a@example.com"]]


def test_two_tests_at_once_are_refused(admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "email", "slug": "team", "config": {"to": "a@example.com"}})
    admin.post("/channels/email:team/test/")
    db.session.rollback()
    for delivery in db.session.scalars(select(Delivery)):
        delivery.state, delivery.token = "sending", "another's"
        delivery.next_attempt_at = delivery.created.replace(year=2100)
    db.session.commit()

    refused = admin.post("/channels/email:team/test/")

    assert (refused.status_code, refused.json) == (
        409,
        conflict("This channel is already being tested. Try again in a minute."),
    )


def test_what_is_missing_comes_before_what_is_wrong(admin: ApiClient) -> None:
    wrong_body = {"name": None, "role": None}

    assert admin.patch("/channels/webhook:none/", wrong_body).json == NOT_FOUND
