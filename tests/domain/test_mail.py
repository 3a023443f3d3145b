"""Mail addresses, senders and mail servers."""

from email.charset import CHARSETS, QP

import pytest

from taskbadger.domain.mail import (
    InvalidAddress,
    MailAddress,
    Mailbox,
    MailServer,
    encode_header,
    parse_smtp_url,
    read_address,
    read_login,
    read_mailbox,
    read_recipients,
)
from taskbadger.errors import SettingsError


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "o'neil+tag@example.com",
        "root@localhost",
        "ann@mail.localhost",
        "ann@printer.local",
        "ann@server.test",
        "ann@pi.home.arpa",
    ],
)
def test_address_that_a_mail_server_could_take_is_read(text: str) -> None:
    assert read_address(text) == MailAddress(text, text)


def test_domain_is_written_in_unicode_and_sent_in_punycode() -> None:
    assert read_address("ann@münchen.local") == MailAddress(
        "ann@münchen.local", "ann@xn--mnchen-3ya.local"
    )


def test_people_may_sign_in_by_addresses_of_any_script() -> None:
    assert read_login("Jösé@Example.org") == "jösé@example.org"
    assert read_login("Root@localhost") == "root@localhost"


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "ann", "ann@", "@localhost", "ann@example", "ann@server", "local", "a@local"),
        *("ann@.local", "ann@-x.local", "ann@x..local", "ann@[10.0.0.5]", "ann@x.invalid"),
        *("ann b@localhost", "ann@local host", "a@x.local\nBcc: b@x.local", "\ud800@x.local"),
        *("ann@localhost,b@localhost", "Ann <ann@localhost>", "ann@x.onion", "ä@example.com"),
    ],
)
def test_what_no_mail_server_could_take_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        read_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@example.com", ["a@example.com"]),
        (" a@example.com , b@EXAMPLE.com ,", ["a@example.com", "b@example.com"]),
        ("a@example.com,a@EXAMPLE.com", ["a@example.com"]),
        ("a@münchen.de,a@xn--mnchen-3ya.de", ["a@xn--mnchen-3ya.de"]),
        ("root@localhost,x@mail.local,y@z.test", ["root@localhost", "x@mail.local", "y@z.test"]),
        (",".join(f"{n}@example.com" for n in range(5)), [f"{n}@example.com" for n in range(5)]),
    ],
)
def test_each_recipient_is_read_once(text: str, expected: list[str]) -> None:
    assert [found.ascii for found in read_recipients(text)] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Give at least one e-mail address."),
        (" , ", "Give at least one e-mail address."),
        (",".join(f"{n}@example.com" for n in range(6)), "Give at most 5 e-mail addresses."),
        ("nobody", "“nobody” is not a valid e-mail address."),
        ("a@example.com, b@", "“b@” is not a valid e-mail address."),
        ("a@example.com;b@x.com", "“a@example.com;b@x.com” is not a valid e-mail address."),
        ("a@b\nBcc: c@example.com", "“a@b\nBcc: c@example.com” is not a valid e-mail address."),
    ],
)
def test_what_is_wrong_with_recipients_is_said(text: str, reason: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        read_recipients(text)

    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "name", "header"),
    [
        ("ann@example.com", "", "ann@example.com"),
        ("<ann@example.com>", "", "ann@example.com"),
        ("Ann <ann@example.com>", "Ann", "Ann <ann@example.com>"),
        ("Doe, Ann <ann@example.com>", "Doe, Ann", '"Doe, Ann" <ann@example.com>'),
        ('"Doe, Ann" <ann@example.com>', "Doe, Ann", '"Doe, Ann" <ann@example.com>'),
        ('"Doe <ann@example.com>', "Doe", "Doe <ann@example.com>"),
        ("Ann (dev); x <ann@example.com>", "Ann (dev); x", '"Ann (dev); x" <ann@example.com>'),
        ('A "b" c <ann@example.com>', 'A "b" c', '"A \\"b\\" c" <ann@example.com>'),
        ("a <b> <ann@example.com>", "a <b>", '"a <b>" <ann@example.com>'),
        ("Größe <ann@example.com>", "Größe", "=?utf-8?b?R3LDtsOfZQ==?= <ann@example.com>"),
        ("=?x?q?a?= <ann@example.com>", "=?x?q?a?=", "=?utf-8?b?PT94P3E/YT89?= <ann@example.com>"),
    ],
)
def test_sender_is_read_and_written_whatever_its_name_has(
    text: str, name: str, header: str
) -> None:
    mailbox = read_mailbox(text)

    assert mailbox == Mailbox(name, MailAddress("ann@example.com", "ann@example.com"))
    assert mailbox.header() == header


def test_header_stays_the_same_when_a_library_changes_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHARSETS, "utf-8", (QP, QP, "utf-8"))

    assert encode_header("Subject", "Größe") == "=?utf-8?b?R3LDtsOfZQ==?="


@pytest.mark.parametrize(
    "text",
    ["", "Ann", "Ann <>", "Ann <ann>", "Ann <ann@example.com", "Ann\nBcc: x <ann@example.com>"],
)
def test_what_is_no_sender_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        read_mailbox(text)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", MailServer("mail", 25)),
        ("smtp://mail:2525", MailServer("mail", 2525)),
        ("smtps://mail", MailServer("mail", 465, tls=True)),
        ("smtp://mail?starttls=true", MailServer("mail", 587, starttls=True)),
        ("smtp://mail?starttls=false", MailServer("mail", 25)),
        (
            "smtp://me%40x:p%3Aw%2F@mail:26?starttls=1",
            MailServer("mail", 26, starttls=True, user="me@x", password="p:w/"),
        ),
        ("smtp://[::1]:2525", MailServer("::1", 2525)),
    ],
)
def test_smtp_url_is_read(url: str, server: MailServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://mail", "TASKBADGER_SMTP_URL must be smtp://host or smtps://host"),
        ("smtp://", "TASKBADGER_SMTP_URL must be smtp://host or smtps://host"),
        ("smtp://me:secret@mail:port", "TASKBADGER_SMTP_URL is not a valid URL"),
        ("smtp://mail?starttls=maybe", "TASKBADGER_SMTP_URL has only one option: ?starttls=true"),
        ("smtp://mail?tls=true", "TASKBADGER_SMTP_URL has only one option: ?starttls=true"),
        (
            "smtps://mail?starttls=true",
            "TASKBADGER_SMTP_URL: use either smtps:// or ?starttls=true, not both",
        ),
    ],
)
def test_bad_smtp_url_is_refused_without_its_password(url: str, detail: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_smtp_url(url)

    assert str(caught.value) == detail
