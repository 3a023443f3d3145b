"""Mail: what people read, what the server is told, and what becomes of a refusal."""

import dataclasses
import hmac
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import compat32
from typing import Any

import pytest
from marshmallow import ValidationError

from taskbadger.channels import DeliveryError, Message, SendContext, load_config, smtp
from taskbadger.channels.email import Email, compose
from taskbadger.domain.incident_links import read_token
from taskbadger.domain.mail import parse_smtp_url
from tests import receivers
from tests.receivers import HttpReceiver, SilentListener, SmtpReceiver, authority, closed_port

CREATED = datetime(2026, 11, 23, 19, 10, 0, tzinfo=UTC)
TASK: dict[str, Any] = {
    "id": "AZ3cE1Jmf2uZ0Jf7rYvM3w",
    "organization": "demo",
    "project": "shop",
    "name": "nightly import",
    "status": "error",
    "value": 62_000,
    "value_max": 100_000,
    "value_percent": 62,
    "queue": "imports",
    "external_id": "",
    "created": "2026-11-23T17:00:00.000000Z",
    "start_time": "2026-11-23T17:05:00.000000Z",
    "end_time": "2026-11-23T19:10:00.000000Z",
}
HEADERS = sorted(
    [
        *("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"),
        *("Auto-Submitted", "X-Auto-Response-Suppress"),
    ]
)
MESSAGE = Message(
    id="0198f1c2-delivery",
    kind="task",
    created=CREATED,
    organization="demo",
    project="shop",
    title="nightly import: error at 62 %",
    task=TASK,
    trigger="error",
    reasons=({"point": "error", "kind": "status", "reached": "error", "before": "processing"},),
    held_back=3,
    url="https://tasks.example.com/a/demo/tasks/AZ3cE1Jmf2uZ0Jf7rYvM3w/",
)


def context(url: str, **options: Any) -> SendContext:
    options = {"smtp_seconds": 3.0, "smtp_tls": authority().client, **options}
    options = {"mail_from": "Task Badger <badger@tasks.example.com>", **options}
    return SendContext(smtp_url=url, **options)


def failure(url: str, to: str = "a@example.com", **options: Any) -> DeliveryError:
    """Return the error that sending a mail by *url* raises."""
    with pytest.raises(DeliveryError) as caught:
        Email().send(MESSAGE, {}, {"to": to}, context(url, **options))
    return caught.value


def outline(error: DeliveryError) -> dict[str, Any]:
    """Return what the worker looks at."""
    return {
        "class": error.error_class,
        "permanent": error.permanent,
        "status": error.status,
        "remaining": error.remaining,
    }


def test_mail_says_what_where_since_when_and_why() -> None:
    with SmtpReceiver() as server:
        Email().send(MESSAGE, {}, {"to": "a@example.com, b@example.com"}, context(server.url))

    [mail] = server.mails
    assert (mail.sender, mail.recipients) == (
        "badger@tasks.example.com",
        ["a@example.com", "b@example.com"],
    )
    headers = {name.lower(): str(value) for name, value in mail.message.items()}
    headers.pop("content-type")
    assert headers == {
        "from": "Task Badger <badger@tasks.example.com>",
        "to": "a@example.com, b@example.com",
        "subject": "nightly import: error at 62 % (demo/shop)",
        "date": "Mon, 23 Nov 2026 19:10:00 +0000",
        "message-id": "<0198f1c2-delivery@tasks.example.com>",
        "auto-submitted": "auto-generated",
        "x-auto-response-suppress": "All",
        "mime-version": "1.0",
    }
    assert mail.text == (
        "nightly import: error at 62 %\n"
        "\n"
        "Where: demo/shop\n"
        "Task: nightly import\n"
        "Status: error\n"
        "Progress: 62 % (62,000 of 100,000)\n"
        "Queue: imports\n"
        "Started: 2026-11-23 17:05:00 UTC\n"
        "Run time: 2 h 5 min\n"
        "When: 2026-11-23 19:10:00 UTC\n"
        "\n"
        "The status changed from processing to error.\n"
        "3 alerts were held back since the last message.\n"
        "\n"
        "Open: https://tasks.example.com/a/demo/tasks/AZ3cE1Jmf2uZ0Jf7rYvM3w/\n"
    )
    assert '<a href="https://tasks.example.com/a/demo/tasks/AZ3cE1Jmf2uZ0Jf7rYvM3w/"' in mail.html
    assert "<img" not in mail.html


