"""The tables. Importing this package makes every model known to the metadata."""

from taskbadger.models.account import ApiKey, Membership, Organization, Project, User
from taskbadger.models.action import Action
from taskbadger.models.channel import ChannelConfig
from taskbadger.models.idempotency import IdempotencyRecord
from taskbadger.models.task import Task, TaskEvent, TaskTag
from taskbadger.models.throttle import RequestCount

__all__ = [
    "Action",
    "ApiKey",
    "ChannelConfig",
    "IdempotencyRecord",
    "Membership",
    "Organization",
    "Project",
    "RequestCount",
    "Task",
    "TaskEvent",
    "TaskTag",
    "User",
]
