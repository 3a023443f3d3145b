"""What protects every answer: headers, and pages that the policy lets work; by the route table."""

from html.parser import HTMLParser

from blueprints.dashboard.filled import addresses, fill
from blueprints.dashboard.routes import method_of, page_rules, path_of
from flask import Flask
from people import WebClient, browser_for
from werkzeug.test import TestResponse

PAGE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
FOR_ANYONE = {**PAGE, "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
FILE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
BADGE = {
    "Cache-Control": "public, max-age=10",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
# A mail has its styles inside, and the page of its preview has it in a frame.
WITH_MAIL = {
    **PAGE,
    "Content-Security-Policy": f"{PAGE['Content-Security-Policy']}; frame-src 'self'",
}
MAIL = {
    **PAGE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox",
    "X-Frame-Options": "SAMEORIGIN",
}
OTHERS = {
    "public.task": FOR_ANYONE,
    "public.badge": BADGE,
    "public.name": FOR_ANYONE,
    "public.name_badge": BADGE,
    "public.monitor": FOR_ANYONE,
    "public.monitor_badge": BADGE,
    "incident_links.open_incident_link": FOR_ANYONE,
    "incident_links.use_incident_link": FOR_ANYONE,
    "digest_links.digest_link": FOR_ANYONE,
    "digest_links.unsubscribe": FOR_ANYONE,
    "dashboard.digest_mail": MAIL,
    "dashboard.digest_preview": WITH_MAIL,
    "dashboard.task_data": FILE,
    "dashboard.export_tasks": FILE,
}
"""What the routes answer with that do not answer with a page of their organization."""
OF_NO_CONCERN = {
    "Connection",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "Date",
    "ETag",
    "Location",
    "Set-Cookie",
    "Vary",
    "X-Request-ID",
}


def protection(answer: TestResponse) -> dict[str, str]:
    """Return the headers of an answer that say what others may do with it."""
    answer.get_data()  # To its end: it may be a stream.
    return {name: text for name, text in answer.headers if name not in OF_NO_CONCERN}


class _Inline(HTMLParser):
    """Collects what the policy would not let work."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        if tag == "style" or (tag == "script" and not own.keys() & {"src"}):
            # What is not JavaScript is data to a browser.
            self.found += [tag] if own.get("type") != "application/json" else []
        self.found += [name for name in own if name == "style" or name.startswith("on")]
        self.found += [text for text in own.values() if (text or "").startswith("javascript:")]


def inline(page: str) -> list[str]:
    """Return the scripts and styles that stand in a page rather than in a file."""
    reader = _Inline()
    reader.feed(page)
    return reader.found


def test_every_page_is_protected_and_has_no_script_or_style_of_its_own(
    app: Flask, web: WebClient
) -> None:
    fill("plain", stop=2)
    stranger = browser_for(app)

    for endpoint, some in {**addresses("plain"), "none": ["/missing"]}.items():
        for path in some:
            answer = web.get(path)
            is_problem = endpoint.startswith("dashboard.") and answer.status_code != 200
            expected = PAGE if is_problem else OTHERS.get(endpoint, PAGE)
            assert protection(answer) == expected, path
            if endpoint == "dashboard.digest_mail":
                assert set(inline(answer.text)) == {"style"}, path
            else:
                assert answer.mimetype != "text/html" or inline(answer.text) == [], path
            turned_away = stranger.get(path)
            expected = PAGE if endpoint.startswith("dashboard.") else OTHERS.get(endpoint, PAGE)
            assert protection(turned_away) == expected, path
            assert turned_away.mimetype != "text/html" or inline(turned_away.text) == [], path


def test_every_refused_form_is_answered_with_a_protected_page(web: WebClient) -> None:
    for rule, _ in page_rules(web.client.application):
        if method_of(rule) != "GET":
            answer = web.open(method_of(rule), path_of(rule))
            expected = OTHERS.get(rule.endpoint, PAGE)
            assert (answer.status_code, protection(answer)) == (400, expected), rule