def test_mail_gives_times_in_the_zone_of_the_monitor_too() -> None:
    failing = Message(
        id="1",
        kind="monitor_failing",
        created=CREATED,
        organization="demo",
        title="backup is failing (1 failed or missed run since 18:10 UTC)",
        monitor={"name": "backup", "schedule": "0 3 * * *", "timezone": "Asia/Kathmandu"},
        incident={"opened": "2026-11-23T12:00:00Z", "closed": None, "bad_slots": 2},
    )
    since = "2026-11-23 12:00:00 UTC (17:45:00 Asia/Kathmandu)"
    when = "2026-11-23 19:10:00 UTC (2026-11-24 00:55:00 Asia/Kathmandu)"

    mail = compose(failing, ["a@example.com"], "badger@localhost")

    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        assert since in body.get_content()
        assert when in body.get_content()


def test_message_without_link_or_notes_leaves_them_out() -> None:
    bare = Message(id="1", kind="task", created=CREATED, organization="demo", title="hello")

    body = compose(bare, ["a@example.com"], "badger@localhost").get_body(("plain",))

    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == (
        "hello\n\nWhere: demo\nWhen: 2026-11-23 19:10:00 UTC\n"
    )


def test_hostile_title_stays_text_in_subject_headers_and_html() -> None:
    hostile = dataclasses.replace(
        MESSAGE,
        id="x>\r\nBcc: evil@example.com",
        title="<script>alert(1)</script>\r\nBcc: evil@example.com\u202e",
        task={**TASK, "name": '"><img src=x onerror=alert(1)>', "queue": "a\nb"},
        url="javascript:alert(1)",
    )
    with SmtpReceiver() as server:
        Email().send(hostile, {}, {"to": "a@example.com"}, context(server.url))

    [mail] = server.mails
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"] == (
        "<script>alert(1)</script> Bcc: evil@example.com (demo/shop)"
    )
    assert mail.message["Message-ID"] == "<x---Bcc--evil-example-com@tasks.example.com>"
    assert "<script" not in mail.html
    assert "<img" not in mail.html
    assert "javascript:" not in mail.html + mail.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; Bcc: evil@example.com" in mail.html


LIKE_ENCODED = "=?utf-8?q?a=0ABcc:=20evil@example.com?="


@pytest.mark.parametrize(
    "title",
    [
        LIKE_ENCODED,
        LIKE_ENCODED.replace(" ", "_"),
        f"Größe {LIKE_ENCODED}",
        "=?utf-8?b?YQpCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=",
        "=?utf-8?q?a?= =?utf-8?q?b?=",
        "a =?us-ascii?q?x=00?= b",
        "import of =?unknown?q?x?=",
        "x" * 140,
        " ".join(["word"] * 25),
    ],
)
def test_title_reaches_the_subject_as_it_was_written(title: str) -> None:
    named = dataclasses.replace(MESSAGE, title=title)
    with SmtpReceiver() as server:
        Email().send(named, {}, {"to": "a@example.com"}, context(server.url))

    [mail] = server.mails
    assert str(make_header(decode_header(raw(mail, "Subject")))) == f"{title} (demo/shop)"
    assert sorted(mail.message.keys()) == HEADERS
    assert max(len(line) for line in mail.content.splitlines()) <= 998
    assert title in mail.text


