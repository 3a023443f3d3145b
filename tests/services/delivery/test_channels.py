"""Channels that someone set up: creating, deleting, and what each leaves in the audit log."""

from datetime import UTC, datetime

import pytest
from blueprints.dashboard.forms_read import trail
from conftest import make_project

from taskbadger.channels import SendContext
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.services.delivery import channels

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
PLUGIN = Actor("server", "pager plug-in")
HOOK = {"url": "https://ops.example.com/"}


def make(place: ProjectRef, slug: str = "ops", *, enabled: bool = True) -> ChannelConfig:
    return channels.create_channel(
        place.organization_id,
        "webhook",
        slug,
        f"Channel {slug}",
        HOOK,
        context=SendContext(),
        actor=PLUGIN,
        now=NOW,
        enabled=enabled,
    )


def test_plain_calls_leave_their_entries(project: ProjectRef) -> None:
    made = make(project)
    db.session.commit()
    channels.delete_channel(made, actor=PLUGIN, now=NOW)
    db.session.commit()

    assert trail() == [
        ("pager plug-in", "channel.create", "webhook:ops", "Channel ops"),
        ("pager plug-in", "channel.delete", "webhook:ops", ""),
    ]


def test_channel_that_exists_is_refused_and_leaves_no_entry(project: ProjectRef) -> None:
    make(project)
    db.session.commit()

    with pytest.raises(channels.ChannelExists):
        make(project)
    db.session.commit()

    assert [entry[1] for entry in trail()] == ["channel.create"]


def test_channel_can_be_set_up_turned_off(project: ProjectRef) -> None:
    made = make(project, enabled=False)

    assert (made.disabled, made.failing_since, made.updated) == (NOW, None, NOW)


def test_channels_are_those_of_the_organization_only(project: ProjectRef) -> None:
    make(project, "second")
    make(project, "first")
    make(make_project("globex"), "foreign")

    by_name = channels.list_channels(project.organization_id)
    oldest_first = channels.list_page(project.organization_id, None, 1)

    assert [channel.slug for channel in by_name] == ["first", "second"]
    assert [channel.slug for channel in oldest_first.rows] == ["second"]
    assert oldest_first.next is not None
    with pytest.raises(NotFound):
        channels.get_channel(project.organization_id, "webhook:foreign")


@pytest.mark.parametrize(
    ("integration", "label", "disabled"),
    [
        ("email", "E-mail", False),
        ("webhook:ops", "Webhook", False),
        ("webhook:off", "Webhook", True),
    ],
)
def test_integration_leads_to_its_channel(
    project: ProjectRef, integration: str, label: str, *, disabled: bool
) -> None:
    make(project)
    make(project, "off", enabled=False)

    target = channels.find_target(project.organization_id, integration)

    assert target is not None
    assert (target.channel.label, target.disabled) == (label, disabled)


@pytest.mark.parametrize("integration", ["webhook", "webhook:", "webhook:gone", "pigeon:ops", ""])
def test_integration_without_a_channel_is_refused(project: ProjectRef, integration: str) -> None:
    make(project)

    assert channels.find_target(project.organization_id, integration) is None
    with pytest.raises(ValidationFailed) as raised:
        channels.check_integration(project.organization_id, integration)

    assert [(error.attr, error.code) for error in raised.value.errors] == [
        ("integration", "does_not_exist")
    ]
