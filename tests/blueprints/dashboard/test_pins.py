"""How many statements each page and each poll sends, whether there is 1 of everything or 9."""

from blueprints.dashboard.filled import addresses, fill
from blueprints.dashboard.forms_read import live
from blueprints.dashboard.routes import method_of, page_rules
from conftest import count_queries
from flask import Flask
from people import WebClient, browser_for, make_member

from taskbadger.process import process_of

PAGES = {
    "dashboard.start": [2],
    "dashboard.sign_in": [2],
    "dashboard.set_up": [1],
    "dashboard.begin_sign_on": [0],
    "dashboard.finish_sign_on": [0],
    "dashboard.account": [7],
    "dashboard.invitation": [3, 1],
    "dashboard.overview": [19, 19],
    "dashboard.task_list": [8, 8, 6],
    "dashboard.task": [14],
    "dashboard.task_data": [5],
    "dashboard.how_to": [5, 5],
    "dashboard.export_tasks": [3, 4, 4],
    "dashboard.names": [7, 7],
    "dashboard.name": [9],
    "dashboard.monitor_list": [9, 9],
    "dashboard.monitor": [14],
    "dashboard.new_monitor": [5],
    "dashboard.edit_monitor": [6],
    "dashboard.preview_monitor": [3, 3, 3],
    "dashboard.alert_list": [7],
    "dashboard.new_alert": [8],
    "dashboard.edit_alert": [11],
    "dashboard.dry_run_alert": [6, 3, 4],
    "dashboard.channel_list": [6],
    "dashboard.new_channel": [4],
    "dashboard.edit_channel": [5],
    "dashboard.delivery_list_page": [8, 9, 9],
    "dashboard.delivery": [9, 8],
    "dashboard.settings": [4],
    "dashboard.project_settings": [4],
    "dashboard.keys_page": [5],
    "dashboard.members_page": [5],
    "dashboard.organization": [3],
    "dashboard.audit_log": [4],
    "public.task": [3, 0],
    "public.badge": [1, 0],
}
"""The statements of each address in `filled.addresses`, by endpoint."""
POLLS = {
    "dashboard.overview": [(10, 1), (10, 1)],
    "dashboard.task_list": [(5, 1), (5, 1), (5, 1)],
    "dashboard.task": [(5, 3)],
    "dashboard.how_to": [(4, 1), (4, 1)],
    "dashboard.names": [(3, 1), (3, 1)],
    "dashboard.name": [(5, 1)],
    "dashboard.monitor_list": [(6, 2), (6, 2)],
    "dashboard.monitor": [(7, 5)],
    "dashboard.alert_list": [(4, 2)],
    "dashboard.channel_list": [(4, 2)],
    "dashboard.delivery_list_page": [(4, 2), (4, 2), (4, 2)],
    "dashboard.delivery": [(4, 1), (4, 1)],
    "public.task": [(1, 1)],
}
"""The statements of a poll without news: where nobody asked before, and where somebody just did."""


def count_pages(web: WebClient) -> dict[str, list[int]]:
    """Return how many statements each page sends."""
    return {
        endpoint: [count_page(web, path) for path in some]
        for endpoint, some in addresses("plain").items()
    }


def count_page(web: WebClient, path: str) -> int:
    with count_queries() as statements:
        web.get(path).get_data()  # To its end: it may be a stream.
    return len(statements)


def count_polls(web: WebClient, other: WebClient) -> dict[str, list[tuple[int, int]]]:
    """Return what a poll of each live page costs the first who asks, and then the next."""
    found: dict[str, list[tuple[int, int]]] = {}
    for endpoint, some in addresses("plain").items():
        for path in some:
            etag = live(web, path).headers.get("ETag") if is_live(web, path) else None
            if etag is not None:
                process_of(web.client.application).forget()
                found.setdefault(endpoint, []).append(
                    (count_poll(web, path, etag), count_poll(other, path, etag))
                )
    return found


def is_live(web: WebClient, path: str) -> bool:
    return "data-etag=" in web.get(path).text


def count_poll(web: WebClient, path: str, etag: str) -> int:
    with count_queries() as statements:
        answer = live(web, path, etag)
    assert answer.status_code == 304, path
    return len(statements)


def test_pages_and_polls_send_as_many_statements_for_9_of_everything_as_for_1(
    app: Flask, web: WebClient
) -> None:
    other = browser_for(app, make_member("bo@example.org"))
    readers = {rule.endpoint for rule, _ in page_rules(app) if method_of(rule) == "GET"}

    fill("plain")
    few = count_pages(web), count_polls(web, other)
    fill("plain", start=1, stop=9)
    many = count_pages(web), count_polls(web, other)

    assert set(PAGES) == readers
    assert few == (PAGES, POLLS)
    assert many == (PAGES, POLLS)
