"""The whole server below a prefix: a proxy cuts it off, and no page leads out of it."""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from conftest import FIXTURES
from flask import Flask
from people import PASSWORD, make_member
from playwright.sync_api import Page, expect
from watching import Watch

from taskbadger import channels as kinds
from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.organizations import keys, organizations, projects
from taskbadger.services.tasks import write

PREFIX = "/badger"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}
# An address in a page: of a link, a form, an asset, or what a script is to ask.
_ADDRESS = re.compile(r'(?:href|src|action|data-(?:preview|document|uplot|charts))="([^"]*)"')


@pytest.fixture
def expected_problems() -> list[str]:
    return ["status of 401"]


@dataclass
class Proxy:
    """A reverse proxy on loopback, and the requests that came from outside of the prefix."""

    target: str
    url: str = ""
    strays: list[str] = field(default_factory=list)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Pass a request on without the prefix; one without it is a stray."""
        if not request.path.startswith(f"{PREFIX}/"):
            self.strays.append(f"{request.command} {request.path}")
            request.send_error(404)
            return
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        upstream = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=30)
        headers = {**dict(request.headers), "X-Forwarded-Prefix": PREFIX}
        path = request.path.removeprefix(PREFIX)
        upstream.request(request.command, path, body or None, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def running(proxy: Proxy) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxy.handle(self)

        do_POST = do_PATCH = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_port}{PREFIX}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def fill() -> None:
    """Make an owner and a bit of everything."""
    now, ci = utcnow(), Actor("key", "ci")
    make_member()
    organization = organizations.ensure_organization("acme", actor=FIXTURES, now=now)
    web = projects.ensure_project(organization, "web", actor=FIXTURES, now=now)
    project = ProjectRef(web.id, web.slug, organization.id, "acme")
    keys.create_key(organization, web, actor=SERVER, name="ci", now=now)
    mail = {"integration": "email", "config": {"to": "ops@example.com"}}
    global_action = {"name": "failures", "trigger": "error", "channels": [mail]}
    global_actions.create_global_action(organization.id, global_action, actor=SERVER, now=now)
    hook = {"url": "https://hooks.example.com/x"}
    channels.create_channel(
        organization.id, "webhook", "ops", "Ops", hook, actor=SERVER, context=SendContext(), now=now
    )
    Watch(project).run("12:00", "error")
    for status in ("processing", "success", "error"):
        fields = {"name": "job", "status": status, "value": 40, "tags": {"env": "prod"}}
        write.create_task(project, fields, now=now, actor=ci)
    db.session.commit()


@pytest.fixture
def proxy(
    app: Flask, make_app: Callable[..., Flask], serve: Callable[[Flask], str]
) -> Iterator[Proxy]:
    """A proxy in front of a server on an empty database."""
    db.session.rollback()
    found = Proxy(serve(make_app(PROXY_HOPS=1)))
    with running(found):
        yield found


def crawl(page: Page, proxy: Proxy) -> list[str]:
    """Follow every link of every page once; return those that lead nowhere or out."""
    waiting, seen, wrong = [f"{proxy.url}/"], set(), []
    known = [kinds.get(kind) for kind in kinds.kinds()]
    guides = {kind.guide_url for kind in known if kind is not None}
    while waiting:
        address = waiting.pop()
        parts = urlsplit(address)
        # Pages that differ in what is searched for are one.
        kind = (re.sub(r"[\w-]{20,}", "*", parts.path), frozenset(parse_qs(parts.query)))
        if kind in seen:
            continue
        seen.add(kind)
        answer = page.request.get(address, max_redirects=3)
        if answer.status != 200 or not urlsplit(answer.url).path.startswith(f"{PREFIX}/"):
            wrong.append(f"{answer.status} {address}")
        elif "text/html" in answer.headers["content-type"]:
            found = {unescape(text) for text in _ADDRESS.findall(answer.text())}
            for target in {urljoin(answer.url, text).partition("#")[0] for text in found}:
                if target in guides:
                    continue
                if not target.startswith(f"{proxy.url}/"):
                    wrong.append(f"{target} on {address}")
                elif f'action="{urlsplit(target).path}' not in answer.text():
                    waiting.append(target)
    assert len(seen) > 40
    return wrong


def test_no_page_leads_out_of_the_prefix(page: Page, proxy: Proxy) -> None:
    fill()
    db.session.rollback()
    page.context.on(
        "response",
        lambda answer: proxy.strays.append(answer.url) if answer.status == 404 else None,
    )
    page.goto(f"{proxy.url}/")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{proxy.url}/a/acme/")

    with page.expect_response(lambda answer: answer.request.headers.get("x-live") == "1"):
        assert crawl(page, proxy) == []
    page.locator("[data-theme-toggle]").click()
    assert {cookie["path"].rstrip("/") for cookie in page.context.cookies()} == {PREFIX}
    page.goto(f"{proxy.url}/a/acme/monitors/new/")
    page.get_by_label("Schedule", exact=True).fill("@daily")
    expect(page.locator("#preview")).to_contain_text("At 00:00 every day")
    page.goto(f"{proxy.url}/a/acme/alerts/new/")
    with page.expect_response(f"{proxy.url}/a/acme/alerts/dry-run?*"):
        page.get_by_label("stale", exact=True).click()
    page.goto(f"{proxy.url}/api/docs/")
    operation = page.locator("#operations-Task_Endpoints-task_list")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_placeholder("organization_slug").fill("acme")
    operation.get_by_placeholder("project_slug").fill("web")
    # Without a key: what counts is where the call goes.
    with page.expect_response(f"{proxy.url}/api/acme/web/tasks/"):
        operation.get_by_role("button", name="Execute").click()
    assert proxy.strays == []
