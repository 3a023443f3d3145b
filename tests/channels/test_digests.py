"""Digests as mails: what people read, and how mail programs unsubscribe."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from taskbadger.channels import Message, SendContext, text
from taskbadger.channels.email import Email, compose, render
from taskbadger.channels.links import with_links
from taskbadger.domain.digest_links import DigestLink, read_token
from tests.receivers import ReceivedMail, SmtpReceiver

HERE = "https://tasks.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
ENTRY: dict[str, Any] = {
    "title": "import (web)",
    "detail": "failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it",
    "url": f"{HERE}/a/acme/incidents/7/",
}
SECTIONS: list[dict[str, Any]] = [
    {"title": "Failing", "entries": [ENTRY, {**ENTRY, "url": None}], "count": 33, "more": ""},
    {"title": "Slower", "entries": [ENTRY], "count": 51, "more": "and 31 more"},
]
MESSAGE = Message(
    id="0198f1c2-digest",
    kind="digest",
    created=datetime(2026, 11, 23, 8, 0, tzinfo=UTC),
    organization="acme",
    title="Daily digest: 33 failing",
    url=f"{HERE}/a/acme/",
    digest={
        "period": "Sun 22 Nov 08:00 to Mon 23 Nov 08:00 (UTC)",
        "frequency": "daily",
        "sections": SECTIONS,
        "account_url": f"{HERE}/account",
        "member": {"organization_id": 3, "user_id": 7},
    },
)


def with_sections(*sections: dict[str, Any]) -> Message:
    return replace(MESSAGE, digest={**(MESSAGE.digest or {}), "sections": list(sections)})


def send(message: Message, base_url: str = HERE, **options: Any) -> ReceivedMail:
    """Send a digest as a worker does, through a real server."""
    with SmtpReceiver() as server:
        context = SendContext(
            smtp_url=server.url,
            base_url=base_url,
            mail_from="Task Badger <badger@tasks.example.com>",
            **{"secret_key": SECRET, **options},
        )
        with_own = with_links(message, "someone", context)
        Email().send(with_own, {}, {"to": "ada@example.org"}, context)
        [mail] = server.mails
    return mail


def test_digest_says_what_happened_section_by_section() -> None:
    mail = send(MESSAGE)

    unsubscribe = str(mail.message["List-Unsubscribe"]).strip("<>")
    headers = {name.lower(): str(value) for name, value in mail.message.items()}
    headers.pop("content-type")
    assert headers == {
        "from": "Task Badger <badger@tasks.example.com>",
        "to": "ada@example.org",
        "subject": "Daily digest: 33 failing (acme)",
        "date": "Mon, 23 Nov 2026 08:00:00 +0000",
        "message-id": "<0198f1c2-digest@tasks.example.com>",
        "auto-submitted": "auto-generated",
        "x-auto-response-suppress": "All",
        "list-unsubscribe": f"<{unsubscribe}>",
        "list-unsubscribe-post": "List-Unsubscribe=One-Click",
        "mime-version": "1.0",
    }
    assert mail.text == (
        "Daily digest: 33 failing\n"
        "\n"
        "acme, Sun 22 Nov 08:00 to Mon 23 Nov 08:00 (UTC)\n"
        "\n"
        "Failing\n"
        "\n"
        "- import (web)\n"
        "  failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it\n"
        f"  {HERE}/a/acme/incidents/7/\n"
        "\n"
        "- import (web)\n"
        "  failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it\n"
        "\n"
        "Slower\n"
        "\n"
        "- import (web)\n"
        "  failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it\n"
        f"  {HERE}/a/acme/incidents/7/\n"
        "\n"
        "and 31 more\n"
        "\n"
        "You get this daily digest as a member of acme.\n"
        f"Change it: {HERE}/account\n"
        f"Unsubscribe: {unsubscribe}\n"
    )


def test_both_parts_have_the_same_links() -> None:
    mail = send(MESSAGE)

    links = re.findall(r'href="([^"]+)"', mail.html)
    assert links == re.findall(r"https://\S+", mail.text)
    assert "<img" not in mail.html
    assert "and 31 more" in mail.html


def test_quiet_day_is_one_line() -> None:
    mail = send(with_sections())

    assert mail.text.split("\n\n")[2] == "Nothing happened."
    assert "Nothing happened." in mail.html


def test_link_turns_off_the_digests_of_its_reader() -> None:
    url = str(send(MESSAGE).message["List-Unsubscribe"]).strip("<>")

    path, _, token = url.partition("?token=")
    assert path == f"{HERE}/public/digests/"
    assert read_token(token, SECRET) == DigestLink(3, 7)


@pytest.mark.parametrize(
    ("base_url", "options", "headers"),
    [
        ("http://tasks.example.com", {}, ["List-Unsubscribe"]),
        ("", {}, []),
        (HERE, {"secret_key": ""}, []),
    ],
)
def test_one_click_needs_https_and_a_link_needs_an_address(
    base_url: str, options: dict[str, str], headers: list[str]
) -> None:
    mail = send(MESSAGE, base_url, **options)

    assert [name for name in mail.message if name.startswith("List-")] == headers
    assert ("Unsubscribe:" in mail.text) is bool(headers)


def test_hostile_names_stay_text() -> None:
    bad = {
        **ENTRY,
        "title": "<script>alert(1)</script>",
        "detail": '"><img src=x onerror=alert(1)>',
    }
    mail = send(with_sections({"title": "Failing", "entries": [bad], "count": 1, "more": ""}))

    assert "<script" not in mail.html
    assert "<img" not in mail.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in mail.html


def test_preview_is_what_is_sent() -> None:
    context = SendContext(base_url=HERE, secret_key=SECRET)

    shown, mail = render(with_links(MESSAGE, "someone", context)), send(MESSAGE)

    assert shown.subject == str(mail.message["Subject"])
    # Parts of a mail end with the end of a line.
    assert (shown.text.rstrip(), shown.html.rstrip()) == (mail.text.rstrip(), mail.html.rstrip())


def test_page_of_its_delivery_has_the_lines_of_a_digest() -> None:
    line = "- import (web): failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it"

    assert text.plain(MESSAGE).split("\n") == [
        "Sun 22 Nov 08:00 to Mon 23 Nov 08:00 (UTC)",
        "Failing:",
        line,
        line,
        "Slower:",
        line,
        "and 31 more",
    ]


def test_long_digest_keeps_the_limits_of_mails() -> None:
    long = {**ENTRY, "title": "ä" * 200, "url": f"{HERE}/{'x' * 900}"}
    sections = [
        {"title": "Failing", "entries": [long] * 20, "count": 20, "more": ""} for _ in range(7)
    ]

    mail = compose(with_sections(*sections), ["ada@example.org"], "badger@localhost")

    assert max(len(line) for line in mail.as_bytes().splitlines()) <= 998
