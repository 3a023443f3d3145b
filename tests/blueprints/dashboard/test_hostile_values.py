"""Values that nobody would type, in every part of every address and form: never a 5xx."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from blueprints.dashboard.filled import addresses, fill, first
from blueprints.dashboard.form_filling import PageForm, read_forms
from blueprints.dashboard.routes import DOORS, is_door_api
from conftest import make_key
from flask import Flask
from people import WebClient, browser_for, make_member
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from taskbadger.extensions import db
from taskbadger.models import (
    Action,
    ApiKey,
    Delivery,
    FailureKind,
    GlobalAction,
    Incident,
    MaintenanceWindow,
    Membership,
    Monitor,
    Task,
)

VALUES = (
    "%00",
    "a%00b",
    "%ED%A0%80",  # a lone surrogate
    "%FF%C0",
    "\xff\xc0",  # the same, not escaped
    "x" * 5000,
    "9" * 30,
    "9" * 5000,
    "-1",
    "",
)
PLACEHOLDERS = {"organization_slug": "acme", "project_slug": "web", "slug": "web"}


class Ask(NamedTuple):
    """A request that came to a bad end."""

    method: str
    path: str
    name: str
    value: str
    end: str


class Recorder(ImmutableMultiDict[str, str]):
    """The query or the form of a request, which notes the names that it is asked for."""

    asked: set[str] = set()  # noqa: RUF012 - one for all requests

    def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.asked.add(key)
        return super().get(key, *args, **options)

    def getlist(self, key: str, *args: Any, **options: Any) -> Any:
        self.asked.add(key)
        return super().getlist(key, *args, **options)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def to_dict(self, flat: bool = True) -> Any:
        return _Recorder(super().to_dict(flat))


class _Recorder(dict[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:
        Recorder.asked.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        Recorder.asked.add(str(key))
        return super().__contains__(key)


@pytest.fixture(autouse=True)
def record(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests note what they are asked for."""
    monkeypatch.setattr(app.request_class, "parameter_storage_class", Recorder)


def end_of(send: Callable[[], TestResponse]) -> str:
    """Return what is wrong with the answer to a request; nothing if it is in order."""
    try:
        answer = send()
        text = answer.text
    except Exception as error:  # What would be a 500.
        db.session.rollback()
        return f"{type(error).__name__}: {str(error)[:200]}"
    if answer.status_code >= 500:
        return str(answer.status_code)
    if answer.status_code < 400:
        return ""
    if answer.request.path.startswith("/api/"):
        return "" if is_standard(answer) else text
    is_page = "<main" in text and answer.mimetype == "text/html"
    return "" if is_page or answer.mimetype == "image/svg+xml" else text[:200]


def is_standard(answer: TestResponse) -> bool:
    """Say whether the answer has the one shape of errors of the API."""
    body = json.loads(answer.data)
    kind = "validation_error" if body["errors"][0]["attr"] else "client_error"
    return (
        answer.mimetype == "application/json"
        and set(body) == {"type", "errors"}
        and body["type"] == kind
        and all(set(error) == {"code", "detail", "attr"} for error in body["errors"])
    )


def each_name(known: Sequence[str], attempt: Callable[[str], list[Ask]]) -> list[Ask]:
    """Try each name that is *known*, and those that the attempts are asked for."""
    Recorder.asked.clear()
    found: list[Ask] = []
    tried: set[str] = {"csrf_token"}
    pending = {*known, "unknown"}
    while pending:
        name = pending.pop()
        tried.add(name)
        found += attempt(name)
        pending |= Recorder.asked - tried
    return found


def ask_each(
    client: Any, path: str, headers: dict[str, str] | None = None, values: Sequence[str] = VALUES
) -> list[Ask]:
    """Put each value into each parameter that a page takes."""
    parts = urlsplit(path)
    standing = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)

    def attempt(name: str) -> list[Ask]:
        return [
            Ask("GET", parts.path, name, value[:20], end)
            for value in values
            if (end := end_of(lambda value=value: ask(name, value)))  # type: ignore[misc]
        ]

    def ask(name: str, value: str) -> TestResponse:
        query = "&".join(f"{key}={text}" for key, text in {**standing, name: value}.items())
        overrides = {"QUERY_STRING": query}
        answer: TestResponse = client.get(
            parts.path, environ_overrides=overrides, headers=headers or {}
        )
        return answer

    return each_name(list(standing), attempt)


def test_no_parameter_of_a_page_breaks_it(app: Flask, web: WebClient) -> None:
    fill("plain", stop=1)
    paths = [path for some in addresses("plain").values() for path in some]

    assert [ask for path in paths for ask in ask_each(web, path)] == []
    assert len(paths) > 50


def test_no_parameter_of_a_page_breaks_it_while_it_is_open(app: Flask, web: WebClient) -> None:
    fill("plain", stop=1)
    some = [VALUES[0], VALUES[3], VALUES[5]]
    paths = [path for some in addresses("plain").values() for path in some]
    live = [path for path in paths if "data-live" in web.get(path).text]

    found = [ask for path in live for ask in ask_each(web, path, {"X-Live": "1"}, some)]
    anchors = [
        end_of(lambda path=path, value=value: web.get(path, headers=anchored(value)))  # type: ignore[misc]
        for path in live
        for value in ("a", "\xff", "9" * 30, "x" * 5000)
    ]

    assert (found, set(anchors)) == ([], {""})


def anchored(value: str) -> dict[str, str]:
    return {"X-Live": "1", "X-Live-Anchor": value}


