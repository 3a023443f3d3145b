"""What a key may do is what its scopes say, on every endpoint of the API."""

import pytest
from blueprints.dashboard.routes import is_door_api
from conftest import ApiClient, make_key, settings
from flask import Flask
from managing import DENIED

from taskbadger.app import create_app
from taskbadger.blueprints.api import ApiBlueprint
from taskbadger.domain.identity import ProjectRef
from taskbadger.models.account import SCOPES

OPEN = {f"/api/{path}{slash}" for path in ("schema.json", "docs") for slash in ("", "/")}
"""What answers without a key."""


def client(app: Flask, scopes: str, slug: str | None = "web") -> ApiClient:
    return ApiClient(app.test_client(), make_key(slug=slug, scopes=scopes))


def test_every_route_of_the_api_says_which_scope_changes_ask_for(app: Flask) -> None:
    without = sorted(
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        and rule.rule not in OPEN
        and not is_door_api(rule)
        and _write_scope(app, rule) is None
    )

    assert without == []


def _write_scope(app: Flask, rule: object) -> str | None:
    blueprint = app.blueprints.get(str(rule.endpoint).partition(".")[0])  # type: ignore[attr-defined]
    if not isinstance(blueprint, ApiBlueprint):
        return None
    return blueprint.write_scope if blueprint.write_scope in SCOPES else None


def test_blueprint_that_names_no_scope_asks_for_admin(app: Flask) -> None:
    blueprint = ApiBlueprint("lists", __name__, url_prefix="/api/<organization_slug>/-/lists")
    blueprint.add_url_rule("/", "add", lambda: "added", methods=["GET", "POST"])
    app = _app_with(app, blueprint)

    answers = [
        client(app, scopes).post("/api/acme/-/lists/") for scopes in ("ingest,read", "admin")
    ]

    assert answers[0].json == DENIED
    assert answers[1].text == "added"


def _app_with(app: Flask, blueprint: ApiBlueprint) -> Flask:
    made = create_app(settings(DATABASE_URL=app.config["DATABASE_URL"]))
    made.register_blueprint(blueprint)
    return made


@pytest.mark.parametrize(
    ("scopes", "statuses"),
    [
        ("ingest", [403, 201, 200, 201, 403, 204]),
        ("read", [200, 403, 403, 403, 200, 403]),
        ("ingest,read", [200, 201, 200, 201, 200, 204]),
        ("admin", [200, 201, 200, 201, 200, 204]),
    ],
)
def test_tasks_and_actions_take_ingest_to_change_and_read_to_see(
    app: Flask, api: ApiClient, scopes: str, statuses: list[int]
) -> None:
    task = api.create()
    own = client(app, scopes)

    answers = [
        own.get(f"/tasks/{task['id']}/"),
        own.post("/tasks/", json={"name": "another"}),
        own.patch(f"/tasks/{task['id']}/", json={"value": 5}),
        own.post(
            f"/tasks/{task['id']}/actions/",
            json={"trigger": "error", "integration": "email", "config": {"to": "a@example.com"}},
        ),
        own.get(f"/tasks/{task['id']}/actions/"),
        own.delete(f"/tasks/{task['id']}/"),
    ]

    assert [answer.status_code for answer in answers] == statuses
    assert [answer.json for answer in answers if answer.status_code == 403] == [
        DENIED for status in statuses if status == 403
    ]


def test_project_of_others_is_not_found_before_the_scope_is_looked_at(
    app: Flask, project: ProjectRef
) -> None:
    assert client(app, "ingest").get("/api/acme/other/tasks/").status_code == 404
    assert client(app, "ingest").get("/api/other/-/projects/").status_code == 404


def test_scope_is_looked_at_before_the_body_and_the_task(app: Flask, project: ProjectRef) -> None:
    answer = client(app, "read").patch("/tasks/nothing/", data=b"{", content_type="text/plain")

    assert answer.json == DENIED
