"""What varies in a message becomes a placeholder."""

import pytest

from taskbadger.domain.placeholders import clean, generalize, shorten


@pytest.mark.parametrize(
    ("text", "general"),
    [
        (
            "invalid literal for int() with base 10: 'x'",
            "invalid literal for int() with base 10: ‹text›",
        ),
        ("row 5 of 1,234.5 is 7%", "row ‹number› of ‹number› is ‹number›"),
        ("order_12 and user-7", "order_‹number› and user-‹number›"),
        ("order ord_8f3kd92 failed", "order ‹id› failed"),
        ("<Shop object at 0x7f12ab>", "<Shop object at ‹hex›>"),
        ("key 8f14e45fceea167a", "key ‹hex›"),
        ("task 550e8400-e29b-41d4-a716-446655440000", "task ‹uuid›"),
        ("at 2026-11-28T10:00:00Z", "at ‹date›"),
        ("on 28.11.2026 at 10:20:30", "on ‹date› at ‹date›"),
        ("after 3.5 seconds or 200ms", "after ‹duration› or ‹duration›"),
        ("from 10.0.0.1:80 to fe80::1:2", "from ‹address› to ‹address›"),
        ("mail to a.b+c@shop.example", "mail to ‹address›"),
        ("GET https://a.example/b?c=1 failed", "GET ‹url› failed"),
        ("cannot open /srv/a/b.csv", "cannot open ‹path›"),
        ("cannot open data/b.csv or b.csv", "cannot open ‹path› or ‹path›"),
        (r"cannot open C:\a\b", "cannot open ‹path›"),
        ("read/write and/or", "read/write and/or"),
        ("can't find 'a', isn't \"b\"", "can't find ‹text›, isn't ‹text›"),
        ("Command '['ls', '-x']' failed", "Command ‹text› failed"),
        ("unclosed 'abc", "unclosed ‹text›"),
        ("got {'a': 1} and [1, 2, 3]", "got ‹data› and ‹data›"),
        ("got 1, 2, 3", "got ‹number›"),
        ("[Errno 2] No such file: 'x'", "[Errno 2] No such file: ‹text›"),
        ("status code 503, exit status 2", "status code 503, exit status 2"),
        ("404 Client Error: Not Found", "404 Client Error: Not Found"),
        ("curl: (7) port 80", "curl: (7) port ‹number›"),
        ("two\n  lines\ud800\0", "two lines"),
        ("", ""),
    ],
)
def test_what_varies_is_replaced(text: str, general: str) -> None:
    assert generalize(text) == general


def test_text_is_made_fit_for_every_database() -> None:
    assert clean("a\ud800\0b ‹ü›") == "a  b ‹ü›"


def test_long_text_is_shortened() -> None:
    assert [shorten("a" * 5, 5), shorten("abcd efg", 6)] == ["aaaaa", "abcd…"]
