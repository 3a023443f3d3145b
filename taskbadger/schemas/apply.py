"""The sections of the file that ``taskbadger-server apply`` reads."""

from marshmallow import RAISE

from taskbadger.schemas.accounts import PatchedProjectRequest
from taskbadger.schemas.actions import IntegrationField
from taskbadger.schemas.channels import ChannelSettings, ChannelSlug, PatchedChannelRequest
from taskbadger.schemas.fields import Text, invalid
from taskbadger.schemas.global_actions import GlobalActionRequest
from taskbadger.schemas.monitors import MonitorRequest
from taskbadger.schemas.windows import WindowRequest


class ChannelName(IntegrationField):
    """The ``kind:slug`` of a channel to set up. ``email`` is refused: it always exists."""

    def check(self, text: str) -> str:
        text = super().check(text)
        _, colon, slug = text.partition(":")
        if not colon:
            raise invalid("Use “kind:slug”, e.g. “webhook:ops”.")
        ChannelSlug().check(slug)
        return text


class ChannelEntry(PatchedChannelRequest):
    """A channel."""

    integration = ChannelName(required=True)
    config = ChannelSettings(required=True)


class ProjectEntry(PatchedProjectRequest):
    """The settings of a project that exists."""

    slug = Text(required=True, max_length=50, min_length=1)


class GlobalActionEntry(GlobalActionRequest):
    """A global action."""


class MonitorEntry(MonitorRequest):
    """A monitor."""

    project = Text(required=True, max_length=50, min_length=1)


class WindowEntry(WindowRequest):
    """A maintenance window. Its monitor is named like ``web/Nightly import``."""

    monitor = Text(max_length=306, allow_none=True)


SECTIONS = {
    "projects": ProjectEntry(unknown=RAISE),
    "channels": ChannelEntry(unknown=RAISE),
    "global_actions": GlobalActionEntry(unknown=RAISE),
    "monitors": MonitorEntry(unknown=RAISE),
    "windows": WindowEntry(unknown=RAISE),
}
"""The lists that a file may have besides ``organization``, and the schema of their entries."""
