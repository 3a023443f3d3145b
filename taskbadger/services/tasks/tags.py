"""Writes the tags of a task: JSON in its own row, and rows of TaskTag for the filters."""

import json
from collections.abc import Mapping
from typing import cast

from marshmallow import ValidationError
from sqlalchemy import Table, delete, insert

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import Statement, db
from taskbadger.models import TaskTag
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.tasks import MAX_TAGS, too_many_tags, write_tags

_INSERT = Statement(insert(cast(Table, TaskTag.__table__)), tuple)


def insert_tags(project: ProjectRef, task_id: str, tags: Mapping[str, str]) -> None:
    """Write the rows of tags that the task does not have yet."""
    rows = [
        {"task_id": task_id, "name": name, "value": value, "project_id": project.id}
        for name, value in tags.items()
    ]
    _INSERT.run_each(rows)


def changed_tags(
    before: TaskState, changes: Mapping[str, str | None], *, replace: bool
) -> dict[str, str]:
    """Return the tags of a task after *changes*; raises ValidationFailed.

    A value of None removes a tag; with *replace*, so does leaving it out.
    """
    merged = changes if replace else {**_read(before), **changes}
    new = {name: value for name, value in merged.items() if value is not None}
    if len(new) > MAX_TAGS:
        error = ValidationError({"tags": too_many_tags().messages})
        raise ValidationFailed(list(field_errors(error.messages)))
    return new


def write_changed(project: ProjectRef, before: TaskState, new: Mapping[str, str]) -> dict[str, str]:
    """Write the rows of tags that differ; return the task's column to change, if any."""
    old = _read(before)
    if new == old:
        return {}
    gone = [name for name, value in old.items() if new.get(name) != value]
    if gone:
        db.session.execute(
            delete(TaskTag).where(TaskTag.task_id == before.id, TaskTag.name.in_(gone))
        )
    added = {name: value for name, value in new.items() if old.get(name) != value}
    if added:
        insert_tags(project, before.id, added)
    return {"tags": write_tags(new)}


def _read(task: TaskState) -> dict[str, str]:
    tags: dict[str, str] = json.loads(task.tags)
    return tags
