"""The pages of channels: the list, an editor made from each kind's own schema, and tests."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from blueprints.dashboard.doing import assert_same_queries
from blueprints.dashboard.forms_read import (
    ESCAPED,
    HOSTILE,
    field_errors,
    rows,
    trail,
    value_of,
    words,
)
from conftest import make_project
from flask import Flask
from marshmallow import Schema, fields, validate
from people import WebClient, browser_for, make_member
from receivers import HttpReceiver, closed_port
from receivers import answer as reply
from sqlalchemy import select

from taskbadger import channels as kinds
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Delivery
from taskbadger.outbound import Sender
from taskbadger.schemas.alert_forms import config_fields, read_config, show_value
from taskbadger.services.delivery import channels, sending

CHANNELS = "/a/acme/alerts/channels/"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK = {
    "name": "Operations",
    "slug": "ops",
    "config.url": "https://hooks.example.com/badger",
    "config.secret": SECRET,
    "config.headers": "Authorization: Bearer hidden-token\nX-Team: a:b",
}
HERE = sending.SendContext(http=Sender.allowing(("127.0.0.0/8",)))
STORED = {
    "url": "https://hooks.example.com/badger",
    "secret": SECRET,
    "headers": {"Authorization": "Bearer hidden-token", "X-Team": "a:b"},
}


def make_channel(
    project: ProjectRef, slug: str = "ops", kind: str = "webhook", **config: Any
) -> ChannelConfig:
    made = channels.create_channel(
        project.organization_id,
        kind,
        slug,
        f"Channel {slug}",
        config or STORED,
        actor=SERVER,
        context=HERE,
        now=utcnow(),
    )
    db.session.commit()
    return made


def stored(slug: str = "ops") -> tuple[str, dict[str, Any], bool]:
    """Return name, config and whether it is in use, as the database has them."""
    db.session.rollback()
    db.session.expire_all()
    one = db.session.scalars(select(ChannelConfig).where(ChannelConfig.slug == slug)).one()
    return one.name, json.loads(one.config), one.disabled is None


def test_channels_are_listed_by_kind(web: WebClient, project: ProjectRef) -> None:
    make_channel(project, "zulu")
    make_channel(project, "chat", "slack", url="https://hooks.slack.example/x")
    make_channel(make_project("other", "web"), "foreign")

    page = web.get(CHANNELS).text

    assert rows(page) == ["Channel chat", "Channel zulu"]
    assert "slack:chat" in page
    assert f'href="{CHANNELS}new/discord/"' in page
    assert "hooks.slack.example" not in page


def test_empty_list_says_what_channels_are(web: WebClient, project: ProjectRef) -> None:
    assert "No channels yet" in web.get(CHANNELS).text


def test_list_takes_as_many_queries_for_50_as_for_one(web: WebClient, project: ProjectRef) -> None:
    def make(number: int) -> None:
        make_channel(project, f"c{number}")

    assert_same_queries(web, CHANNELS, make, max_queries=8)


@pytest.mark.parametrize("kind", ["webhook", "email", "slack", "discord", "teams", "telegram"])
def test_every_kind_has_a_form_of_its_fields(
    web: WebClient, project: ProjectRef, kind: str
) -> None:
    page = web.get(f"{CHANNELS}new/{kind}/").text

    known = kinds.get(kind)
    assert known is not None
    shown = re.findall(r'name="config\.(\w+)"', page)
    assert shown == list(known.config_schema().fields)


def test_signing_secret_that_the_server_made_is_shown_once(
    web: WebClient, project: ProjectRef
) -> None:
    form = {**WEBHOOK, "config.secret": ""}

    made = web.post(f"{CHANNELS}new/webhook/", data=form)
    later = web.get(f"{CHANNELS}webhook:ops/")

    secret = stored()[1]["secret"]
    assert secret.startswith("whsec_")
    assert (secret in made.text, secret in later.text) == (True, False)
    assert f'action="{CHANNELS}webhook:ops/"' in made.text


def test_channel_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
    answer = web.post(f"{CHANNELS}new/webhook/", WEBHOOK)

    assert (answer.status_code, answer.location) == (303, f"{CHANNELS}webhook:ops/")
    assert stored() == ("Operations", STORED, True)
    assert trail() == [("ada@example.org", "channel.create", "webhook:ops", "Operations")]


@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ({"name": "On call: Team 2", "slug": ""}, "on-call-team-2"),
        ({"name": "Taken", "slug": " "}, "taken-2"),
        ({"name": "日本", "slug": ""}, "webhook"),
    ],
)
def test_slug_is_made_from_the_name_where_it_is_left_empty(
    web: WebClient, project: ProjectRef, typed: dict[str, str], slug: str
) -> None:
    make_channel(project, "taken")
    make_channel(project, "on-call-team-2", "slack", url="https://hooks.slack.example/x")

    answer = web.post(f"{CHANNELS}new/webhook/", WEBHOOK | typed)

    assert answer.location == f"{CHANNELS}webhook:{slug}/"
    assert trail()[-1][2:] == (f"webhook:{slug}", typed["name"])


KINDS = (
    "apprise",
    "discord",
    "email",
    "ntfy",
    "pagerduty",
    "slack",
    "teams",
    "telegram",
    "webhook",
)


@pytest.mark.parametrize("kind", KINDS)
def test_form_says_where_to_find_what_it_asks_for(
    make_app: Callable[..., Flask], project: ProjectRef, kind: str
) -> None:
    web = browser_for(make_app(APPRISE_SCHEMES=("json",)), make_member())
    known = kinds.get(kind)
    assert known is not None

    page = web.get(f"{CHANNELS}new/{kind}/").text

    assert sorted(kinds.kinds()) == sorted(KINDS)
    assert known.guide
    assert known.guide in words(page)
    if known.guide_url:
        assert f'href="{known.guide_url}" target="_blank" rel="noopener noreferrer"' in page


def test_pages_name_no_settings_of_the_server(web: WebClient, project: ProjectRef) -> None:
    pages = [web.get(CHANNELS).text, web.get(f"{CHANNELS}new/email/").text]

    assert "E-mail: This server has no mail server." in words(pages[0])
    assert "Apprise is turned off on this server. Its operator can allow it." in words(pages[0])
    assert "No mail server is set up, so e-mails are not sent." in words(pages[1])
    assert [page for page in pages if "TASKBADGER_" in page] == []


WRONG = [
    ("name", {"name": ""}, "This field may not be blank."),
    ("slug", {"slug": "UP"}, "Use a-z, 0-9"),
    ("slug", {"slug": "taken"}, "A channel of this kind already has this slug"),
    ("config.url", {"config.url": ""}, "This field is required."),
    ("config.url", {"config.url": "ftp://x"}, ""),
    ("config.secret", {"config.secret": "short"}, "A secret is whsec_"),
    ("config.headers", {"config.headers": "Host: x"}, "The server sets this header itself."),
]


@pytest.mark.parametrize(("field", "typed", "message"), WRONG)
def test_each_error_stands_next_to_its_field(
    web: WebClient, project: ProjectRef, field: str, typed: dict[str, str], message: str
) -> None:
    make_channel(project, "taken")

    answer = web.post(f"{CHANNELS}new/webhook/", WEBHOOK | typed)

    errors = field_errors(answer.text)
    assert (answer.status_code, list(errors)) == (400, [field])
    assert errors[field].startswith(message)
    assert "hidden-token" not in answer.text
    assert db.session.scalars(select(ChannelConfig.slug)).all() == ["taken"]


def test_all_errors_are_reported_at_once(web: WebClient, project: ProjectRef) -> None:
    answer = web.post(f"{CHANNELS}new/webhook/", WEBHOOK | {"name": "", "config.url": ""})

    assert list(field_errors(answer.text)) == ["name", "config.url"]


def test_secrets_are_never_shown_and_kept_when_left_empty(
    web: WebClient, project: ProjectRef
) -> None:
    make_channel(project)

    page = web.get(f"{CHANNELS}webhook:ops/").text
    kept = {"name": "Renamed", "config.url": STORED["url"], "config.secret": ""}
    answer = web.post(f"{CHANNELS}webhook:ops/", kept)

    assert SECRET not in page
    assert "hidden-token" not in page
    assert page.count('placeholder="unchanged"') == 2
    assert value_of(page, "config.url") == STORED["url"]
    assert answer.status_code == 303
    assert stored() == ("Renamed", STORED, True)
    assert trail()[-1][1:] == ("channel.change", "webhook:ops", "name: Channel ops → Renamed")


def test_secret_is_replaced_and_removed(web: WebClient, project: ProjectRef) -> None:
    make_channel(project)
    other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    form = {"name": "Channel ops", "config.url": STORED["url"]}

    web.post(f"{CHANNELS}webhook:ops/", form | {"config.secret": other, "remove.headers": "true"})

    assert stored()[1] == {"url": STORED["url"], "secret": other}
    assert trail()[-1][1:] == (
        "channel.change",
        "webhook:ops",
        "config.secret: (secret) changed; config.headers: (secret) changed",
    )


def test_wrong_edit_changes_nothing(web: WebClient, project: ProjectRef) -> None:
    make_channel(project)

    no_name = web.post(f"{CHANNELS}webhook:ops/", {"name": "", "config.url": "https://x.example"})
    no_url = web.post(f"{CHANNELS}webhook:ops/", {"name": "x", "config.url": "nonsense"})

    assert list(field_errors(no_name.text)) == ["name"]
    assert list(field_errors(no_url.text)) == ["config.url"]
    assert stored() == ("Channel ops", STORED, True)


@pytest.fixture
def sender(make_app: Callable[..., Flask], project: ProjectRef) -> WebClient:
    """The owner's browser of a server that may send to this machine."""
    return browser_for(make_app(OUTBOUND_ALLOW=("127.0.0.0/8",)), make_member())


