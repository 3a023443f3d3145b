"""Masking secrets."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("404 for url: /v1?api_key=sk-live-123", "404 for url: /v1?api_key=•"),
        ("/v1?key=AIza1&page=2 failed", "/v1?key=•&page=2 failed"),
        ("/f?X-Amz-Signature=ab12&X-Amz-Date=5", "/f?X-Amz-Signature=•&X-Amz-Date=5"),
        ("/f?a=1&sig=x%2Fy%3D#top", "/f?a=1&sig=•"),
        ("sent Authorization: Bearer abc.def-g, got 401", "sent Authorization: Bearer •, got 401"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic •"),
        ("authorization=Token abcdef", "authorization=Token •"),
        (
            'Authorization: Digest username="u", response="a1"\nnext',
            "Authorization: Digest •\nnext",
        ),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '•'}"),
        ("Cookie: a=1; b=2\nHost: x", "Cookie: •\nHost: x"),
        ("header Bearer eyJ0.eyJz.s1g rejected", "header Bearer • rejected"),
        ("login with password=hunter2 failed", "login with password=• failed"),
        ("password: hunter2", "password: •"),
        ("password: swordfish, user: bob", "password: •, user: bob"),
        ("(user=bob, password=hunter2)", "(user=bob, password=•)"),
        ("host=h;password=a;b@c!;user=u", "host=h;password=•;user=u"),
        ("password=%x, pwd=.x, passwd=a(b)c", "password=•, pwd=•, passwd=•"),
        ("PGPASSWORD=a'b\"c psql", "PGPASSWORD=• psql"),
        ('got {"token": "abc", "rows": 5}', 'got {"token": "•", "rows": 5}'),
        (r"{\"token\": \"abc\", \"a\": 1}", r"{\"token\": \"•\", \"a\": 1}"),
        ("connect(password='it\\'s', user='u')", "connect(password='•', user='u')"),
        ("token='never closed\nnext", "token='•\nnext"),
        ("credentials={'a': {'b': 'x'}, 'c': 1}, n=1", "credentials={•}, n=1"),
        ("Key (token)=(abc) already exists", "Key (token)=(•) already exists"),
        ("Incorrect API key provided: sk-abc.", "Incorrect API key provided: •."),
        ("wrong password: swordfish", "wrong password: •"),
        ("invalid token: a1b2c3d4", "invalid token: •"),
        ("BadSignature: 9f8e7d6c5b", "BadSignature: •"),
        ("postgres://u:p/w@h/db", "postgres://u:•@h/db"),
        ("postgres://u:pa@ss@h/db", "postgres://u:•@h/db"),
        ("postgres://me@corp:pw@h and amqp://a:b@c", "postgres://me@corp:•@h and amqp://a:•@c"),
        ("amqp://a:b@c,amqp://d:e@f", "amqp://a:•@c,amqp://d:•@f"),
        ("redis://:12/3@cache", "redis://:•@cache"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----•-----END RSA PRIVATE KEY-----",
        ),
    ],
)
def test_secrets_in_text_are_masked(text: str, shown: str) -> None:
    expected = shown.replace("•", MASK)

    assert masked(text) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "token expired",
        "invalid password",
        "KeyError: 'password'",
        "unexpected token: }",
        "SyntaxError: Unexpected token: else",
        "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
        "InvalidTokenError: Signature has expired",
        "BadSignature: no match",
        "TokenError: ('EOF in multi-line statement', (2, 0))",
        "token: expired",
        "invalid token: signature mismatch",
        "password: must be at least 8 characters",
        "{'password': ['This field is required.']}",
        "{'password': [ErrorDetail(string='Not blank.', code='blank')]}",
        "UPDATE users SET password=%(password)s, token=? WHERE id=1",
        "password=None, secret='', token=null",
        "api_key: <redacted>, password=***, token=$1, secret=${SECRET}",
        "tokens: 1200, max_tokens=5000",
        "    token = self.refresh(5)",
        "def load(token: str, n: int)",
        "bearer token is missing; Bearer authentication required",
        'WWW-Authenticate: Bearer realm="shop"',
        "basic usage of tokens",
        "missing authorization: see the manual",
        "the following arguments are required: --token, --password",
        "Enter password:\nnext line",
        "token::parse failed at secrets.py:17",
        "http://h:8080/a@b and https://registry:4873/@scope/x",
        "ssh://git@host:22/repo@v1",
        "key: 5, author=Ada, keyboard=de",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert masked(text) == text


PARTS = [
    "password=", "token: ", "invalid token: ", "Authorization: ", "Bearer ", "Cookie: ", "a=",
    "://", "a:b", "@", "/", "?key=", "&", '"', "'", "\\", "[", "{", "(", ")", "\n", " ", "5", "-",
    ",", ";", "x", "-----BEGIN PRIVATE KEY-----", "api key", "•", "basic ", "://a:", "token=[",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=30).map("".join))
def test_any_text_can_be_masked(text: str) -> None:
    assert isinstance(masked(text), str)


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=20, max_size=30))
def test_no_secret_of_letters_and_digits_is_shown(secret: str) -> None:
    for text in (
        "password={}",
        "token: '{}'",
        "Authorization: Bearer {}",
        "x://u:{}@h/",
        "?sig={}",
    ):
        assert secret not in masked(text.format(secret))


def seconds(text: str) -> float:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        masked(text)
        took.append(time.perf_counter() - began)
    return min(took)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("".join))
def test_time_is_linear(part: str) -> None:
    few, many = (part * (size // len(part)) for size in (12_500, 50_000))
    # Four times the text. Quadratic time would be 16 times as long.
    assert seconds(many) < 9 * seconds(few) + 0.01
