"""Who gets in: the three spellings of a token, and how soon a key stops working."""

import base64
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from answers import AUTHENTICATION_FAILED, NOT_AUTHENTICATED, NOT_FOUND, assert_problem
from conftest import FIXTURES, ApiClient, count_queries, make_key, make_project, settings
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from taskbadger import caches
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Access, Actor
from taskbadger.extensions import db
from taskbadger.models import ApiKey
from taskbadger.process import KEY_SECONDS, ProcessState, process_of
from taskbadger.services.organizations import keys

ACCESS = Access(
    key_id=1,
    actor=Actor("key", "ci"),
    organization_id=1,
    organization="acme",
    project=None,
    scopes=frozenset({"read"}),
    digest="digest",
    last_used=None,
)


def secret_of(key: str) -> str:
    return base64.b64decode(key).decode().split("/")[2]


def assert_refused(answer: TestResponse, code: str, detail: str) -> None:
    assert_problem(answer, 401, code, detail)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_project_key_opens_its_project_as_it_was_shown(api: ApiClient) -> None:
    assert api.get().status_code == 200


def test_secret_of_a_project_key_opens_its_project(api: ApiClient) -> None:
    assert api.key is not None
    api.key = secret_of(api.key)

    assert api.get().status_code == 200


def test_organization_key_opens_every_project_of_its_organization(api: ApiClient) -> None:
    api.key = make_key(slug=None)
    make_project(slug="other")
    make_project("rival", "web")

    opened = [api.get(f"/api/{path}/tasks/").status_code for path in ("acme/web", "acme/other")]

    assert opened == [200, 200]
    assert_problem(api.get("/api/rival/web/tasks/"), 404, *NOT_FOUND)
    assert_problem(api.get("/api/acme/none/tasks/"), 404, *NOT_FOUND)


def test_project_key_opens_no_other_project_existing_or_not(api: ApiClient) -> None:
    make_project(slug="other")

    for path in ("acme/other", "acme/none", "none/web"):
        assert_problem(api.get(f"/api/{path}/tasks/"), 404, *NOT_FOUND)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_scheme_is_read_without_its_case(api: ApiClient, scheme: str) -> None:
    assert api.get(headers={"Authorization": f"{scheme} {api.key}"}).status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Basic YTpi", "Token abc", "Digest abc", "BearerX abc", "abc", " "]
)
def test_other_scheme_is_no_credentials(api: ApiClient, header: str) -> None:
    answer = api.get(headers={"Authorization": header})

    assert_refused(answer, *NOT_AUTHENTICATED)


@pytest.mark.parametrize(
    "token",
    ["", " ", "x", "a b", "é", "=", "x" * 2000, "....", "a/b/c", "%00", "a=b", 'realm="api"'],
)
def test_malformed_or_unknown_token_is_refused(api: ApiClient, token: str) -> None:
    answer = api.get(headers={"Authorization": f"Bearer {token}"})

    assert_refused(answer, *AUTHENTICATION_FAILED)


@pytest.mark.parametrize("slugs", ["acme/other", "rival/web", "acme/WEB", "none/none"])
def test_slugs_that_are_not_the_secrets_are_refused(api: ApiClient, slugs: str) -> None:
    make_project(slug="other")
    make_project("rival", "web")
    assert api.key is not None
    forged = base64.b64encode(f"{slugs}/{secret_of(api.key)}".encode()).decode()

    for path in ("acme/web", slugs):
        answer = api.get(f"/api/{path}/tasks/", headers={"Authorization": f"Bearer {forged}"})
        assert_refused(answer, *AUTHENTICATION_FAILED)


def test_organization_key_written_as_a_project_key_is_refused(api: ApiClient) -> None:
    secret = make_key(slug=None)
    api.key = base64.b64encode(f"acme/web/{secret}".encode()).decode()

    assert_refused(api.get(), *AUTHENTICATION_FAILED)


def test_digest_that_is_kept_is_no_key(api: ApiClient) -> None:
    api.key = db.session.scalars(select(ApiKey.digest)).one()

    assert_refused(api.get(), *AUTHENTICATION_FAILED)


