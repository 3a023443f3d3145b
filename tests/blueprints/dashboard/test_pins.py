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
    "dashboard.account_deletion": [9],
    "dashboard.digest_preview": [15],
    "dashboard.digest_mail": [12],
    "digest_links.digest_link": [1, 0],
    "dashboard.invitation": [3, 1],
    "dashboard.overview": [22, 22],
    "dashboard.task_list": [10, 10, 6],
    "dashboard.task": [20],
    "dashboard.task_data": [5],
    "dashboard.how_to": [5, 5],
    "dashboard.export_tasks": [3, 4, 4],
    "dashboard.failure_list": [6, 6, 6],
    "dashboard.failure": [11],
    "dashboard.names": [7, 7],
    "dashboard.name": [17],
    "dashboard.queue_list": [10, 10],
    "dashboard.monitor_list": [9, 9],
    "dashboard.monitor": [20],
    "dashboard.new_monitor": [5],
    "dashboard.edit_monitor": [6],
    "dashboard.preview_monitor": [3, 3, 3],
    "dashboard.alert_list": [7],
    "dashboard.new_alert": [10],
    "dashboard.edit_alert": [13],
    "dashboard.dry_run_alert": [8, 3, 4],
    "dashboard.window_list": [7, 6],
    "dashboard.new_window": [6, 6],
    "dashboard.edit_window": [7],
    "dashboard.channel_list": [6],
    "dashboard.new_channel": [4],
    "dashboard.edit_channel": [5],
    "dashboard.delivery_list_page": [8, 9, 9],
    "dashboard.delivery": [9, 8],
    "dashboard.incident_list": [7, 6, 7],
    "dashboard.incident": [11, 10],
    "incident_links.open_incident_link": [3, 0],
    "dashboard.settings": [5],
    "dashboard.project_settings": [6],
    "dashboard.project_deletion": [14],
    "dashboard.keys_page": [5],
    "dashboard.members_page": [5],
    "dashboard.mail_server": [3],
    "dashboard.organization": [3],
    "dashboard.organization_deletion": [18],
    "dashboard.audit_log": [5],
    "public.task": [3, 0],
    "public.badge": [1, 0],
    "public.name": [3, 1],
    "public.name_badge": [2, 1],
    "public.monitor": [3, 0],
    "public.monitor_badge": [2, 0],
}
"""The statements of each address in `filled.addresses`, by endpoint."""
POLLS = {
    "dashboard.overview": [(12, 1), (12, 1)],
    "dashboard.task_list": [(5, 1), (5, 1), (5, 1)],
    "dashboard.task": [(6, 3)],
    "dashboard.how_to": [(4, 1), (4, 1)],
    "dashboard.failure_list": [(5, 1), (5, 1), (5, 1)],
    "dashboard.failure": [(4, 1)],
    "dashboard.names": [(3, 1), (3, 1)],
    "dashboard.name": [(9, 1)],
    "dashboard.queue_list": [(5, 1), (5, 1)],
    "dashboard.monitor_list": [(6, 2), (6, 2)],
    "dashboard.monitor": [(11, 5)],
    "dashboard.alert_list": [(4, 2)],
    "dashboard.window_list": [(5, 1), (4, 1)],
    "dashboard.channel_list": [(4, 2)],
    "dashboard.delivery_list_page": [(4, 2), (4, 2), (4, 2)],
    "dashboard.delivery": [(4, 1), (4, 1)],
    "dashboard.incident_list": [(5, 1), (4, 1), (5, 1)],
    "dashboard.incident": [(4, 1), (4, 1)],
    "public.task": [(1, 1)],
    "public.name": [(1, 1)],
    "public.monitor": [(1, 1)],
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
