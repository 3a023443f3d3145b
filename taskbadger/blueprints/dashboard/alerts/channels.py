"""Alerts: the channels, their editor made from what each kind asks for, and tests of them."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flask import Response as FlaskResponse
from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger import channels as kinds
from taskbadger.blueprints.channels import run_test
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.global_actions import (
    BASE,
    alerts_context,
    render_alerts,
)
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.channels import Channel
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.process import current_process
from taskbadger.schemas.alert_forms import (
    ChannelForm,
    NewChannelForm,
    config_fields,
    read_config,
    show_value,
)
from taskbadger.services.delivery import channel_settings, channels
from taskbadger.services.delivery.channel_settings import ChannelChanges

ALREADY_SAVED = "The channel was already saved. Its generated secret is shown only once."


@blp.page(f"{BASE}/channels/", role=roles.READ)
def channel_list() -> FlaskResponse:
    """Show the channels by kind, and the kinds that there are."""
    found = channels.list_channels(current_member().organization_id)
    version = [
        (channel.id, channel.updated, channel.disabled, channel.failing_since) for channel in found
    ]
    return render_alerts(
        "channels.html",
        version,
        lambda: {
            "channels": [(channel, channels.integration_of(channel)) for channel in found],
            "labels": {kind: label_of(kind) for kind in kinds.kinds()},
            "missing": {kind: _missing(kind) for kind in kinds.kinds()},
        },
    )


def label_of(kind: str) -> str:
    """Return the name of a kind for people."""
    known = kinds.get(kind)
    return known.label if known else kind


def _missing(kind: str) -> str | None:
    return _kind(kind).missing(current_process().send_context)


def _kind(kind: str) -> Channel:
    known = kinds.get(kind)
    if known is None:
        raise NotFound()
    return known


def find_channel(integration: str) -> ChannelConfig:
    """Return a channel of this page's organization; raises NotFound."""
    if not integration.isprintable():
        raise NotFound()
    return channels.get_channel(current_member().organization_id, integration)


@blp.page(f"{BASE}/channels/new/<kind>/", role=roles.MANAGE_CHANNELS)
def new_channel(kind: str) -> str:
    """Show an empty form."""
    return _edit_page(_kind(kind), None, Form())


@blp.page(
    f"{BASE}/channels/new/<kind>/", role=roles.MANAGE_CHANNELS, methods=["POST"], keeps_draft=True
)
def create_channel(kind: str) -> Response:
    """Set a channel up."""
    known = _kind(kind)
    if is_repeated():
        return answer_again(ALREADY_SAVED, url_for("dashboard.channel_list"))
    form = read_form(NewChannelForm)
    made = None
    if form.errors:
        _check_config(known, form)
    else:
        made = _create(known, form)
    if made is None:
        return make_response(_edit_page(known, None, form), 400)
    integration = channels.integration_of(made)
    sent = read_config(form.typed, config_fields(known.config_schema, known.secret_fields))
    secrets = channel_settings.generated_secrets(made, sent, before={})
    db.session.commit()
    flash(f"{integration} created. Send a test message to check that it works.", "success")
    return _saved(integration, secrets)


def _create(known: Channel, form: Form) -> ChannelConfig | None:
    """Make the channel that *form* asks for; None, and the errors in the form, where that fails."""
    fields = config_fields(known.config_schema, known.secret_fields)
    number, name = current_member().organization_id, form.data["name"]
    try:
        return channels.create_channel(
            number,
            known.kind,
            form.data["slug"] or channels.free_slug(number, known.kind, name),
            name,
            read_config(form.typed, fields),
            context=current_process().send_context,
            actor=current_actor(),
            now=utcnow(),
        )
    except ValidationFailed as error:
        _add_errors(form, error)
    except Conflict as error:
        form.add(ValidationFailed.one("slug", error.detail))
    return None


def _check_config(known: Channel, form: Form) -> None:
    """Report at once what would only be reported when all else is right."""
    config = read_config(form.typed, config_fields(known.config_schema, known.secret_fields))
    try:
        channels.checked_config(known.kind, config, current_process().send_context)
    except ValidationFailed as error:
        _add_errors(form, error)


def _add_errors(form: Form, error: ValidationFailed) -> None:
    """Add what is wrong with a config; of a mapping, the errors stand with the whole of it."""
    for field_error in error.errors:
        head, _, rest = (field_error.attr or "").partition(".")
        attr = f"config.{rest.partition('.')[0]}" if head == "config" and rest else ""
        form.add(ValidationFailed.one(attr, field_error.detail, field_error.code))