def api_paths(app: Flask) -> Iterator[tuple[str, set[str], list[str]]]:
    """Go through the routes of the API: an address, its methods, and it with hostile parts."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/<") or rule.endpoint.endswith("_bare"):
            continue
        if is_door_api(rule):
            continue
        values = {name: _value(rule, name) for name in rule.arguments}
        path = _build(rule, values)
        hostile = [
            _build(rule, {**values, name: value})
            for name in rule.arguments
            for value in VALUES
            if value and value.isascii()
        ]
        yield path, (rule.methods or set()) - {"HEAD", "OPTIONS"}, hostile


def _build(rule: Rule, values: dict[str, str]) -> str:
    path = rule.rule
    for name, value in values.items():
        path = path.replace(f"<{name}>", value).replace(f"<int:{name}>", value)
    return path


def _value(rule: Rule, name: str) -> str:
    if name in PLACEHOLDERS:
        return PLACEHOLDERS[name]
    models = {
        "tasks": Task,
        "actions": Task if name == "task_id" else Action,
        "alerts": Task,
        "monitors": Monitor,
        "failures": FailureKind,
        "keys": ApiKey,
        "members": Membership,
        "deliveries": Delivery,
        "global_actions": GlobalAction,
        "incidents": Incident,
        "windows": MaintenanceWindow,
    }
    if name == "integration":
        return "webhook:ops-0"
    return str(first(models[rule.endpoint.partition(".")[0]]).id)


def test_no_part_of_an_address_of_the_api_breaks_it(app: Flask) -> None:
    make_member()
    fill("plain", stop=1)
    headers = {"Authorization": f"Bearer {make_key(slug=None, scopes='admin')}"}
    known = list(api_paths(app))
    db.session.rollback()
    client = WebClient(app.test_client())

    found = []
    for path, methods, hostile in known:
        if "GET" in methods:
            found += ask_each(client, path, headers)
        for method in sorted(methods):
            for wrong in hostile:
                options = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
                send = lambda m=method, p=wrong, o=options: client.open(m, p, headers=headers, **o)  # noqa: E731
                if end := end_of(send):
                    found.append(Ask(method, wrong[:80], "", "", end))

    assert found == []
    assert len(known) > 20


def test_no_part_of_an_address_of_a_page_breaks_it(app: Flask, web: WebClient) -> None:
    fill("plain", stop=1)
    db.session.rollback()
    found = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/") or rule.endpoint in DOORS or not rule.arguments:
            continue
        values = {name: PLACEHOLDERS.get(name, "1") for name in rule.arguments}
        for name in rule.arguments:
            for value in (one for one in VALUES if one and one.isascii()):
                path = _build(rule, {**values, name: value}).replace("<path:filename>", value)
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    send = web.get if method == "GET" else web.post
                    if end := end_of(lambda send=send, path=path: send(path)):  # type: ignore[misc]
                        found.append(Ask(method, path[:80], name, "", end))

    assert found == []


def forms_of(web: WebClient, paths: list[str]) -> dict[str, PageForm]:
    """Return the forms of those pages, by where they are sent."""
    routes = web.client.application.url_map.bind("localhost")
    found: dict[str, PageForm] = {}
    for path in paths:
        for form in read_forms(path, web.get(path).text):
            target = urlsplit(form.action).path
            if routes.test(target, method="POST"):
                found.setdefault(routes.match(target, method="POST")[0], form)
    return found


def send_each(web: WebClient, form: PageForm) -> list[Ask]:
    """Type each value into each field of a form, and into all at once."""
    standing = {name: quote(text) for name, text in form.standing.items() if name != "csrf_token"}

    def post(values: dict[str, str]) -> TestResponse:
        values = {**values, "csrf_token": web.token()}
        body = "&".join(f"{name}={text}" for name, text in values.items())
        return web.open(
            "POST",
            form.action,
            data=body.encode("latin-1"),
            content_type="application/x-www-form-urlencoded",
        )

    def attempt(name: str) -> list[Ask]:
        typed = [({**standing, name: value}, value) for value in VALUES[:1]]
        if name == "unknown":
            typed = [(dict.fromkeys({*standing, name}, value), value) for value in VALUES]
        return [
            Ask("POST", form.action, name, value[:20], end)
            for values, value in typed
            if (end := end_of(lambda values=values: post(values)))  # type: ignore[misc]
        ]

    return each_name(list(standing), attempt) if standing else []


def test_no_field_of_a_form_breaks_it(app: Flask, web: WebClient) -> None:
    fill("plain", stop=2)
    pages = addresses("plain")
    stranger = browser_for(app)
    doors = [*pages["dashboard.sign_in"], *pages["dashboard.invitation"]]
    paths = [path for some in pages.values() for path in some]
    forms = [(web, form) for form in forms_of(web, paths).values()]
    forms += [(stranger, form) for form in forms_of(stranger, doors).values()]

    assert [ask for browser, form in forms for ask in send_each(browser, form)] == []
    assert len(forms) > 30


def test_no_field_of_the_first_form_breaks_it(app: Flask) -> None:
    stranger = browser_for(app)
    [form] = read_forms("/set-up", stranger.get("/set-up").text)

    assert send_each(stranger, form) == []


def test_null_characters_are_refused_in_words(app: Flask, web: WebClient) -> None:
    fill("plain", stop=1)
    db.session.rollback()
    answers = [
        web.get("/a/acme/names/?q=%00"),
        web.get("/a/acme/tasks/?q=a%00b"),
        web.get("/a/acme/settings/audit/?%00=a"),
        web.post("/a/acme/how-to/demo-task", {"project": "\x00"}),
        browser_for(app).post("/sign-in", {"email": "a\x00@b", "password": "x"}),
    ]

    assert [one.status_code for one in answers] == [400] * 5
    assert all("Null characters are not allowed." in one.text for one in answers)
    assert web.get("/a/%00/").status_code == web.get("/a/acme/tasks/%00/").status_code == 404