def test_addresses_and_sender_reach_the_headers_as_they_were_written() -> None:
    # Python's own header classes would decode all three.
    hostile = "=?utf-8?q?a=0ABcc=3A_evil?=@example.com"
    with SmtpReceiver() as server:
        Email().send(
            MESSAGE,
            {},
            {"to": f"{hostile},b@example.com"},
            context(server.url, mail_from=f"{LIKE_ENCODED} <{hostile}>"),
        )

    [mail] = server.mails
    assert sorted(mail.message.keys()) == HEADERS
    assert raw(mail, "To").split() == [f"{hostile},", "b@example.com"]
    name, address = raw(mail, "From").rsplit(" ", 1)
    assert str(make_header(decode_header(name))) == LIKE_ENCODED
    assert address == f"<{hostile}>"


def raw(mail: Any, name: str) -> str:
    """Return a header as it is on the wire, unfolded."""
    return str(message_from_bytes(mail.content, policy=compat32)[name]).replace("\r\n", "")


def test_long_and_foreign_title_survives_the_way() -> None:
    long = dataclasses.replace(MESSAGE, title="Größe 測試 🦡 " + "x" * 400)
    with SmtpReceiver() as server:
        Email().send(long, {}, {"to": "a@example.com"}, context(server.url))

    subject = str(server.mails[0].message["Subject"])
    assert subject.startswith("Größe 測試 🦡 xxx")
    assert subject.endswith("x… (demo/shop)")
    assert long.title in server.mails[0].text


def test_lines_on_the_wire_are_ascii_and_short() -> None:
    long = dataclasses.replace(MESSAGE, title="ü" * 3000)

    lines = compose(long, ["a@example.com"], "badger@localhost").as_bytes().split(b"\r\n")

    assert max(map(len, lines)) <= 998
    assert all(line.isascii() for line in lines)


def test_retry_has_the_same_message_id() -> None:
    first, second = (compose(MESSAGE, ["a@example.com"], "badger@localhost") for _ in range(2))

    assert first["Message-ID"] == second["Message-ID"] == "<0198f1c2-delivery@localhost>"


# Kinds of connection


