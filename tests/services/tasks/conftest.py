"""Tasks to search."""

import pytest
from conftest import make_project
from services.tasks.searching import make_task

from taskbadger.domain.identity import ProjectRef


@pytest.fixture
def many(project: ProjectRef) -> list[ProjectRef]:
    """Eight tasks in two projects, a minute apart, the newest first by letter."""
    other = make_project("acme", "worker")
    make_task(project, "a import", ago=0, status="processing", queue="high")
    make_task(other, "b import", ago=60, status="error", tags={"env": "prod", "team": "ops"})
    make_task(project, "c Export", ago=120, status="error", tags={"env": "dev"})
    make_task(project, "d import", ago=180, status="success", queue="highest")
    parent = make_task(other, "e nightly", ago=240, external_id="celery-1")
    make_task(other, "f 100%", ago=300, parent=parent.id, status="stale")
    make_task(project, "g import", ago=3600, status="pending", tags={"env": "prod"})
    make_task(make_project("other", "web"), "z foreign", tags={"env": "prod"}, status="error")
    return [project, other]
