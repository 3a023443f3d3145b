"""Signed links: which messages have them, and what they allow."""

import dataclasses
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from taskbadger.channels import MESSAGE_KINDS, Message, SendContext
from taskbadger.channels.links import with_links
from taskbadger.domain.incident_links import IncidentLink, read_token

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"
CONTEXT = SendContext(base_url="https://t.example/x", secret_key=SECRET, clock=lambda: NOW)
OPEN = {"id": 7, "opened": "2026-11-28T11:00:00Z", "closed": None, "acknowledged": None}
FAILING = Message(
    id="d1", kind="task.failing", created=NOW, organization="demo", title="x", incident=OPEN
)


def offered(context: SendContext = CONTEXT, **changes: Any) -> list[str]:
    """Return what a message like FAILING offers."""
    message = with_links(dataclasses.replace(FAILING, **changes), "anna", context)
    return sorted(message.links or {})


def test_links_say_what_they_allow_and_until_when() -> None:
    links = with_links(FAILING, "anna@example.com", CONTEXT).links or {}

    assert {url.partition("?")[0] for url in links.values()} == {
        "https://t.example/x/public/incidents/"
    }
    read = {
        name: read_token(parse_qs(urlsplit(url).query)["token"][0], SECRET)
        for name, url in links.items()
    }
    assert {name: found.link for name, found in read.items()} == {
        "acknowledge": IncidentLink("acknowledge", 7, "anna@example.com", "d1"),
        "snooze": IncidentLink("snooze", 7, "anna@example.com", "d1"),
    }
    assert {found.expires for found in read.values()} == {datetime(2026, 12, 1, 12, 0, tzinfo=UTC)}


@pytest.mark.parametrize("kind", MESSAGE_KINDS)
def test_only_messages_that_something_fails_have_links(kind: str) -> None:
    fails = ("monitor_failing", "task.failing", "task.new_failure", "task.reminder")

    assert offered(kind=kind) == (["acknowledge", "snooze"] if kind in fails else [])


@pytest.mark.parametrize(
    ("incident", "names"),
    [
        (None, []),
        ({"opened": "2026-11-28T11:00:00Z"}, []),
        ({**OPEN, "closed": "2026-11-28T11:30:00Z"}, []),
        ({**OPEN, "acknowledged": "2026-11-28T11:30:00Z"}, ["snooze"]),
    ],
)
def test_links_are_for_what_can_still_be_done(
    incident: dict[str, Any] | None, names: list[str]
) -> None:
    assert offered(incident=incident) == names


def test_server_that_does_not_know_its_address_sends_no_links() -> None:
    assert offered(dataclasses.replace(CONTEXT, base_url="")) == []
    assert offered(dataclasses.replace(CONTEXT, secret_key="")) == []


def test_context_never_shows_the_key() -> None:
    assert SECRET not in repr(CONTEXT)
