"""The plug-in interface: what is known, and what a channel of a third party has to bring."""

import pytest
from marshmallow import ValidationError

from taskbadger import channels
from taskbadger.channels import Channel, Config, DeliveryError, Message, SendContext, builtin
from taskbadger.channels.http import HttpChannel
from taskbadger.clock import utcnow
from taskbadger.settings import Settings

MESSAGE = Message(id="1", kind="test", created=utcnow(), organization="demo", title="x")


class Pager(Channel):
    """The smallest channel there is."""

    kind = "pager"
    label = "Pager"

    def destination(self, config: Config, action_config: Config) -> str:
        return "pager"

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        raise DeliveryError("No paper.", error_class="paper", retry_after=60)


class OtherPager(Pager):
    pass


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_channels", {})


def test_built_in_channels_are_known_by_kind() -> None:
    builtin.add_all()

    assert channels.kinds() == [
        "email",
        "webhook",
        "slack",
        "teams",
        "discord",
        "telegram",
        "ntfy",
        "pagerduty",
        "apprise",
    ]
    assert [channels.get(kind).kind for kind in channels.kinds()] == channels.kinds()
    assert channels.get("fax") is None


def test_built_in_channels_never_show_their_secrets_fields() -> None:
    builtin.add_all()

    for kind in channels.kinds():
        channel = channels.get(kind)
        assert set(channel.secret_fields) <= set(channel.config_schema().fields), kind


def test_added_channel_is_known_and_adding_it_again_is_no_error() -> None:
    channels.add(Pager())
    again = Pager()
    channels.add(again)

    assert channels.get("pager") is again


def test_another_channel_of_a_known_kind_is_refused() -> None:
    channels.add(Pager())

    with pytest.raises(ValueError, match="a channel of kind 'pager' is already registered"):
        channels.add(OtherPager())


def test_channel_without_schemas_takes_empty_configs_only() -> None:
    pager = Pager()

    assert channels.load_config(pager, {}, SendContext()) == {}
    assert pager.load_action({}, {}) == {}
    assert pager.missing(SendContext()) is None
    with pytest.raises(ValidationError):
        channels.load_config(pager, {"x": 1}, SendContext())
    with pytest.raises(ValidationError):
        pager.load_action({"to": "a@example.com"}, {})


def test_error_keeps_what_the_worker_needs() -> None:
    with pytest.raises(DeliveryError) as caught:
        Pager().send(MESSAGE, {}, {}, SendContext())

    error = caught.value
    assert (str(error), error.detail, error.error_class) == ("No paper.", "No paper.", "paper")
    assert (error.permanent, error.retry_after, error.status, error.remaining) == (
        False,
        60,
        None,
        None,
    )


def test_channel_has_to_say_where_and_how() -> None:
    nothing = Channel()

    with pytest.raises(NotImplementedError):
        nothing.destination({}, {})
    with pytest.raises(NotImplementedError):
        nothing.send(MESSAGE, {}, {}, SendContext())
    with pytest.raises(NotImplementedError):
        HttpChannel().send(MESSAGE, {}, {}, SendContext())


def test_context_follows_the_settings() -> None:
    settings = Settings(
        SECRET_KEY="0123456789abcdef0123456789abcdef",
        OUTBOUND_ALLOW=("10.0.0.0/8",),
        SMTP_URL="smtp://mail",
        MAIL_FROM="me@example.com",
        APPRISE_SCHEMES=("json",),
        BASE_URL="https://tasks.example.com/badger/",
    )

    context = SendContext.from_settings(settings)

    assert [str(network) for network in context.http.allow] == ["10.0.0.0/8"]
    assert (context.base_url, context.secret_key) == (
        "https://tasks.example.com/badger",
        "0123456789abcdef0123456789abcdef",
    )
    assert (context.smtp_url, context.mail_from, context.apprise_schemes) == (
        "smtp://mail",
        "me@example.com",
        ("json",),
    )
