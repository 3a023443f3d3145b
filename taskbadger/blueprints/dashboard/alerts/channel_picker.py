"""The part of a form that says where messages go: e-mail addresses, and a box for each channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marshmallow import ValidationError

from taskbadger.blueprints.dashboard.forms import Form
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.errors import ValidationFailed
from taskbadger.schemas.actions import checked_config
from taskbadger.schemas.fields import field_errors
from taskbadger.services.delivery import channels

ADDRESSES = "emails"
CHANNELS = "channels"
"""The fields of the form, for their errors."""
BOX = "channel "


@dataclass(frozen=True, slots=True)
class Box:
    """A channel that may be ticked."""

    field: str
    integration: str
    label: str
    note: str
    ticked: bool


Known = Mapping[str, tuple[str, str]]
"""The name of each channel and a note about it, by its identifier."""


def list_known() -> Known:
    """Return the channels of the organization."""
    return {
        f"{channel.kind}:{channel.slug}": (channel.name, "turned off" if channel.disabled else "")
        for channel in channels.list_channels(current_member().organization_id)
    }


def list_boxes(
    form: Form, saved: Sequence[NotificationTarget], known: Known, *, prefix: str = ""
) -> list[Box]:
    """Return a box for each channel in *known*, and for those saved that are gone.

    *prefix* begins the names of the fields, if the form asks for channels more than once.
    """
    used = {target["integration"] for target in saved if target["integration"] != channels.EMAIL}
    ticked = set(_ticked(form, prefix)) if form.typed else used
    gone = {integration: (integration, "deleted") for integration in sorted(used - set(known))}
    return [
        Box(prefix + BOX + integration, integration, label, note, integration in ticked)
        for integration, (label, note) in {**known, **gone}.items()
    ]


def saved_addresses(saved: Sequence[NotificationTarget]) -> str:
    """Return the e-mail addresses of what is saved, as people type them."""
    return ", ".join(
        ", ".join(str(target["config"].get("to", "")).split(","))
        for target in saved
        if target["integration"] == channels.EMAIL
    )


def read_targets(
    form: Form, saved: Sequence[NotificationTarget] = (), *, prefix: str = ""
) -> list[NotificationTarget]:
    """Return what is chosen; wrong addresses are an error of the form."""
    kept = {target["integration"]: target["config"] for target in saved}
    targets: list[NotificationTarget] = [
        {"integration": integration, "config": kept.get(integration, {})}
        for integration in _ticked(form, prefix)
    ]
    addresses = form.typed.get(prefix + ADDRESSES, "").strip()
    if not addresses:
        return targets
    try:
        config = checked_config(channels.EMAIL, {"to": addresses})
    except ValidationError as error:
        for field_error in field_errors(error.messages):
            form.add(ValidationFailed.one(prefix + ADDRESSES, field_error.detail))
        return targets
    return [{"integration": channels.EMAIL, "config": config}, *targets]


def add_errors(
    form: Form,
    error: ValidationFailed,
    field: str,
    targets: Sequence[NotificationTarget],
    *,
    prefix: str = "",
) -> None:
    """Add the errors that a service found; those about the targets in *field* next to the boxes."""
    for field_error in error.errors:
        place, _, rest = (field_error.attr or "").removeprefix(f"{field}.").partition(".")
        if field_error.attr == field:
            form.add(ValidationFailed.one(prefix + CHANNELS, field_error.detail, field_error.code))
        elif rest and place.isdigit() and int(place) < len(targets):
            integration = targets[int(place)]["integration"]
            detail = field_error.detail
            if integration not in detail:
                detail = f"{integration}: {detail}"
            form.add(ValidationFailed.one(prefix + CHANNELS, detail, field_error.code))
        else:
            form.add(ValidationFailed([field_error]))


def _ticked(form: Form, prefix: str) -> list[str]:
    box = prefix + BOX
    return [name.removeprefix(box) for name in form.typed if name.startswith(box)]
