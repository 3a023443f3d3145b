"""Chat and paging services: the request that each one documents, and its own markup."""

import dataclasses
import html
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import ValidationError

from taskbadger.channels import Channel, DeliveryError, Message, SendContext, load_config
from taskbadger.channels.discord import Discord
from taskbadger.channels.http import HttpChannel
from taskbadger.channels.ntfy import Ntfy
from taskbadger.channels.pagerduty import PagerDuty
from taskbadger.channels.slack import Slack
from taskbadger.channels.teams import Teams
from taskbadger.channels.telegram import Telegram
from taskbadger.outbound import Sender
from tests.receivers import HttpReceiver, ReceivedRequest, answer

CREATED = datetime(2026, 11, 23, 19, 10, tzinfo=UTC)
LINK = "https://tasks.example.com/a/demo/tasks/t1/?a=1&b=2"
MESSAGE = Message(
    id="0198f1c2-delivery",
    kind="task",
    created=CREATED,
    organization="demo",
    project="shop",
    title="import: error at 62 %",
    task={
        "id": "t1",
        "name": "import",
        "status": "error",
        "value": 62,
        "value_max": 100,
        "value_percent": 62,
        "created": "2026-11-23T17:00:00Z",
    },
    trigger="error",
    reasons=({"point": "error", "kind": "status", "reached": "error", "before": "pending"},),
    held_back=1,
    url=LINK,
)
RECOVERED = Message(
    id="2",
    kind="monitor_recovered",
    created=CREATED,
    organization="demo",
    title="backup recovered after 1 h, 2 failed or missed runs",
    monitor={"id": "m1", "name": "backup"},
    incident={"id": 7, "opened": "2026-11-23T18:10:00Z", "closed": "2026-11-23T19:10:00Z"},
)
LINKS = {
    "acknowledge": "https://tasks.example.com/public/incidents/?token=a&x=1",
    "snooze": "https://tasks.example.com/public/incidents/?token=s",
}
FAILING = Message(
    id="3",
    kind="task.failing",
    created=CREATED,
    organization="demo",
    project="shop",
    title="import is failing: ValueError: no (3 runs since 18:10 UTC)",
    incident={
        "id": 7,
        "project": "shop",
        "name": "import",
        "monitor": None,
        "opened": "2026-11-23T18:10:00Z",
        "closed": None,
        "runs": 3,
        "failures": [4],
        "acknowledged": None,
        "acknowledged_by": None,
        "snoozed": None,
        "snoozed_until": None,
    },
    failure={"id": 4, "title": "ValueError: no"},
    url="https://tasks.example.com/a/demo/incidents/7/",
    links=LINKS,
)
HOSTILE = "<!channel> <@U1> @everyone **b** [x](http://evil.example) <b>&amp; `c` _d_ #e"
TOKEN = "123456:ABCdefGHIjklMNOpqrs"
KEY = "e93facc04764012d7bfb002500d5d1a6"


def context(**options: Any) -> SendContext:
    sender = Sender.allowing(["127.0.0.0/8"], **{"seconds": 2.0, **options})
    return SendContext(http=sender, clock=lambda: CREATED)


def config_of(channel: Channel, root: str) -> dict[str, Any]:
    """Return a config of *channel* that leads to the receiver at *root*."""
    configs: dict[str, dict[str, Any]] = {
        "telegram": {"server": root, "token": TOKEN, "chat_id": "-1001"},
        "ntfy": {"server": f"{root}/", "topic": "alerts", "token": "tk_x"},
        "pagerduty": {"server": root, "routing_key": KEY},
    }
    config = configs.get(channel.kind, {"url": f"{root}/services/T0/B0/x"})
    return load_config(channel, config, context())


def sent(channel: Channel, message: Message = MESSAGE) -> ReceivedRequest:
    """Send *message* to a receiver, and return the request that it got."""
    with HttpReceiver() as http:
        channel.send(message, config_of(channel, http.root), {}, context())
    [request] = http.requests
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    return request


def hostile() -> Message:
    return dataclasses.replace(
        MESSAGE,
        title=HOSTILE,
        task={**(MESSAGE.task or {}), "name": HOSTILE},
        reasons=({"text": HOSTILE},),
    )


