"""Which texts are links."""

import pytest

from taskbadger.domain.web_links import MAX_LINK, web_link


@pytest.mark.parametrize(
    "text",
    [
        "https://sentry.example.com/issues/7?a=b#c",
        "http://127.0.0.1:8000/",
        "HTTPS://EXAMPLE.COM",
        "https://müller.example/straße",
    ],
)
def test_addresses_of_the_web_are_links(text: str) -> None:
    assert web_link(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        " https://example.com/",
        "https://example.com/ and more",
        "https://exa\u202emple.com/",
        "https://",
        "https:///path",
        "https://[half/",
        "ftp://example.com/",
        "data:text/html,x",
        "//example.com/",
        "postgres://u:••••••@db/x",
        "https://u:••••••@example.com/",
        "https://example.com/" + "x" * MAX_LINK,
    ],
)
def test_anything_else_is_text(text: str) -> None:
    assert web_link(text) is None
