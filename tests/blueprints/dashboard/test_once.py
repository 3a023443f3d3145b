"""Answers that hold a secret: shown once, and never made twice by a reload."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from conftest import FIXTURES
from flask import Flask
from people import WebClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import ApiKey, AuditEntry, ChannelConfig, Invitation
from taskbadger.services.organizations import organizations, projects

HOME = "/a/acme/"
CHANNEL = {"name": "Ops", "slug": "ops", "config.url": "https://ops.example.com/", "once": ""}
KEY = {"name": "web", "project": "web", "scope_ingest": "true", "days": "0"}
INVITATION = {"email": "grace@example.org", "role": "member", "days": "7"}
FORMS = [
    (f"{HOME}how-to/", f"{HOME}how-to/", {"project": "web"}, f"{HOME}how-to/", ApiKey),
    (f"{HOME}settings/keys/", f"{HOME}settings/keys/", KEY, f"{HOME}settings/keys/", ApiKey),
    (
        f"{HOME}settings/members/",
        f"{HOME}settings/invitations/",
        INVITATION,
        f"{HOME}settings/members/",
        Invitation,
    ),
    (
        f"{HOME}alerts/channels/new/webhook/",
        f"{HOME}alerts/channels/new/webhook/",
        CHANNEL,
        f"{HOME}alerts/channels/",
        ChannelConfig,
    ),
]
NAMES = ["first key", "key", "invitation", "channel"]


@pytest.fixture(autouse=True)
def project(app: Flask, web: WebClient) -> ProjectRef:
    organization = organizations.ensure_organization("acme", actor=FIXTURES, now=utcnow())
    made = projects.ensure_project(organization, "web", actor=FIXTURES, now=utcnow())
    db.session.commit()
    return projects.project_ref(made, organization)


def token_on(web: WebClient, page: str) -> str:
    found = re.search(r'name="once" value="([^"]+)"', web.get(page).text)
    assert found is not None
    return html.unescape(found[1])


def secret_in(answer: TestResponse) -> str:
    """Return what stands in the box beside “Copy the … now”."""
    found = re.search(r"Copy the .*?<code>([^<]+)</code>", answer.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def count(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.parametrize(("page", "to", "form", "back", "model"), FORMS, ids=NAMES)
def test_reloaded_answer_makes_nothing_and_shows_no_secret(
    web: WebClient, page: str, to: str, form: dict[str, str], back: str, model: Any
) -> None:
    sent = {**form, "once": token_on(web, page)}

    first = web.post(to, sent)
    secret, rows = secret_in(first), db.session.scalars(select(model.id)).all()
    entries = count(AuditEntry)
    again = web.post(to, sent)
    shown = web.get(again.location)

    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-store")
    assert (again.status_code, again.location) == (303, back)
    assert "already created" in shown.text or "already saved" in shown.text
    assert secret not in shown.text
    db.session.rollback()
    assert db.session.scalars(select(model.id)).all() == rows
    assert count(AuditEntry) == entries


@pytest.mark.parametrize(("page", "to", "form", "back", "model"), FORMS, ids=NAMES)
def test_secret_that_is_shown_once_is_in_no_cookie(
    web: WebClient, page: str, to: str, form: dict[str, str], back: str, model: Any
) -> None:
    answer = web.post(to, {**form, "once": token_on(web, page)})

    with web.client.session_transaction() as state:
        assert secret_in(answer) not in str(dict(state))
    assert secret_in(answer) not in str(answer.headers)


def test_form_that_was_refused_can_be_sent_again(web: WebClient) -> None:
    page = f"{HOME}settings/keys/"
    sent = {**KEY, "once": token_on(web, page)}

    refused = web.post(page, {**sent, "name": ""})
    made = web.post(page, sent)

    assert (refused.status_code, made.status_code, count(ApiKey)) == (400, 200, 1)


def test_each_form_makes_one(web: WebClient) -> None:
    page = f"{HOME}settings/keys/"

    answers = [web.post(page, {**KEY, "once": token_on(web, page)}) for _ in range(2)]

    assert [one.status_code for one in answers] == [200, 200]
    assert count(ApiKey) == 2


@pytest.mark.parametrize("days", [31, 400])
def test_form_of_last_month_makes_nothing(web: WebClient, days: int) -> None:
    page = f"{HOME}settings/keys/"
    with time_machine.travel(utcnow() - timedelta(days=days), tick=False):
        old = token_on(web, page)

    answers = [web.post(page, {**KEY, "once": token}) for token in (old, "made up")]

    assert [one.status_code for one in answers] == [303, 303]
    assert count(ApiKey) == 0
