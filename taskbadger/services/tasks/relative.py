"""Changes that depend on the locked task: ``value_increment`` and ``data_merge``."""

from collections.abc import Mapping
from typing import Any

from taskbadger.domain import numbers
from taskbadger.domain.merge_patch import merge
from taskbadger.errors import ValidationFailed
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.fields import INT64_MAX

MAX_MERGED = 2**20
"""Characters of ``data`` up to which merges may let it grow; one request may send more."""


def relative_changes(before: TaskState, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a loaded PatchedTaskRequest changes; raises ValidationFailed."""
    changes: dict[str, Any] = {}
    if "value_increment" in data:
        changes["value"] = _incremented(before.value, data["value_increment"])
    if "data_merge" in data:
        changes["data"] = _merged(before.data, data["data_merge"])
    return changes


def _incremented(value: int | None, increment: int) -> int:
    result = (value or 0) + increment
    if result < 0:
        raise ValidationFailed.one("value_increment", "The value would be less than 0.")
    if result > INT64_MAX:
        raise ValidationFailed.one(
            "value_increment", f"The value would be greater than {INT64_MAX}."
        )
    return result


def _merged(text: str | None, patch: str) -> str:
    target = {} if text is None else numbers.read_exactly(text)
    if not isinstance(target, dict):
        raise ValidationFailed.one("data_merge", "The data of the task is not an object.")
    merged = numbers.write(merge(target, numbers.read_exactly(patch)), indent=None)
    if len(merged) > max(MAX_MERGED, len(text or "")):
        raise ValidationFailed.one(
            "data_merge", f"The data would have more than {MAX_MERGED} characters."
        )
    return merged