def endless() -> Message:
    long = "🦡&<*" * 5000
    return dataclasses.replace(
        MESSAGE,
        title=long,
        task={**(MESSAGE.task or {}), "name": long, "queue": long, "external_id": long},
        reasons=tuple({"text": long} for _ in range(20)),
        incident={**(FAILING.incident or {}), "name": long, "acknowledged_by": long},
        failure={"id": 4, "title": long},
        links={name: f"{url}{'x' * 400}" for name, url in LINKS.items()},
    )


ALL = [Slack(), Teams(), Discord(), Telegram(), Ntfy(), PagerDuty()]


# docs.slack.dev: incoming webhooks, Block Kit


def test_slack_gets_blocks_and_a_fallback() -> None:
    request = sent(Slack())

    assert request.path == "/services/T0/B0/x"
    assert request.json() == {
        "text": "🔴 import: error at 62 % (demo/shop)",
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": "🔴 import: error at 62 %", "emoji": True},
            },
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "verbatim": True,
                    "text": "*Where:* demo/shop\n*Task:* import\n*Status:* error\n"
                    "*Progress:* 62 % (62 of 100)\n*Created:* 2026-11-23 17:00:00 UTC\n"
                    "*When:* 2026-11-23 19:10:00 UTC\n"
                    "The status changed from pending to error.\n"
                    "1 alert was held back since the last message.",
                },
            },
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": {"type": "plain_text", "text": "Open"},
                        "url": LINK,
                        "action_id": "open",
                    }
                ],
            },
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_slack_sees_no_mention_and_no_link_in_hostile_text() -> None:
    body = sent(Slack(), hostile()).json()
    texts = [body["text"], *(block["text"]["text"] for block in body["blocks"][:2])]

    assert all("<" not in part and ">" not in part for part in texts)
    assert "&lt;!channel&gt; &lt;@U1&gt;" in texts[0]
    assert "&lt;b&gt;&amp;amp;" in texts[1]


def test_slack_limits_are_kept() -> None:
    blocks = sent(Slack(), endless()).json()["blocks"]

    assert len(blocks[0]["text"]["text"]) <= 150
    assert len(blocks[1]["text"]["text"]) <= 3000


# learn.microsoft.com: Workflows, "When a Teams webhook request is received"


def test_teams_gets_an_adaptive_card() -> None:
    body = sent(Teams()).json()

    [attachment] = body["attachments"]
    card = attachment["content"]
    assert (body["type"], attachment["contentType"], attachment["contentUrl"]) == (
        "message",
        "application/vnd.microsoft.card.adaptive",
        None,
    )
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open", "url": LINK}]
    assert card["body"][0]["inlines"] == [
        {
            "type": "TextRun",
            "text": "import: error at 62 %",
            "size": "large",
            "weight": "bolder",
            "color": "attention",
        }
    ]
    lines = ["".join(run["text"] for run in block["inlines"]) for block in card["body"][1:]]
    assert lines == [
        "Where: demo/shop",
        "Task: import",
        "Status: error",
        "Progress: 62 % (62 of 100)",
        "Created: 2026-11-23 17:00:00 UTC",
        "When: 2026-11-23 19:10:00 UTC",
        "The status changed from pending to error.",
        "1 alert was held back since the last message.",
    ]


def test_teams_gets_hostile_text_only_where_no_markup_is_read() -> None:
    card = sent(Teams(), hostile()).json()["attachments"][0]["content"]

    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    assert card["body"][0]["inlines"][0]["text"] == HOSTILE


def test_teams_limit_is_kept() -> None:
    assert len(sent(Teams(), endless()).body) < 28 * 1024


# docs.discord.com: Execute Webhook, embed limits