@pytest.mark.parametrize(
    "options",
    [
        {"starttls": True},
        {"tls": True},
        {"password": "geheim:@/ +%"},
        {"password": "grün ✓"},
        {"password": "geheim", "starttls": True},
        {"password": "geheim", "tls": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_mail_goes_over_tls_and_with_login(options: dict[str, Any]) -> None:
    with SmtpReceiver(**options) as server:
        Email().send(MESSAGE, {}, {"to": "a@example.com"}, context(server.url))

    assert [mail.user for mail in server.mails] == ["badger" if "password" in options else None]


def test_wrong_password_is_an_auth_error_that_is_tried_again() -> None:
    with SmtpReceiver(password="right", starttls=True) as server:
        error = failure(server.url.replace("right", "wrong"))

    assert outline(error) == {
        "class": "auth",
        "permanent": False,
        "status": 535,
        "remaining": None,
    }
    assert "wrong" not in error.detail


def test_challenge_is_answered_in_utf_8() -> None:
    with SmtpReceiver() as server:
        session = smtp._Session(parse_smtp_url(server.url), authority().client, 3.0)
        session.user, session.password = smtp._Utf8("bär"), smtp._Utf8("grün")

        answer = session.auth_cram_md5(b"<1@mail>")

    digest = hmac.new("grün".encode(), b"<1@mail>", "md5").hexdigest()
    assert answer.encode("ascii") == f"bär {digest}".encode()


@pytest.mark.parametrize("options", [{"starttls": True}, {"tls": True}])
def test_mail_server_that_nobody_vouches_for_is_a_tls_error(options: dict[str, Any]) -> None:
    with SmtpReceiver(**options) as server:
        error = failure(server.url, smtp_tls=None)

    assert outline(error)["class"] == "tls"
    assert server.mails == []


def test_mail_server_with_another_name_is_a_tls_error() -> None:
    with SmtpReceiver(tls=True, name="mail.example") as server:
        error = failure(server.url, smtp_tls=authority("mail.example").client)

    assert outline(error)["class"] == "tls"


def test_missing_starttls_is_never_passed_over() -> None:
    with SmtpReceiver() as server:
        error = failure(f"{server.url}?starttls=true")

    assert (outline(error)["class"], server.mails) == ("not_supported", [])


# Refusals


def test_refused_recipient_is_permanent() -> None:
    with SmtpReceiver(recipients={"a@example.com": "550 no such user"}) as server:
        error = failure(server.url)

    assert outline(error) == {
        "class": "smtp_status",
        "permanent": True,
        "status": 550,
        "remaining": None,
    }
    assert error.detail == "The mail server refused a@example.com (550)."
    assert server.mails == []


def test_deferred_recipient_is_tried_again() -> None:
    with SmtpReceiver(recipients={"a@example.com": "451 later"}) as server:
        error = failure(server.url)

    assert outline(error) == {
        "class": "smtp_status",
        "permanent": False,
        "status": 451,
        "remaining": None,
    }


def test_nobody_gets_a_mail_twice_because_another_was_deferred() -> None:
    recipients = {"b@example.com": "451 later", "c@example.com": "550 no such user"}
    with SmtpReceiver(recipients=recipients) as server:
        first = failure(server.url, "a@example.com,b@example.com,c@example.com")
        server.recipients.pop("b@example.com")
        assert first.remaining is not None
        second = failure(server.url, first.remaining["to"])
        assert second.remaining is not None
        third = failure(server.url, second.remaining["to"])

    assert [mail.recipients for mail in server.mails] == [["a@example.com"], ["b@example.com"]]
    assert [outline(error) for error in (first, second, third)] == [
        {
            "class": "smtp_status",
            "permanent": False,
            "status": 550,
            "remaining": {"to": "b@example.com,c@example.com"},
        },
        {
            "class": "smtp_status",
            "permanent": True,
            "status": 550,
            "remaining": {"to": "c@example.com"},
        },
        {"class": "smtp_status", "permanent": True, "status": 550, "remaining": None},
    ]
    assert first.detail == (
        "The mail server refused b@example.com (451), c@example.com (550); the others received it."
    )


@pytest.mark.parametrize(("reply", "permanent"), [("554 spam", True), ("451 later", False)])
def test_refused_mail_is_permanent_only_with_a_5xx(reply: str, permanent: bool) -> None:
    with SmtpReceiver(data=reply) as server:
        error = failure(server.url)

    assert outline(error) == {
        "class": "smtp_status",
        "permanent": permanent,
        "status": int(reply[:3]),
        "remaining": None,
    }


def test_refused_sender_is_for_the_operator_to_repair_and_tried_again() -> None:
    with SmtpReceiver(sender="550 not you") as server:
        error = failure(server.url)

    assert outline(error) == {
        "class": "smtp_status",
        "permanent": False,
        "status": 550,
        "remaining": None,
    }


# Servers that misbehave


@pytest.fixture
def drip() -> Iterator[int]:
    """A port on which each connection gets a byte now and then and never a whole line."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while not stop.wait(0.05):
                try:
                    client.sendall(b"2")
                except OSError:
                    break

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    stop.set()
    thread.join()
    listener.close()


def test_server_that_drips_is_left_at_the_deadline(drip: int) -> None:
    assert outline(failure(f"smtp://127.0.0.1:{drip}", smtp_seconds=0.3))["class"] == "timeout"


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_server_that_says_nothing_is_a_timeout(scheme: str) -> None:
    with SilentListener() as silent:
        error = failure(f"{scheme}://127.0.0.1:{silent.port}", smtp_seconds=0.2)

    assert outline(error)["class"] == "timeout"


def test_closed_port_is_a_connect_error() -> None:
    assert outline(failure(f"smtp://127.0.0.1:{closed_port()}"))["class"] == "connect"


def test_unknown_mail_server_is_a_dns_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert outline(failure("smtp://nowhere.example"))["class"] == "dns"


def test_mail_server_whose_name_takes_too_long_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(*_: object, seconds: float) -> list[str]:
        time.sleep(seconds + 0.1)
        return [receivers.LOOPBACK]

    monkeypatch.setattr(smtp, "look_up", slow)

    with SilentListener() as silent:
        error = failure(f"smtp://mail.example:{silent.port}", smtp_seconds=0.1)

    assert outline(error)["class"] == "timeout"


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [(b"554 go away\r\n", ("smtp_status", 554)), (b"", ("reset", None))],
)
def test_server_that_does_not_greet_is_tried_again(
    greeting: bytes, expected: tuple[str, int | None]
) -> None:
    def behave(connection: receivers.Connection) -> None:
        connection.send(greeting)

    with HttpReceiver(behave) as server:
        error = failure(f"smtp://127.0.0.1:{server.port}")

    assert (error.error_class, error.status, error.permanent) == (*expected, False)


def test_server_that_resets_is_a_reset() -> None:
    with HttpReceiver(receivers.reset_at_once) as server:
        error = failure(f"smtp://127.0.0.1:{server.port}")

    assert outline(error)["class"] == "reset"


def test_next_address_of_the_mail_server_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "look_up", lambda *_, **__: ["::1", "127.0.0.1"])
    with SmtpReceiver() as server:
        Email().send(MESSAGE, {}, {"to": "a@example.com"}, context(server.url))

    assert len(server.mails) == 1


def test_odd_name_of_this_machine_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my machine")

    assert smtp._own_name() == "localhost"


def test_without_a_mail_server_mail_waits_for_the_operator() -> None:
    error = failure("")

    assert (error.detail, outline(error)["class"], error.permanent) == (
        "This server has no mail server.",
        "not_configured",
        False,
    )
    assert Email().missing(context("smtp://localhost")) is None


# Configs


@pytest.mark.parametrize("value", ["", ",", "nobody", "a@b.com\nBcc: c@b.com", "a@b.com;c@b.com"])
def test_bad_addresses_are_refused_when_saved(value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Email().load_action({"to": value}, {})

    assert list(caught.value.normalized_messages()) == ["to"]


def test_addresses_are_kept_as_they_were_sent() -> None:
    assert Email().load_action({"to": "b@x.com, a@x.com"}, {}) == {"to": "b@x.com, a@x.com"}


def test_action_needs_addresses_unless_the_channel_has_them() -> None:
    config = load_config(Email(), {"to": "team@example.com"}, context(""))

    assert Email().load_action({}, config) == {}
    with pytest.raises(ValidationError) as caught:
        Email().load_action({}, {})
    assert caught.value.normalized_messages() == {"to": ["This field is required."]}


def test_mail_of_an_action_without_addresses_goes_to_those_of_the_channel() -> None:
    with SmtpReceiver() as server:
        Email().send(MESSAGE, {"to": "team@example.com"}, {}, context(server.url))

    assert server.mails[0].recipients == ["team@example.com"]


def test_destination_is_the_domains() -> None:
    to = {"to": "a@example.org,b@example.com,c@example.org"}

    assert Email().destination({}, to) == "email:example.com,example.org"


# Incidents

FAILING = Message(
    id="0198f1c2-failing",
    kind="task.failing",
    created=CREATED,
    organization="demo",
    project="shop",
    title="import is failing: ValueError: no (3 runs since 18:10 UTC)",
    incident={
        "id": 7,
        "name": "import",
        "opened": "2026-11-23T18:10:00Z",
        "closed": None,
        "runs": 3,
        "acknowledged": None,
    },
    url="https://tasks.example.com/a/demo/incidents/7/",
)
TO = "a@example.com, b@example.com"
SIGNING: dict[str, Any] = {
    "base_url": "https://tasks.example.com",
    "secret_key": "k" * 32,
    "clock": lambda: CREATED,
}


def people_of(mail: Any) -> list[str]:
    """Return what the links of a mail allow, and to whom."""
    tokens = re.findall(r"^\w+: \S+\?token=(\S+)$", mail.text, re.MULTILINE)
    links = [read_token(token, "k" * 32).link for token in tokens]
    return [f"{link.operation} {link.incident_id} {link.person}" for link in links]


def test_each_recipient_gets_links_that_name_them() -> None:
    with SmtpReceiver() as server:
        Email().send(FAILING, {}, {"to": TO}, context(server.url, **SIGNING))

    assert [(mail.recipients, people_of(mail)) for mail in server.mails] == [
        (["a@example.com"], ["acknowledge 7 a@example.com", "snooze 7 a@example.com"]),
        (["b@example.com"], ["acknowledge 7 b@example.com", "snooze 7 b@example.com"]),
    ]
    assert {str(mail.message["To"]) for mail in server.mails} == {TO}
    assert {str(mail.message["Message-ID"]) for mail in server.mails} == {
        "<0198f1c2-failing@tasks.example.com>"
    }
    for mail in server.mails:
        assert re.findall(r">(\w+)</a>", mail.html) == ["Open", "Acknowledge", "Snooze"]


def test_all_mails_about_an_incident_belong_to_one_thread() -> None:
    kinds = ["task.failing", "task.new_failure", "task.reminder", "task.recovered"]
    kinds += ["monitor_failing", "monitor_recovered"]
    mails = [
        compose(
            dataclasses.replace(FAILING, id=f"d{number}", kind=kind),
            ["a@example.com"],
            "badger@tasks.example.com",
        )
        for number, kind in enumerate(kinds)
    ]

    assert {(mail["In-Reply-To"], mail["References"]) for mail in mails} == {
        ("<incident-7.demo@tasks.example.com>", "<incident-7.demo@tasks.example.com>")
    }
    assert len({mail["Message-ID"] for mail in mails}) == len(kinds)


def test_nobody_gets_links_twice_because_another_was_deferred() -> None:
    with SmtpReceiver(recipients={"b@example.com": "451 later"}) as server:
        to = "a@example.com,b@example.com,c@example.com"
        with pytest.raises(DeliveryError) as caught:
            Email().send(FAILING, {}, {"to": to}, context(server.url, **SIGNING))
        server.recipients.clear()
        left = caught.value.remaining
        assert left == {"to": "b@example.com"}
        Email().send(FAILING, {}, left, context(server.url, **SIGNING))

    assert [mail.recipients for mail in server.mails] == [
        ["a@example.com"],
        ["c@example.com"],
        ["b@example.com"],
    ]
    assert caught.value.detail == (
        "The mail server refused b@example.com (451); the others received it."
    )


@pytest.mark.parametrize(
    ("reply", "permanent", "sent", "remaining"),
    [
        ("451 later", False, "a", "b@example.com,c@example.com"),
        ("552 mailbox full", True, "ac", "b@example.com"),
    ],
)
def test_recipients_after_the_one_whose_mail_was_refused_get_theirs(
    monkeypatch: pytest.MonkeyPatch, reply: str, permanent: bool, sent: str, remaining: str
) -> None:
    transmit, count = smtp._transmit, 0

    def refuse_second(session: Any, mail: Any, sender: str, **options: Any) -> dict[str, int]:
        nonlocal count
        count += 1
        server.data = reply if count == 2 else "250 OK"
        return transmit(session, mail, sender, **options)

    monkeypatch.setattr(smtp, "_transmit", refuse_second)
    to = "a@example.com,b@example.com,c@example.com"
    with SmtpReceiver() as server, pytest.raises(DeliveryError) as caught:
        Email().send(FAILING, {}, {"to": to}, context(server.url, **SIGNING))

    assert outline(caught.value) == {
        "class": "smtp_status",
        "permanent": permanent,
        "status": int(reply[:3]),
        "remaining": {"to": remaining},
    }
    assert [mail.recipients[0][0] for mail in server.mails] == list(sent)