def test_test_shows_its_outcome(sender: WebClient, project: ProjectRef) -> None:
    web = sender
    with HttpReceiver() as receiver:
        make_channel(project, url=receiver.url, secret=SECRET)
        receiver.behave(reply(200), reply(500))

        first = web.post(f"{CHANNELS}webhook:ops/test")
        worked = words(web.get(first.location).text)
        web.post(f"{CHANNELS}webhook:ops/test")
        failed = words(web.get(f"{CHANNELS}webhook:ops/").text)

        assert [request.json()["type"] for request in receiver.wait(2)] == ["channel.test"] * 2
    assert "Test message delivered in" in worked
    assert "Test message not delivered (500):" in failed


def test_test_that_cannot_connect_says_so(sender: WebClient, project: ProjectRef) -> None:
    web = sender
    make_channel(project, url=f"http://127.0.0.1:{closed_port()}/", secret=SECRET)

    web.post(f"{CHANNELS}webhook:ops/test")

    assert "Test message not delivered:" in words(web.get(f"{CHANNELS}webhook:ops/").text)
    assert db.session.scalars(select(Delivery.kind)).all() == ["test"]


def test_two_tests_at_once_are_refused(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(project)
    monkeypatch.setattr(sending.claims, "claim_one", lambda *_args, **_kwargs: [])

    web.post(f"{CHANNELS}webhook:ops/test")

    assert "This channel is already being tested." in web.get(f"{CHANNELS}webhook:ops/").text


def test_channel_is_turned_off_and_on_and_deleted(web: WebClient, project: ProjectRef) -> None:
    make_channel(project)

    web.post(f"{CHANNELS}webhook:ops/enabled", {"enabled": "false"})
    off = stored()[2]
    page = web.get(f"{CHANNELS}webhook:ops/").text
    web.post(f"{CHANNELS}webhook:ops/enabled", {"enabled": "true"})
    on = stored()[2]
    answer = web.post(f"{CHANNELS}webhook:ops/delete")

    assert (off, on, answer.location) == (False, True, CHANNELS)
    assert "This channel is turned off and only sends tests." in page
    assert db.session.scalars(select(ChannelConfig)).all() == []
    assert [entry[1:] for entry in trail()] == [
        ("channel.create", "webhook:ops", "Channel ops"),
        ("channel.change", "webhook:ops", "enabled: true → false"),
        ("channel.change", "webhook:ops", "enabled: false → true"),
        ("channel.delete", "webhook:ops", ""),
    ]


@pytest.mark.parametrize("path", ["new/nope/", "webhook:nope/", "webhook:foreign/", "%00/", "x/"])
def test_unknown_channel_is_not_found(web: WebClient, project: ProjectRef, path: str) -> None:
    make_channel(make_project("other", "web"), "foreign")

    assert web.get(CHANNELS + path).status_code == 404
    assert web.post(CHANNELS + path, WEBHOOK).status_code == 404


def test_member_sees_channels_and_manages_none(app: Flask, project: ProjectRef) -> None:
    make_channel(project)
    member = browser_for(app, make_member("m@example.org", "member"))

    page = member.get(CHANNELS).text

    assert "Channel ops" in page
    assert "New channel" not in page
    assert member.get(f"{CHANNELS}webhook:ops/").status_code == 403
    assert member.post(f"{CHANNELS}webhook:ops/test").status_code == 403


def test_hostile_strings_are_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    make_channel(project).name = HOSTILE
    db.session.commit()

    pages = [
        web.get(CHANNELS).text,
        web.get(f"{CHANNELS}webhook:ops/").text,
        web.post(f"{CHANNELS}new/webhook/", dict.fromkeys(WEBHOOK, HOSTILE)).text,
    ]

    for page in pages:
        assert ESCAPED in page
        assert "<script>alert" not in page
        assert "<img" not in page


class PagerSchema(Schema):
    """Every kind of field that a form knows."""

    level = fields.String(validate=validate.OneOf(["low", "high"]), load_default="low")
    urgent = fields.Boolean(load_default=True)
    number = fields.Integer(metadata={"label": "Phone number"})
    pin = fields.String(required=True)


def test_form_follows_the_schema_of_a_channel() -> None:
    known = config_fields(PagerSchema, ("pin",))

    assert [(one.input, one.label, one.kind, one.default, one.secret) for one in known] == [
        ("config.level", "Level", "choice", "low", False),
        ("config.urgent", "Urgent", "tick", "True", False),
        ("config.number", "Phone number", "number", "", False),
        ("config.pin", "Pin", "text", "", True),
    ]
    typed = {"config.level": "high", "config.number": "-12", "config.pin": " 1 "}
    assert read_config(typed, known) == {
        "level": "high",
        "urgent": False,
        "number": -12,
        "pin": "1",
    }
    assert read_config({"config.urgent": "true", "config.number": "x"}, known) == {
        "urgent": True,
        "number": "x",
    }
    saved = {"level": "low", "urgent": True, "number": 3}
    assert [show_value(one, saved) for one in known] == ["low", "true", "3", ""]


class Pager(kinds.Channel):
    """A channel of somebody else's."""

    kind = "pager"
    label = "Pager"
    config_schema = PagerSchema
    secret_fields = ("pin",)

    def destination(self, config: kinds.Config, action_config: kinds.Config) -> str:
        return "pager"


def test_channel_of_a_plugin_has_a_form(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds._channels, "pager", Pager())

    form = web.get(f"{CHANNELS}new/pager/").text
    typed = {"name": "P", "slug": "p", "config.level": "high", "config.pin": "1"}
    web.post(f"{CHANNELS}new/pager/", typed)
    saved = web.get(f"{CHANNELS}pager:p/").text

    assert "<option selected>low" in form
    assert 'name="config.urgent" value="true" checked' in form
    assert stored("p")[1] == {"level": "high", "urgent": False, "pin": "1"}
    assert "<option selected>high" in saved
    monkeypatch.undo()
    assert web.get(f"{CHANNELS}pager:p/").status_code == 404
    assert "pager:p" in web.get(CHANNELS).text