def test_discord_gets_an_embed_that_pings_nobody() -> None:
    assert sent(Discord()).json() == {
        "embeds": [
            {
                "title": "import\\: error at 62 %",
                "color": 0xD1242F,
                "timestamp": "2026-11-23T19:10:00+00:00",
                "fields": [
                    {"name": "Where", "value": "demo/shop", "inline": True},
                    {"name": "Task", "value": "import", "inline": True},
                    {"name": "Status", "value": "error", "inline": True},
                    {"name": "Progress", "value": "62 % \\(62 of 100\\)", "inline": True},
                    {"name": "Created", "value": "2026\\-11\\-23 17\\:00\\:00 UTC", "inline": True},
                    {"name": "When", "value": "2026\\-11\\-23 19\\:10\\:00 UTC", "inline": True},
                ],
                "description": "The status changed from pending to error.\n"
                "1 alert was held back since the last message.",
                "url": LINK,
            }
        ],
        "allowed_mentions": {"parse": []},
    }


def test_discord_sees_no_markup_in_hostile_text() -> None:
    [embed] = sent(Discord(), hostile()).json()["embeds"]

    assert embed["title"] == (
        "\\<!channel\\> \\<\\@U1\\> \\@everyone \\*\\*b\\*\\* "
        "\\[x\\]\\(http\\://evil.example\\) \\<b\\>&amp; \\`c\\` \\_d\\_ \\#e"
    )


def test_discord_limits_are_kept() -> None:
    [embed] = sent(Discord(), endless()).json()["embeds"]

    texts = [part for field in embed["fields"] for part in (field["name"], field["value"])]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    assert all(0 < len(part) <= 1024 for part in texts)
    assert len(embed["title"]) + len(embed["description"]) + sum(map(len, texts)) <= 6000


# core.telegram.org/bots/api: sendMessage, HTML style


def test_telegram_gets_html() -> None:
    request = sent(Telegram())

    assert request.path == f"/bot{TOKEN}/sendMessage"
    assert request.json() == {
        "chat_id": "-1001",
        "text": "<b>import: error at 62 %</b>\n"
        "<b>Where:</b> demo/shop\n"
        "<b>Task:</b> import\n"
        "<b>Status:</b> error\n"
        "<b>Progress:</b> 62 % (62 of 100)\n"
        "<b>Created:</b> 2026-11-23 17:00:00 UTC\n"
        "<b>When:</b> 2026-11-23 19:10:00 UTC\n"
        "The status changed from pending to error.\n"
        "1 alert was held back since the last message.\n"
        f'<a href="{html.escape(LINK)}">Open</a>',
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }


def test_telegram_writes_into_a_topic() -> None:
    with HttpReceiver() as http:
        config = config_of(Telegram(), http.root) | {"thread_id": 42}
        Telegram().send(MESSAGE, config, {}, context())

    assert http.requests[0].json()["message_thread_id"] == 42


def test_telegram_sees_no_tags_in_hostile_text() -> None:
    text = sent(Telegram(), hostile()).json()["text"]

    assert text.startswith("<b>&lt;!channel&gt; &lt;@U1&gt; @everyone")
    assert "&lt;b&gt;&amp;amp;" in text


def test_telegram_limit_is_kept() -> None:
    text = sent(Telegram(), endless()).json()["text"]

    # What counts is the text without its tags.
    assert len(html.unescape(re.sub(r"<[^>]*>", "", text))) <= 4096


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (b'{"ok":false,"error_code":429,"parameters":{"retry_after":35}}', "3", 35.0),
        (b'{"ok":false,"parameters":{"retry_after":1e9}}', "3", 86400.0),
        (b'{"ok":false}', "3", 3.0),
        (b'["no"]', "3", 3.0),
        (b"<html>", "3", 3.0),
        (b"\xff", "3", 3.0),
    ],
)
def test_telegram_says_in_the_body_how_long_to_wait(
    body: bytes, header: str, seconds: float
) -> None:
    receiver = HttpReceiver(answer(429, body, retry_after=header))
    with receiver as http, pytest.raises(DeliveryError) as caught:
        Telegram().send(MESSAGE, config_of(Telegram(), http.root), {}, context())

    assert (caught.value.retry_after, caught.value.permanent) == (seconds, False)


# docs.ntfy.sh/publish: "Publish as JSON"