@blp.page(f"{BASE}/channels/<integration>/", role=roles.MANAGE_CHANNELS)
def edit_channel(integration: str) -> str:
    """Show the form of a channel, without its secrets."""
    channel = find_channel(integration)
    return _edit_page(_kind(channel.kind), channel, Form())


@blp.page(
    f"{BASE}/channels/<integration>/",
    role=roles.MANAGE_CHANNELS,
    methods=["POST"],
    keeps_draft=True,
)
def change_channel(integration: str) -> Response:
    """Change a channel; a secret that is left empty is kept."""
    if is_repeated():
        return answer_again(ALREADY_SAVED, url_for("dashboard.channel_list"))
    channel = find_channel(integration)
    known = _kind(channel.kind)
    form = read_form(ChannelForm)
    fields = config_fields(known.config_schema, known.secret_fields)
    secrets = {}
    try:
        if not form.errors:
            before, config = json.loads(channel.config), read_config(form.typed, fields)
            _change(channel, {"name": form.data["name"], "config": config})
            secrets = channel_settings.generated_secrets(channel, config, before=before)
    except ValidationFailed as error:
        _add_errors(form, error)
    if form.errors:
        return make_response(_edit_page(known, channel, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return _saved(integration, secrets)


def _saved(integration: str, secrets: dict[str, Any]) -> Response:
    """Lead to the channel's page; with secrets that the server made, show it, this once.

    Nobody could check a signature without them.
    """
    if not secrets:
        return redirect(url_for("dashboard.edit_channel", integration=integration), 303)
    channel = find_channel(integration)
    return make_response(_edit_page(_kind(channel.kind), channel, Form(), secrets))


def _change(channel: ChannelConfig, changes: ChannelChanges) -> None:
    context, actor = current_process().send_context, current_actor()
    channel_settings.change(channel, changes, context=context, actor=actor, now=utcnow())


def _edit_page(
    known: Channel,
    channel: ChannelConfig | None,
    form: Form,
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> str:
    config, hidden = channel_settings.split(channel) if channel else ({}, [])
    fields = config_fields(known.config_schema, known.secret_fields)
    saved = {
        field.name: show_value(field, config) if channel else field.default
        for field in fields
        if not field.secret
    }
    return render_template(
        "dashboard/alerts/channel_edit.html",
        channel=channel,
        integration=channels.integration_of(channel) if channel else "",
        kind=known.kind,
        label=known.label,
        guide=known.guide,
        guide_url=known.guide_url,
        missing=known.missing(current_process().send_context),
        fields_of_kind=fields,
        saved=saved,
        kept=hidden,
        form=form,
        secrets=secrets,
        **alerts_context(),
    )


@blp.page(f"{BASE}/channels/<integration>/test", role=roles.MANAGE_CHANNELS, methods=["POST"])
def send_test(integration: str) -> Response:
    """Send a test message now, and show its outcome."""
    channel = find_channel(integration)
    back = redirect(url_for("dashboard.edit_channel", integration=integration), 303)
    try:
        outcome = run_test(channel, current_actor())
    except Conflict as error:
        flash(error.detail, "error")
        return back
    if outcome.delivered:
        flash(f"Test message delivered in {outcome.duration_ms} ms.", "success")
    else:
        status = f" ({outcome.status})" if outcome.status else ""
        flash(f"Test message not delivered{status}: {outcome.error}", "error")
    return back


@blp.page(f"{BASE}/channels/<integration>/enabled", role=roles.MANAGE_CHANNELS, methods=["POST"])
def enable_channel(integration: str) -> Response:
    """Turn a channel on or off."""
    enabled = request.form.get("enabled") == "true"
    _change(find_channel(integration), {"enabled": enabled})
    db.session.commit()
    flash(f"{integration} has been turned {'on' if enabled else 'off'}.", "success")
    return redirect(url_for("dashboard.channel_list"), 303)


@blp.page(f"{BASE}/channels/<integration>/delete", role=roles.MANAGE_CHANNELS, methods=["POST"])
def delete_channel(integration: str) -> Response:
    """Delete a channel; what waits for it is given up."""
    channel = find_channel(integration)
    channels.delete_channel(channel, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash(f"{integration} has been deleted.", "success")
    return redirect(url_for("dashboard.channel_list"), 303)
