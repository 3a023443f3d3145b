"""API keys: the three spellings of a token, and what is kept of a secret."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain import keys
from taskbadger.domain.keys import Token


def test_secret_is_a_prefix_and_at_least_160_random_bits_without_a_slash() -> None:
    secret = keys.new_secret()

    prefix, _, rest = secret.partition(".")
    assert re.fullmatch(r"[0-9a-f]+\.[A-Za-z0-9_-]+", secret)
    assert keys.prefix_of(secret) == prefix
    assert len(base64.urlsafe_b64decode(rest)) * 8 >= 160
    assert keys.new_secret() != secret


def test_secret_is_kept_as_its_sha256() -> None:
    assert keys.digest("abc.def") == hashlib.sha256(b"abc.def").hexdigest()


def test_project_key_is_standard_base64_of_its_three_parts() -> None:
    shown = keys.project_key("acme", "web", "12ab.se-cret_")

    assert base64.b64decode(shown, validate=True) == b"acme/web/12ab.se-cret_"
    assert len(shown) % 4 == 0
    assert keys.parse_token(shown) == Token("12ab.se-cret_", "acme", "web")


def test_every_new_secret_is_read_as_itself() -> None:
    secrets = [keys.new_secret() for _ in range(200)]

    assert [keys.parse_token(secret) for secret in secrets] == [Token(one) for one in secrets]


@pytest.mark.parametrize(
    "plain", ["acme/web", "acme/web/x/y", "/web/x", "acme//x", "acme/web/", "none", "a\xff/b/c"]
)
def test_base64_of_anything_else_is_taken_for_a_secret(plain: str) -> None:
    text = base64.b64encode(plain.encode("latin-1")).decode()

    assert keys.parse_token(text) == Token(text)


def test_project_key_without_its_padding_is_taken_for_a_secret() -> None:
    shown = keys.project_key("acme", "web", "12ab.secret")
    assert shown.endswith("=")

    assert keys.parse_token(shown.rstrip("=")) == Token(shown.rstrip("="))


@pytest.mark.parametrize("text", ["", "é", "a" * 1025, "\ud800"])
def test_text_that_can_be_no_token_is_none(text: str) -> None:
    assert keys.parse_token(text) is None


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    token = keys.parse_token(text)

    assert token is None or token.secret


def test_public_key_of_a_dsn_is_its_secret_in_letters_and_digits() -> None:
    for _ in range(200):
        secret = keys.new_secret()
        public = keys.public_key(secret)
        assert re.fullmatch(r"[0-9a-f]{60}", public)
        assert keys.secret_of(public) == keys.secret_of(secret) == secret
        assert keys.masked(f"/api/1/cron/job/{public}/") == f"/api/1/cron/job/{secret[:12]}.***/"
        assert keys.masked(f"/ping/{secret}/job") == f"/ping/{secret[:12]}.***/job"


@pytest.mark.parametrize("text", ["", "x", "0" * 32, "0" * 59, "0" * 61, "F" * 60, "ä" * 60])
def test_anything_else_is_no_public_key(text: str) -> None:
    assert keys.secret_of(text) is None