def test_ntfy_gets_json_at_the_root() -> None:
    request = sent(Ntfy())

    assert (request.path, request.headers["authorization"]) == ("/", "Bearer tk_x")
    assert request.json() == {
        "topic": "alerts",
        "title": "import: error at 62 %",
        "message": "Where: demo/shop\nTask: import\nStatus: error\nProgress: 62 % (62 of 100)\n"
        "Created: 2026-11-23 17:00:00 UTC\nWhen: 2026-11-23 19:10:00 UTC\n"
        "The status changed from pending to error.\n"
        "1 alert was held back since the last message.",
        "priority": 4,
        "tags": ["rotating_light"],
        "click": LINK,
    }


def test_ntfy_without_a_token_sends_none() -> None:
    with HttpReceiver() as http:
        config = load_config(Ntfy(), {"topic": "t", "server": http.root}, context())
        Ntfy().send(RECOVERED, config, {}, context())

    [request] = http.requests
    assert "authorization" not in request.headers
    assert {**request.json(), "message": ""} == {
        "topic": "t",
        "title": "backup recovered after 1 h, 2 failed or missed runs",
        "message": "",
        "priority": 3,
        "tags": ["white_check_mark"],
        "sequence_id": "taskbadger-demo-incident-7",
    }


def test_ntfy_limit_is_kept() -> None:
    assert len(sent(Ntfy(), endless()).json()["message"].encode()) <= 4096


# developer.pagerduty.com: Events API v2


def test_pagerduty_gets_a_trigger() -> None:
    request = sent(PagerDuty())

    assert request.path == "/v2/enqueue"
    assert request.json() == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "taskbadger/demo/task/t1",
        "client": "Task Badger",
        "client_url": LINK,
        "links": [{"href": LINK, "text": "Open"}],
        "payload": {
            "summary": "import: error at 62 %",
            "source": "demo/shop",
            "severity": "error",
            "timestamp": "2026-11-23T19:10:00+00:00",
            "component": "import",
            "class": "error",
            "custom_details": {
                "Where": "demo/shop",
                "Task": "import",
                "Status": "error",
                "Progress": "62 % (62 of 100)",
                "Created": "2026-11-23 17:00:00 UTC",
                "When": "2026-11-23 19:10:00 UTC",
                "Why": "The status changed from pending to error.\n"
                "1 alert was held back since the last message.",
            },
        },
    }


def test_pagerduty_resolves_the_alert_that_the_incident_opened() -> None:
    failing = dataclasses.replace(
        RECOVERED,
        kind="monitor_failing",
        title="backup is failing (1 failed or missed run since 18:10 UTC)",
    )

    opened, closed = (sent(PagerDuty(), message).json() for message in (failing, RECOVERED))

    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "taskbadger/demo/incident/7"


def test_pagerduty_resolves_the_alert_of_a_task_that_succeeds() -> None:
    done = dataclasses.replace(MESSAGE, task={**(MESSAGE.task or {}), "status": "success"})

    body = sent(PagerDuty(), done).json()

    assert (body["event_action"], body["dedup_key"]) == ("resolve", "taskbadger/demo/task/t1")


@pytest.mark.parametrize(
    ("changes", "severity", "key"),
    [
        ({"kind": "test", "task": None}, "info", "message/0198f1c2-delivery"),
        ({"task": {"id": "t2", "name": "x", "status": "cancelled"}}, "warning", "task/t2"),
        ({"kind": "monitor_failing", "monitor": {"id": "m1"}}, "error", "monitor/m1"),
    ],
)
def test_pagerduty_severity_and_key(changes: dict[str, Any], severity: str, key: str) -> None:
    body = sent(PagerDuty(), dataclasses.replace(MESSAGE, **changes)).json()

    assert body["payload"]["severity"] == severity
    assert body["dedup_key"] == f"taskbadger/demo/{key}"


def test_pagerduty_limits_are_kept() -> None:
    body = sent(PagerDuty(), endless()).json()

    assert len(body["payload"]["summary"]) <= 1024
    assert len(body["payload"]["component"]) <= 255


# Incidents


