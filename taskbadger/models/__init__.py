"""The tables. Importing this package registers all of them in the metadata."""

from taskbadger.models.account import ApiKey, Membership, Organization, Project, User
from taskbadger.models.action import Action, GlobalAction
from taskbadger.models.audit import AuditEntry
from taskbadger.models.channel import ChannelConfig
from taskbadger.models.delivery import (
    Delivery,
    DeliveryAttempt,
    Destination,
    Firing,
    WorkerTick,
)
from taskbadger.models.idempotency import IdempotencyRecord
from taskbadger.models.invitation import Invitation
from taskbadger.models.monitor import Incident, Monitor, Slot, SlotRun
from taskbadger.models.run_stat import RunStat, RunStatCursor
from taskbadger.models.saved_view import SavedView
from taskbadger.models.session import Identity, UserSession
from taskbadger.models.task import Task, TaskEvent, TaskTag
from taskbadger.models.throttle import RequestCount

__all__ = [
    "Action",
    "ApiKey",
    "AuditEntry",
    "ChannelConfig",
    "Delivery",
    "DeliveryAttempt",
    "Destination",
    "Firing",
    "GlobalAction",
    "IdempotencyRecord",
    "Identity",
    "Incident",
    "Invitation",
    "Membership",
    "Monitor",
    "Organization",
    "Project",
    "RequestCount",
    "RunStat",
    "RunStatCursor",
    "SavedView",
    "Slot",
    "SlotRun",
    "Task",
    "TaskEvent",
    "TaskTag",
    "User",
    "UserSession",
    "WorkerTick",
]
