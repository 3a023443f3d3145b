"""Settings of channels: where waiting deliveries go, and what is kept and recorded."""

import json

from blueprints.dashboard.forms_read import trail
from delivering import NOW, get, queue

from taskbadger.channels import SendContext
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
)
from taskbadger.outbound import Sender
from taskbadger.services.delivery import (
    channel_settings,
)


def test_new_url_of_a_channel_is_where_waiting_deliveries_go(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    before = get(queued).destination
    context = SendContext(http=Sender.allowing(("127.0.0.0/8",)))
    changes = {"config": {"url": "http://127.0.0.1:10/new"}}
    channel_settings.change(webhook, changes, context=context, actor=SERVER, now=NOW)
    db.session.commit()

    assert get(queued).destination != before
    assert get(queued).destination.startswith("webhook:127.0.0.1:10/")


def test_change_is_recorded_without_secrets_and_only_where_it_differs(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    plugin, context = Actor("plug-in", "pager"), SendContext()
    before = channel_settings.fields_of(webhook)
    changes: channel_settings.ChannelChanges = {"name": "New", "enabled": False}

    changed = channel_settings.change(webhook, changes, context=context, actor=plugin, now=NOW)
    again = channel_settings.change(webhook, changes, context=context, actor=plugin, now=NOW)
    db.session.commit()

    assert (changed, again) == (True, False)
    assert channel_settings.fields_of(webhook) == before | {"name": "New", "enabled": False}
    assert trail()[1:] == [
        ("pager", "channel.change", "webhook:ops", "name: ops → New; enabled: true → false")
    ]


def test_secrets_are_split_off_and_those_of_unknown_kinds_are_all_of_it(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    shown, hidden = channel_settings.split(webhook)
    webhook.kind = "pigeon"
    unknown = channel_settings.split(webhook)

    assert shown["url"] == "http://127.0.0.1:9/ops"
    assert [name for name in hidden if name in shown] == []
    assert unknown == ({}, sorted([*shown, *json.loads(webhook.config).keys() - shown.keys()]))
