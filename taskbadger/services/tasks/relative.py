"""Changes that depend on the locked task: ``value_increment`` and ``data_merge``."""

from collections.abc import Callable, Mapping
from typing import Any

from taskbadger.domain import numbers
from taskbadger.domain.merge_patch import merge
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.fields import INT64_MAX

INCREMENT, MERGE = "value_increment", "data_merge"
MAX_MERGED = 2**20
"""Maximum characters of ``data`` after a merge, unless it was longer before."""


def relative_changes(before: TaskState, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a loaded PatchedTaskRequest changes; raises ValidationFailed."""
    changes: dict[str, Any] = {}
    errors: list[FieldError] = []
    for field, column, change in _RELATIVE:
        if field in data:
            try:
                changes[column] = change(getattr(before, column), data[field])
            except ValidationFailed as error:
                errors += error.errors
    if errors:
        raise ValidationFailed(errors)
    return changes


def _incremented(value: int | None, increment: int) -> int:
    result = (value or 0) + increment
    if result < 0:
        raise ValidationFailed.one(INCREMENT, "The value would be less than 0.", "min_value")
    if result > INT64_MAX:
        detail = f"The value would be greater than {INT64_MAX}."
        raise ValidationFailed.one(INCREMENT, detail, "max_value")
    return result


def _merged(text: str | None, patch: str) -> str:
    target = {} if text is None else numbers.read_exactly(text)
    if not isinstance(target, dict):
        raise ValidationFailed.one(MERGE, "The data of the task is not an object.")
    merged = numbers.write(merge(target, numbers.read_exactly(patch)), indent=None)
    if len(merged) > max(MAX_MERGED, len(text or "")):
        detail = f"The data would have more than {MAX_MERGED} characters."
        raise ValidationFailed.one(MERGE, detail, "max_length")
    return merged


_RELATIVE: tuple[tuple[str, str, Callable[[Any, Any], object]], ...] = (
    (INCREMENT, "value", _incremented),
    (MERGE, "data", _merged),
)
"""Each field, its column, and the function of the old value and the field's that changes it."""
