"""Masking secrets."""

from typing import Any

import pytest

from taskbadger.domain.numbers import Number
from taskbadger.domain.secrets import MASK, masked


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "x", "Authorization": "Bearer y"}, {"password": MASK, "Authorization": MASK}),
        (
            {"api_key": 7, "apiKey": "x", "API-KEY": [1]},
            dict.fromkeys(("api_key", "apiKey", "API-KEY"), MASK),
        ),
        ({"auth": {"user": "u"}, "author": "Ada"}, {"auth": MASK, "author": "Ada"}),
        (
            {"token": None, "secret": "", "has_password": True},
            {"token": None, "secret": "", "has_password": True},
        ),
        ([{"a": [{"client_secret": "x"}]}], [{"a": [{"client_secret": MASK}]}]),
        ("see postgres://u:pw@db/x and http://h/p", f"see postgres://u:{MASK}@db/x and http://h/p"),
        ("redis://:pw@cache/0", f"redis://:{MASK}@cache/0"),
        (
            {"tokens_used": 1200, "maxTokens": Number("8.5"), "token_count": 0, "keyboard": "de"},
            {"tokens_used": 1200, "maxTokens": "8.5", "token_count": 0, "keyboard": "de"},
        ),
        (
            {"tokens": "x", "token": 7, "refresh_tokens": ["x"], "secret_token_count": 1, "pwd": 0},
            dict.fromkeys(("tokens", "token", "refresh_tokens", "secret_token_count", "pwd"), MASK),
        ),
        (12.5, 12.5),
        (None, None),
    ],
)
def test_secrets_are_masked_by_their_keys(value: Any, shown: Any) -> None:
    assert masked(value) == shown


def test_depth_has_an_end() -> None:
    value: Any = "x"
    for _ in range(150):
        value = [value]

    assert masked(value) == value
