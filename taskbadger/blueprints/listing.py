"""What the endpoints that manage things share: answers as JSON, and pages of lists."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response

from taskbadger.blueprints.api import json_response
from taskbadger.blueprints.tasks import page_response, read_paging
from taskbadger.services.pagination import Cursor, Page

R = TypeVar("R")


def answer(shown: Any, status: int = 200) -> Response:
    """Return what a ``show_…`` function made."""
    return json_response(json.dumps(shown), status)


def answer_page(
    list_page: Callable[[Cursor | None, int], Page[R]], show: Callable[[R], dict[str, Any]]
) -> Response:
    """Return the page that this request asks for, with one part in its cursor's key."""
    cursor, size = read_paging(parts=1)
    return page_of(list_page(cursor, size), size, show)


def page_of(page: Page[R], size: int, show: Callable[[R], dict[str, Any]]) -> Response:
    """Return *page*, each row shown."""
    return page_response(page, [json.dumps(show(row)) for row in page.rows], size)
