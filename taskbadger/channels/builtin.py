"""The channels that come with the server."""

from flask import Flask
from flask_smorest import Api

from taskbadger import channels
from taskbadger.channels.apprise import Apprise
from taskbadger.channels.discord import Discord
from taskbadger.channels.email import Email
from taskbadger.channels.ntfy import Ntfy
from taskbadger.channels.pagerduty import PagerDuty
from taskbadger.channels.slack import Slack
from taskbadger.channels.teams import Teams
from taskbadger.channels.telegram import Telegram
from taskbadger.channels.webhook import Webhook

BUILT_IN = (Email, Webhook, Slack, Teams, Discord, Telegram, Ntfy, PagerDuty, Apprise)


def add_all() -> None:
    """Register the built-in channels."""
    for channel in BUILT_IN:
        channels.add(channel())


def register(app: Flask, api: Api) -> None:
    """Register the built-in channels with the server."""
    add_all()
