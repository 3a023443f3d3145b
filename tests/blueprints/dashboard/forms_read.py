"""What a page shows, for tests of forms."""

import html
import re

from conftest import audit_entries
from people import WebClient
from werkzeug.test import TestResponse

from taskbadger.extensions import db

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>/../?&"
ESCAPED = (
    "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;"
    "&lt;img src=x onerror=alert(2)&gt;/../?&amp;"
)


def live(
    web: WebClient, path: str, etag: str | None = None, anchor: str | None = None
) -> TestResponse:
    """Ask as an open page does that has the version *etag*, and *anchor* as its first row."""
    headers = {"X-Live": "1", "If-None-Match": etag, "X-Live-Anchor": anchor}
    return web.get(
        path, headers={name: value for name, value in headers.items() if value is not None}
    )


def trail() -> list[tuple[str, str, str, str]]:
    """Return who did what, oldest first."""
    db.session.rollback()
    entries = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in entries]


def field_errors(page: str) -> dict[str, str]:
    """Return the first error that stands with each field."""
    found = re.findall(r'id="([\w. :-]+)-help"><strong class="field-error">([^<]*)<', page)
    return {field: html.unescape(text) for field, text in found}


def words(page: str) -> str:
    """Return the text of a page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page)))


def value_of(page: str, field: str) -> str | None:
    """Return what stands in an input."""
    tag = re.search(rf'<input[^>]*name="{re.escape(field)}"[^>]*>', page)
    found = re.search(r' value="([^"]*)"', tag[0]) if tag else None
    return html.unescape(found[1]) if found else None


def rows(page: str) -> list[str]:
    """Return the text of the link of each row."""
    found = re.findall(r'data-row-link\s+href="[^"]*">(.*?)</a>', page)
    return [words(text) for text in found]