def test_slack_offers_to_acknowledge_and_to_snooze_and_names_the_incident() -> None:
    blocks = sent(Slack(), FAILING).json()["blocks"]

    assert "*Incident:* 7" in blocks[1]["text"]["text"]
    assert blocks[2] == {
        "type": "actions",
        "elements": [
            {
                "type": "button",
                "text": {"type": "plain_text", "text": label},
                "url": url,
                "action_id": label.lower(),
            }
            for label, url in (
                ("Open", "https://tasks.example.com/a/demo/incidents/7/"),
                ("Acknowledge", LINKS["acknowledge"]),
                ("Snooze", LINKS["snooze"]),
            )
        ],
    }


def test_teams_offers_to_acknowledge_and_to_snooze() -> None:
    card = sent(Teams(), FAILING).json()["attachments"][0]["content"]

    assert card["actions"] == [
        {
            "type": "Action.OpenUrl",
            "title": "Open",
            "url": "https://tasks.example.com/a/demo/incidents/7/",
        },
        {"type": "Action.OpenUrl", "title": "Acknowledge", "url": LINKS["acknowledge"]},
        {"type": "Action.OpenUrl", "title": "Snooze", "url": LINKS["snooze"]},
    ]


def test_discord_offers_to_acknowledge_and_to_snooze() -> None:
    [embed] = sent(Discord(), FAILING).json()["embeds"]

    assert embed["description"] == (
        f"[Acknowledge]({LINKS['acknowledge']}) · [Snooze]({LINKS['snooze']})"
    )


def test_telegram_offers_to_acknowledge_and_to_snooze() -> None:
    lines = sent(Telegram(), FAILING).json()["text"].splitlines()

    assert lines[-1] == (
        '<a href="https://tasks.example.com/a/demo/incidents/7/">Open</a> · '
        f'<a href="{html.escape(LINKS["acknowledge"])}">Acknowledge</a> · '
        f'<a href="{LINKS["snooze"]}">Snooze</a>'
    )


def test_ntfy_offers_to_acknowledge_and_to_snooze() -> None:
    body = sent(Ntfy(), FAILING).json()

    assert body["actions"] == [
        {"action": "view", "label": "Acknowledge", "url": LINKS["acknowledge"]},
        {"action": "view", "label": "Snooze", "url": LINKS["snooze"]},
    ]


@pytest.mark.parametrize(
    ("organization", "sequence"),
    [
        ("demo", "taskbadger-demo-incident-7"),
        ("o" * 80, "o" * 53 + "-incident-7"),
    ],
)
def test_ntfy_shows_one_notification_for_an_incident(organization: str, sequence: str) -> None:
    recovered = dataclasses.replace(FAILING, kind="task.recovered", links=None)
    told = [
        sent(Ntfy(), dataclasses.replace(message, organization=organization)).json()
        for message in (FAILING, recovered)
    ]

    assert [body["sequence_id"] for body in told] == [sequence, sequence]
    assert "actions" not in told[1]


def test_pagerduty_offers_to_acknowledge_and_to_snooze() -> None:
    body = sent(PagerDuty(), dataclasses.replace(FAILING, trigger="error,stale")).json()

    assert body["links"] == [
        {"href": "https://tasks.example.com/a/demo/incidents/7/", "text": "Open"},
        {"href": LINKS["acknowledge"], "text": "Acknowledge"},
        {"href": LINKS["snooze"], "text": "Snooze"},
    ]
    assert (body["payload"]["component"], body["payload"]["class"]) == ("import", "task.failing")


@pytest.mark.parametrize("is_monitor", [False, True], ids=["name", "monitor"])
def test_pagerduty_has_one_alert_for_an_incident_and_resolves_it(is_monitor: bool) -> None:
    kinds = ["task.failing", "task.new_failure", "task.reminder", "task.recovered"]
    if is_monitor:
        kinds = ["monitor_failing", "task.reminder", "monitor_recovered"]
    monitor = {"id": "m1", "name": "backup"} if is_monitor else None

    events = [
        sent(PagerDuty(), dataclasses.replace(FAILING, kind=kind, monitor=monitor)).json()
        for kind in kinds
    ]

    assert [event["event_action"] for event in events] == [
        *("trigger" for _ in kinds[1:]),
        "resolve",
    ]
    assert {event["dedup_key"] for event in events} == {"taskbadger/demo/incident/7"}


