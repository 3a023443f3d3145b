"""NotificationTarget: a channel to notify, as global actions and monitors keep it."""

from typing import Any, TypedDict


class NotificationTarget(TypedDict):
    """A channel to notify, and what it needs to know, such as the addresses of an e-mail."""

    integration: str
    """``email``, or a channel as ``kind:slug``."""
    config: dict[str, Any]
