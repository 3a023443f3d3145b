"""The part of a form that says where messages go: e-mail addresses, and a box for each channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from taskbadger.blueprints.dashboard.access import current_member
from taskbadger.blueprints.dashboard.forms import Form
from taskbadger.errors import ValidationFailed
from taskbadger.schemas.actions import checked_config
from taskbadger.schemas.fields import field_errors
from taskbadger.services import channels

ADDRESSES = "emails"
CHANNELS = "channels"
"""The fields of the form, for their errors."""
_BOX = "channel "

Notice = Mapping[str, Any]
"""``{"integration", "config"}``."""


@dataclass(frozen=True, slots=True)
class Box:
    """A channel that may be ticked."""

    field: str
    integration: str
    label: str
    note: str
    ticked: bool


def list_boxes(form: Form, saved: Sequence[Notice] = ()) -> list[Box]:
    """Return a box for each channel of the organization, and for those saved that are gone."""
    used = {notice["integration"] for notice in saved if notice["integration"] != channels.EMAIL}
    ticked = set(_ticked(form)) if form.typed else used
    known = {}
    for one in channels.list_channels(current_member().organization_id):
        note = "turned off" if one.disabled else ""
        known[f"{one.kind}:{one.slug}"] = (one.name, note)
    gone = {integration: (integration, "deleted") for integration in sorted(used - set(known))}
    return [
        Box(_BOX + integration, integration, label, note, integration in ticked)
        for integration, (label, note) in (known | gone).items()
    ]


def saved_addresses(saved: Sequence[Notice]) -> str:
    """Return the e-mail addresses of what is saved, as people type them."""
    return ", ".join(
        ", ".join(str(notice["config"].get("to", "")).split(","))
        for notice in saved
        if notice["integration"] == channels.EMAIL
    )


def read_notices(form: Form, saved: Sequence[Notice] = ()) -> list[dict[str, Any]]:
    """Return what is chosen; wrong addresses are an error of the form."""
    kept = {notice["integration"]: notice["config"] for notice in saved}
    notices = [
        {"integration": integration, "config": kept.get(integration, {})}
        for integration in _ticked(form)
    ]
    addresses = form.typed.get(ADDRESSES, "").strip()
    if not addresses:
        return notices
    try:
        config = checked_config(channels.EMAIL, {"to": addresses})
    except ValidationError as error:
        for one in field_errors(error.messages):
            form.add(ValidationFailed.one(ADDRESSES, one.detail))
        return notices
    return [{"integration": channels.EMAIL, "config": config}, *notices]


def add_errors(form: Form, error: ValidationFailed, field: str, notices: Sequence[Notice]) -> None:
    """Add the errors that a service found; those about the notices in *field* next to the boxes."""
    for one in error.errors:
        place, _, rest = (one.attr or "").removeprefix(f"{field}.").partition(".")
        if one.attr == field:
            form.add(ValidationFailed.one(CHANNELS, one.detail, one.code))
        elif rest and place.isdigit() and int(place) < len(notices):
            integration = notices[int(place)]["integration"]
            detail = one.detail if integration in one.detail else f"{integration}: {one.detail}"
            form.add(ValidationFailed.one(CHANNELS, detail, one.code))
        else:
            form.add(ValidationFailed([one]))


def _ticked(form: Form) -> list[str]:
    return [name.removeprefix(_BOX) for name in form.typed if name.startswith(_BOX)]
