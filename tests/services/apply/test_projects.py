"""Projects of a file: what it names of their settings is changed, the rest is kept."""

import pytest
from managing import audited
from services.apply.test_windows import put

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.apply.file import FileError

PROJECT = """
projects:
  - slug: web
    quiet_after: 3600
    retention_days: 30
"""


def test_project_is_changed_once_as_far_as_the_file_says(project: ProjectRef) -> None:
    db.session.get_one(Project, project.id).public_tags = True
    db.session.commit()

    assert put(project, PROJECT) == [
        "~ project web",
        "    retention_days: none → 30",
        "    quiet_after: 86400 → 3600",
        "1 changed",
    ]

    assert put(project, PROJECT) == []
    found = db.session.get_one(Project, project.id)
    assert (found.quiet_after, found.retention_days, found.public_tags) == (3600, 30, True)
    assert audited() == [("server", "taskbadger-server apply", "project.change", "web")]


def test_projects_are_never_removed(project: ProjectRef) -> None:
    put(project, "projects: []", prune=True)

    assert db.session.get(Project, project.id) is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            PROJECT.replace("3600", "10"),
            "acme.yaml:4: projects.0.quiet_after: Ensure this value is greater than or equal to"
            " 300.",
        ),
        (
            PROJECT.replace("web", "shop"),
            "acme.yaml:3: projects.0.slug: There is no project “shop” in this organization.",
        ),
        (PROJECT + "  - slug: web\n", "acme.yaml:6: projects.1: web is in the file twice."),
    ],
)
def test_wrong_project_is_reported_with_its_line(
    project: ProjectRef, text: str, problem: str
) -> None:
    with pytest.raises(FileError) as caught:
        put(project, text)

    assert str(caught.value) == f"nothing was changed:\n{problem}"
