"""JSON responses and list pages of the management API."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response

from taskbadger.blueprints.api import json_response
from taskbadger.blueprints.tasks import page_response, read_paging
from taskbadger.services.pagination import Cursor, Page

R = TypeVar("R")


def answer(shown: Any, status: int = 200) -> Response:
    """Return the result of a ``show_…`` function as a JSON response."""
    return json_response(json.dumps(shown), status)


def answer_page(
    list_page: Callable[[Cursor | None, int], Page[R]], show: Callable[[R], dict[str, Any]]
) -> Response:
    """Return the requested page of a list whose cursor has a key of one part."""
    cursor, size = read_paging(parts=1)
    return page_of(list_page(cursor, size), size, show)


def page_of(page: Page[R], size: int, show: Callable[[R], dict[str, Any]]) -> Response:
    """Return *page* with each row as *show* returns it."""
    return page_response(page, [json.dumps(show(row)) for row in page.rows], size)
