"""The API and cookies."""

from conftest import ApiClient
from flask import session


def test_api_neither_reads_nor_sets_a_cookie(api: ApiClient) -> None:
    with api.client.session_transaction() as state:
        state["csrf_token"] = "from a page"

    with api.client.application.app_context(), api.client:
        answer = api.client.get(
            "/api/acme/web/tasks/", headers={"Authorization": f"Bearer {api.key}"}
        )
        seen = dict(session)

    assert (answer.status_code, seen) == (200, {})
    assert "Set-Cookie" not in answer.headers
