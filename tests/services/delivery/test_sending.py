"""Sending: one attempt, and what makes it impossible."""

from delivering import NOW, TIMED_OUT, claim, claim_and_send, finish, get, queue
from receivers import HttpReceiver
from sqlalchemy import select, update

from taskbadger.channels import Message, SendContext
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.domain.incident_links import IncidentLink, read_token
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    Destination,
)
from taskbadger.outbound import Sender
from taskbadger.services.delivery import (
    channel_settings,
    channels,
    outbox,
    sending,
)


def test_deleted_channel_ends_in_the_dead_letter(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    channels.delete_channel(webhook, actor=SERVER, now=NOW)
    db.session.commit()

    assert claim_and_send()

    row = get(queued)
    assert (row.state, row.error_class) == ("dead", "no_channel")


def test_channel_that_is_turned_off_gets_nothing(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    channel_settings.change(
        webhook, {"enabled": False}, context=SendContext(), actor=SERVER, now=NOW
    )
    db.session.commit()

    claim_and_send()

    assert (get(queued).state, get(queued).error_class) == ("dead", "channel_disabled")


def test_config_that_no_longer_fits_ends_in_the_dead_letter(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    webhook.config = "{}"
    db.session.commit()
    queued = queue(project)

    claim_and_send()

    assert (get(queued).state, get(queued).error_class) == ("dead", "bad_config")


def test_delivery_that_kills_its_workers_is_given_up(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    db.session.execute(update(Delivery).values(crashes=sending.MAX_CRASHES))
    db.session.commit()

    claim_and_send()

    row = get(queued)
    assert (row.state, row.error_class, row.error) == (
        "dead",
        "crash",
        "Workers crashed 10 times while they sent it.",
    )


def test_mail_without_a_mail_server_waits_visibly(project: ProjectRef) -> None:
    queued = queue(project, "email", at=NOW)
    db.session.execute(update(Delivery).values(config='{"to": "a@example.com"}'))
    db.session.commit()

    claim_and_send()

    row = get(queued)
    assert (row.state, row.attempts, row.error_class) == ("waiting", 1, "not_configured")
    assert row.error == "This server has no mail server."


def test_test_message_gets_one_attempt_and_does_not_open_the_circuit(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = outbox.queue_test(webhook, now=NOW)
    db.session.commit()

    finish(claim()[0], TIMED_OUT)

    assert (get(queued).state, get(queued).kind) == ("dead", "test")
    assert db.session.scalars(select(Destination.failures)).all() == [0]
    db.session.refresh(webhook)
    assert webhook.failing_since is None


def test_message_about_an_incident_gets_links_in_the_name_of_its_channel(
    project: ProjectRef,
) -> None:
    with HttpReceiver() as http:
        allowed = Sender.allowing(["127.0.0.0/8"])
        context = SendContext(
            http=allowed, base_url="https://t.example", secret_key="k" * 32, clock=lambda: NOW
        )
        channels.create_channel(
            project.organization_id,
            "webhook",
            "ops",
            "Operations",
            {"url": http.url},
            actor=SERVER,
            context=context,
            now=NOW,
        )
        message = Message(
            id="",
            kind="task.failing",
            created=NOW,
            organization="acme",
            title="import is failing",
            incident={"id": 7, "opened": "2026-01-01T00:00:00Z", "closed": None},
        )
        outbox.queue(
            message,
            organization_id=project.organization_id,
            integration="webhook:ops",
            config={},
            now=NOW,
        )
        db.session.commit()
        [claimed] = claim()
        target = channels.find_target(project.organization_id, "webhook:ops")
        assert sending.attempt(claimed, target, context) is None

    links = http.requests[0].json()["data"]["links"]
    tokens = {name: url.partition("?token=")[2] for name, url in links.items()}
    assert {name: read_token(token, "k" * 32).link for name, token in tokens.items()} == {
        name: IncidentLink(name, 7, "someone of webhook:ops", claimed.id)
        for name in ("acknowledge", "snooze")
    }
    assert Message.from_json(get(claimed.id).message).links is None
