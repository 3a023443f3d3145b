"""The tables. Importing this package registers all of them in the metadata."""

from taskbadger.models.account import ApiKey, Membership, Organization, Project, User
from taskbadger.models.action import Action, GlobalAction
from taskbadger.models.audit import AuditEntry
from taskbadger.models.beat_lease import BeatLease
from taskbadger.models.channel import ChannelConfig
from taskbadger.models.delivery import (
    Delivery,
    DeliveryAttempt,
    Destination,
    Firing,
    WorkerTick,
)
from taskbadger.models.delivery_total import DeliveryCursor, DeliveryTotal
from taskbadger.models.failure import Failure, FailureBackfill, FailureKind
from taskbadger.models.form_draft import FormDraft
from taskbadger.models.idempotency import IdempotencyRecord
from taskbadger.models.incident import Incident, IncidentEvent, IncidentNotice
from taskbadger.models.invitation import Invitation
from taskbadger.models.monitor import Monitor, Slot, SlotRun
from taskbadger.models.ping import Ping
from taskbadger.models.queue_stat import QueueStat
from taskbadger.models.run_stat import RunStat, RunStatCursor
from taskbadger.models.run_total import RunTotal
from taskbadger.models.saved_view import SavedView
from taskbadger.models.session import Identity, UserSession
from taskbadger.models.task import Task, TaskEvent, TaskTag
from taskbadger.models.throttle import RequestCount
from taskbadger.models.used_link import UsedLink
from taskbadger.models.window import MaintenanceWindow

__all__ = [
    "Action",
    "ApiKey",
    "AuditEntry",
    "BeatLease",
    "ChannelConfig",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryCursor",
    "DeliveryTotal",
    "Destination",
    "Failure",
    "FailureBackfill",
    "FailureKind",
    "Firing",
    "FormDraft",
    "GlobalAction",
    "IdempotencyRecord",
    "Identity",
    "Incident",
    "IncidentEvent",
    "IncidentNotice",
    "Invitation",
    "MaintenanceWindow",
    "Membership",
    "Monitor",
    "Organization",
    "Ping",
    "Project",
    "QueueStat",
    "RequestCount",
    "RunStat",
    "RunStatCursor",
    "RunTotal",
    "SavedView",
    "Slot",
    "SlotRun",
    "Task",
    "TaskEvent",
    "TaskTag",
    "UsedLink",
    "User",
    "UserSession",
    "WorkerTick",
]
