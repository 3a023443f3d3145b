"""Many operations on tasks in one transaction, each with the effect that it has by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import joins_monitor
from taskbadger.domain.status import PENDING
from taskbadger.errors import Conflict, NotFound, TaskBadgerError, ValidationFailed
from taskbadger.extensions import deferring
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.batch import CANCEL, CREATE, UPDATE, Operation
from taskbadger.services.alerts import firing
from taskbadger.services.alerts.firing import TaskChange
from taskbadger.services.monitors import bindings
from taskbadger.services.tasks import auditing, consequences, reads, write
from taskbadger.services.tasks.reads import Locked
from taskbadger.services.tasks.relative import MERGE

_LOOK = firing.select_with_answer(bindings.HAS_BOUND)

_Bound = Mapping[str, UUID | None]
"""The monitor that is bound to each name that tasks of a batch have or get, if there is one."""

MAX_MERGED = 4 * 2**20
"""Maximum characters that one batch may read to merge ``data``: each takes up to 0.4 µs."""


class Outcome(NamedTuple):
    """What became of an operation: the task's new state, an error, or neither."""

    task: TaskState | None = None
    error: TaskBadgerError | None = None


class NotApplied(TaskBadgerError):
    """Not applied, because another operation of the batch failed."""

    status = 424
    code = "not_applied"


class BatchFailed(Conflict):
    """An operation failed, so none of the batch was applied."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        super().__init__()
        self.outcomes = [
            each if each.error is not None else Outcome(error=NotApplied()) for each in outcomes
        ]


def run(
    project: ProjectRef,
    operations: Sequence[Operation],
    *,
    clock: Callable[[], datetime],
    actor: Actor,
    base_url: str = "",
    atomic: bool = False,
) -> list[Outcome]:
    """Do *operations* in order, in the transaction of the caller; return what became of each.

    One that fails changes nothing; the others stand. With *atomic*, any failure raises
    BatchFailed, and the caller must roll back.
    """
    wanted = [each.id for each in operations if each.id is not None]
    found = reads.lock_all(project, wanted)
    known = {each.task.name: each.bound for each in found.values()}
    global_actions, bound = _look(project, operations, known)
    batch = _Batch(project, clock, actor, base_url, found, bound)
    with deferring():
        outcomes = [batch.do(each) for each in operations]
        if atomic and any(each.error is not None for each in outcomes):
            raise BatchFailed(outcomes)
    consequences.finish(
        project, batch.changes, global_actions=global_actions, now=clock(), base_url=base_url
    )
    return outcomes


def _look(
    project: ProjectRef, operations: Sequence[Operation], known: _Bound
) -> tuple[firing.GlobalActions, _Bound]:
    """Return the global actions, and the monitors of all names: *known*, and those of new names."""
    names = {each.data["name"] for each in operations if "name" in each.data} - known.keys()
    parameters = {"project": project.id, "names": sorted(names)}
    global_actions, has_bound = firing.list_with_answer(_LOOK, project, parameters)
    found = bindings.list_bound(project.id, names) if has_bound else {}
    return global_actions, {**known, **found}


@dataclass
class _Batch:
    project: ProjectRef
    clock: Callable[[], datetime]
    actor: Actor
    base_url: str
    locked: dict[str, Locked]
    """The tasks that operations name or have created, as they are now."""
    bound: _Bound
    changes: list[TaskChange] = field(default_factory=list)
    """What it has changed, in order."""
    made: dict[str, str] = field(default_factory=dict)
    """The ids of the created tasks, by their ``ref``."""
    merged: int = 0
    """How many characters of ``data`` it has merged."""

    def do(self, operation: Operation) -> Outcome:
        """Do an operation. What it writes is written after everything that can raise an error."""
        try:
            if operation.error is not None:
                if operation.id is not None:
                    self._find(operation)  # A missing task is reported before wrong fields.
                raise operation.error
            return Outcome(task=_DOES[operation.op](self, operation))
        except TaskBadgerError as error:
            return Outcome(error=error)

    def create(self, operation: Operation) -> TaskState:
        """Create a task."""
        if operation.ref in self.made:
            detail = f"“{operation.ref}” names another task of this batch."
            raise ValidationFailed.one("ref", detail)
        task = write.create_task(
            self.project,
            operation.data,
            now=self.clock(),
            actor=self.actor,
            monitor_id=self._find_monitor(operation),
            base_url=self.base_url,
            collected=self.changes,
        )
        if operation.ref is not None:
            self.made[operation.ref] = task.id
        self.locked[task.id] = Locked(task, False, self.bound.get(task.name))
        self._note_parent(task)
        return task

    def _find_monitor(self, operation: Operation) -> UUID | None:
        """Return the monitor that a new task becomes a run of."""
        starts = joins_monitor(None, operation.data.get("status") or PENDING)
        return self.bound.get(operation.data["name"]) if starts else None

    def update(self, operation: Operation) -> TaskState:
        """Change a task."""
        locked, now = self._find(operation), self.clock()
        self._take_budget(locked.task, operation)
        after = write.change_locked(
            self.project,
            locked,
            operation.data,
            now=now,
            actor=self.actor,
            base_url=self.base_url,
            collected=self.changes,
        )
        auditing.record_change(self.actor, self.project, locked.task, after, now=now)
        self.locked[after.id] = locked._replace(task=after, bound=self.bound.get(after.name))
        self._note_parent(after)
        return after

    def cancel(self, operation: Operation) -> None:
        """Cancel a task; one that has ended stays as it is."""
        locked, now = self._find(operation), self.clock()
        after = write.cancel_locked(
            self.project,
            locked,
            now=now,
            actor=self.actor,
            base_url=self.base_url,
            collected=self.changes,
        )
        if after is not None:
            auditing.record(self.actor, self.project, "task.cancel", after, now=now)
            self.locked[after.id] = locked._replace(task=after)

    def _take_budget(self, task: TaskState, operation: Operation) -> None:
        """Raise ValidationFailed if the merges of this batch would take too long in all."""
        if MERGE not in operation.data:
            return
        self.merged += len(task.data or "") + len(operation.data[MERGE])
        if self.merged > MAX_MERGED:
            detail = f"The batch merges more than {MAX_MERGED} characters of data in all."
            raise ValidationFailed.one(MERGE, detail, "max_length")

    def _find(self, operation: Operation) -> Locked:
        task_id = operation.id
        if operation.ref is not None:
            task_id = self.made.get(operation.ref)
            if task_id is None:
                detail = f"No task was created as “{operation.ref}” earlier in this batch."
                raise ValidationFailed.one("ref", detail, "does_not_exist")
        locked = self.locked.get(task_id or "")
        if locked is None:
            raise NotFound()
        return locked

    def _note_parent(self, child: TaskState) -> None:
        parent = self.locked.get(child.parent or "")
        if parent is not None and not parent.task.has_children:
            task = parent.task._replace(has_children=True)
            self.locked[task.id] = parent._replace(task=task)


_DOES: dict[str, Callable[[_Batch, Operation], TaskState | None]] = {
    CREATE: _Batch.create,
    UPDATE: _Batch.update,
    CANCEL: _Batch.cancel,
}
