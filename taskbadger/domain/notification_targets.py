"""NotificationTarget: a channel to notify, as global actions and monitors keep it."""

from collections.abc import Sequence
from typing import Any, TypedDict


class NotificationTarget(TypedDict):
    """A channel to notify, and what it needs to know, such as the addresses of an e-mail."""

    integration: str
    """``email``, or a channel as ``kind:slug``."""
    config: dict[str, Any]


class EscalationStep(TypedDict):
    """Whom to tell when nobody has acknowledged an incident for so long."""

    after: int
    """Seconds after the first message."""
    channels: Sequence[NotificationTarget]