def test_expired_key_is_refused(api: ApiClient) -> None:
    api.key = make_key(expires=utcnow() - timedelta(seconds=1))
    assert_refused(api.get(), *AUTHENTICATION_FAILED)

    api.key = make_key(expires=utcnow() + timedelta(hours=1))
    assert api.get().status_code == 200


@pytest.mark.parametrize("where", ["api_key", "key", "token", "access_token", "Authorization"])
def test_key_in_the_query_string_is_none(api: ApiClient, where: str) -> None:
    key, api.key = api.key, None

    answer = api.get(query_string={where: key})

    assert_refused(answer, *NOT_AUTHENTICATED)


def revoke_all() -> None:
    for key in db.session.scalars(select(ApiKey)):
        keys.revoke_key(key, actor=FIXTURES, now=utcnow())
    db.session.commit()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of all caches, in seconds; it stands still unless a test moves it."""
    now = [time.monotonic()]
    monkeypatch.setattr(caches, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_revoked_key_stops_working_when_a_worker_forgets_it(
    app: Flask, api: ApiClient, clock: list[float]
) -> None:
    assert api.get().status_code == 200
    revoke_all()

    clock[0] += KEY_SECONDS - 0.001
    assert api.get().status_code == 200
    clock[0] += 0.001
    assert_refused(api.get(), *AUTHENTICATION_FAILED)


def test_worker_trusts_what_it_knows_of_a_key_for_less_than_five_seconds(
    clock: list[float],
) -> None:
    state = ProcessState(settings())
    state.keys.put("digest", ACCESS)

    clock[0] += KEY_SECONDS - 0.001
    assert state.keys.get("digest") is ACCESS
    clock[0] += 0.001
    assert state.keys.get("digest") is None
    assert KEY_SECONDS < 5


def test_use_does_not_prolong_what_a_worker_knows(
    app: Flask, api: ApiClient, clock: list[float]
) -> None:
    api.get()
    revoke_all()

    clock[0] += KEY_SECONDS - 0.001
    with time_machine.travel(utcnow() + timedelta(minutes=2), tick=False):
        api.post(json={"name": "job"})  # Notes the use of the key.
    used = last_used()
    clock[0] += 0.001

    assert used > utcnow() + timedelta(minutes=1)
    assert_refused(api.get(), *AUTHENTICATION_FAILED)


def last_used() -> Any:
    return db.session.scalars(select(ApiKey.last_used)).one()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_use_of_a_key_is_noted_once_a_minute(app: Flask, api: ApiClient, method: str) -> None:
    def use() -> Any:
        process_of(app).keys.clear()
        assert api.open(method, json={"name": "job"}).status_code in (200, 201)
        used = last_used()
        db.session.rollback()
        return used

    start = utcnow().replace(microsecond=0)
    with time_machine.travel(start, tick=False):
        assert use() == start
    with time_machine.travel(start + timedelta(seconds=59), tick=False):
        assert use() == start
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        assert use() == start + timedelta(seconds=60)


def test_known_key_costs_no_query(api: ApiClient) -> None:
    api.get()

    with count_queries() as statements:
        api.get()

    assert [statement for statement in statements if "api_key" in statement] == []


def test_note_of_another_worker_is_not_overwritten_within_the_minute(api: ApiClient) -> None:
    now = utcnow()
    earlier = now - timedelta(seconds=30)
    db.session.execute(update(ApiKey).values(last_used=earlier))
    db.session.commit()
    known = ProcessState(settings()).keys
    access = keys.authenticate(api.key or "", known, now=now)

    keys.touch_key(access, known, now=now)
    db.session.commit()

    assert last_used() == earlier


def test_secret_is_nowhere_in_the_database(api: ApiClient) -> None:
    assert api.key is not None
    secret = secret_of(api.key)

    row = db.session.execute(select(ApiKey.__table__)).one()

    assert secret not in " ".join(str(value) for value in row)
    assert secret.startswith(f"{row.prefix}.")
