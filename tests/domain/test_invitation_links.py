"""Signed links in mails of invitations."""

from taskbadger.domain.invitation_links import digest_of, write_token
from taskbadger.domain.keys import digest

SECRET = "0123456789" * 4


def test_link_of_a_mail_names_the_same_invitation_as_the_one_that_was_shown() -> None:
    shown = "a-token_without_a_separator"

    mailed = write_token(digest(shown), SECRET)

    assert mailed != shown
    assert digest_of(mailed, SECRET) == digest_of(shown, SECRET) == digest(shown)


def test_link_that_was_signed_by_nobody_names_nothing() -> None:
    forged = [f"{digest('x')}.sig", write_token(digest("x"), "another" * 8), ".", "a.b.c"]

    assert [digest_of(each, SECRET) for each in forged] == [""] * 4


def test_digest_alone_opens_nothing() -> None:
    assert digest_of(digest("token"), SECRET) != digest("token")