# All of them


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_message_without_a_link_has_none(channel: Channel) -> None:
    body = sent(channel, dataclasses.replace(MESSAGE, url=None)).body

    assert b"tasks.example.com" not in body


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_message_without_anything_but_a_title_is_sent(channel: Channel) -> None:
    bare = Message(id="1", kind="task", created=CREATED, organization="demo", title="hello")

    assert b"hello" in sent(channel, bare).body


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_statuses_that_end_a_delivery_are_those_of_the_service(channel: HttpChannel) -> None:
    permanent = set()
    for status in (302, 400, 401, 403, 404, 410, 429, 500, 503):
        with HttpReceiver(answer(status)) as http, pytest.raises(DeliveryError) as caught:
            channel.send(MESSAGE, config_of(channel, http.root), {}, context())
        assert (caught.value.error_class, caught.value.status) == ("http_status", status)
        if caught.value.permanent:
            permanent.add(status)

    assert (
        permanent
        == {
            "slack": {404, 410},
            "teams": {410},
            "discord": {404, 410},
            "telegram": {400, 401, 403, 404, 410},
            "ntfy": {401, 403, 404, 410},
            "pagerduty": {400, 410},
        }[channel.kind]
    )


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_guard_holds_for_every_service(channel: Channel) -> None:
    with HttpReceiver() as http:
        config = config_of(channel, http.root)
        with pytest.raises(DeliveryError) as caught:
            channel.send(MESSAGE, config, {}, SendContext())

        assert http.connections == 0
    assert caught.value.error_class == "refused_address"


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_config_that_leads_inside_is_refused_when_saved(channel: Channel) -> None:
    with HttpReceiver() as http:
        config = config_of(channel, http.root)

    with pytest.raises(ValidationError) as caught:
        load_config(channel, config, SendContext())

    field = "server" if "server" in config else "url"
    assert list(caught.value.normalized_messages()) == [field]


@pytest.mark.parametrize("channel", ALL, ids=lambda channel: channel.kind)
def test_destination_shows_no_secret(channel: Channel) -> None:
    config = config_of(channel, "http://127.0.0.1:8000")

    key = channel.destination(config, {})

    assert key.startswith(f"{channel.kind}:127.0.0.1:8000/")
    assert not any(secret in key for secret in (TOKEN, KEY, "T0", "tk_x"))
    assert len(key) <= 255


@pytest.mark.parametrize(
    ("channel", "config"),
    [
        (Slack(), {}),
        (Slack(), {"url": "hooks.slack.com/services"}),
        (Teams(), {"url": ""}),
        (Discord(), {"url": "https://u:p@discord.com/api/webhooks/1/x"}),
        (Telegram(), {"token": TOKEN}),
        (Telegram(), {"token": "nonsense", "chat_id": "1"}),
        (Telegram(), {"token": f"{TOKEN}/../x", "chat_id": "1"}),
        (Telegram(), {"token": TOKEN, "chat_id": "some name"}),
        (Telegram(), {"token": TOKEN, "chat_id": "1", "thread_id": 0}),
        (Ntfy(), {"topic": "a/b"}),
        (Ntfy(), {"topic": "a", "token": "x\r\ny"}),
        (PagerDuty(), {"routing_key": "short"}),
        (PagerDuty(), {"routing_key": KEY, "server": "file:///etc"}),
    ],
)
def test_bad_config_is_refused_when_saved(channel: Channel, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load_config(channel, config, SendContext())


@pytest.mark.parametrize(
    ("channel", "config", "server"),
    [
        (Telegram(), {"token": TOKEN, "chat_id": "@ops"}, "https://api.telegram.org"),
        (Ntfy(), {"topic": "a"}, "https://ntfy.sh"),
        (PagerDuty(), {"routing_key": KEY}, "https://events.pagerduty.com"),
    ],
)
def test_server_of_the_service_is_the_default(
    channel: Channel, config: dict[str, Any], server: str
) -> None:
    loaded = load_config(channel, config, SendContext())

    assert loaded == {**config, "server": server}
    assert json.loads(json.dumps(loaded)) == loaded
