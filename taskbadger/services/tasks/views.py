"""A task for a page: found in any project of an organization, or by its public link."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import bindparam, select

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import Statement, db
from taskbadger.models import Organization, Project
from taskbadger.models.task_rows import PAGE_COLUMNS, TASKS, PageTask

_task = TASKS.c


def get_page_task(project: ProjectRef, task_id: str) -> PageTask:
    """Return a task as its page shows it; raises NotFound."""
    query = (
        select(*PAGE_COLUMNS)
        .join(Project, Project.id == _task.project_id)
        .where(_task.id == task_id, _task.project_id == project.id)
    )
    row = db.session.execute(query).first()
    if row is None:
        raise NotFound()
    return cast(PageTask, row)


_same = TASKS.alias("same_external_id")
_OTHER_ATTEMPT = Statement(
    select(_task.id)
    # As `_external_id_plan` does: SQLite might walk all tasks of the name.
    .where(
        _task.id.in_(
            select(_same.c.id).where(
                _same.c.project_id == bindparam("of_project"),
                _same.c.external_id == bindparam("of_run"),
            )
        ),
        _task.name == bindparam("of_name"),
        _task.id != bindparam("of_task"),
    )
    .limit(1),
    tuple,
)


def has_other_attempts(task: PageTask) -> bool:
    """Say whether the run of a task has other attempts."""
    values = {
        "of_project": task.project_id,
        "of_run": task.external_id,
        "of_name": task.name,
        "of_task": task.id,
    }
    return bool(task.external_id) and bool(_OTHER_ATTEMPT.read(values))


@dataclass(frozen=True, slots=True)
class PublicTask:
    """What the public page of a task may use."""

    row: PageTask
    organization: str
    project: str
    shows_data: bool
    shows_tags: bool


def find_public_task(task_id: str) -> PublicTask:
    """Return a task whose project has public pages; raises NotFound for any other."""
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    query = (
        select(
            *PAGE_COLUMNS,
            Organization.name.label("organization_name"),
            Project.name.label("project_name"),
            Project.public_data,
            Project.public_tags,
        )
        .join(Project, Project.id == _task.project_id)
        .join(Organization, Organization.id == Project.organization_id)
        .where(_task.id == task_id, Project.public_pages)
    )
    row = db.session.execute(query).first()
    if row is None:
        raise NotFound()
    return PublicTask(
        cast(PageTask, row),
        row.organization_name,
        row.project_name,
        row.public_data,
        row.public_tags,
    )
