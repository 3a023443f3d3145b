"""Settings: whether there is a mail server, and how an operator sets one up.

Fields for addresses warn and link to this page as long as there is none.
"""

from flask import render_template

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.settings.projects import BASE
from taskbadger.domain import roles
from taskbadger.process import current_process

VARIABLES = """\
TASKBADGER_SMTP_URL="smtp://user:password@mail.example.com:587?starttls=true"
TASKBADGER_MAIL_FROM="Task Badger <taskbadger@example.com>"
"""


@blp.page(f"{BASE}/mail/", role=roles.READ)
def mail_server() -> str:
    """Show whether e-mails are sent."""
    settings = current_process().settings
    address = f'TASKBADGER_BASE_URL="{settings.BASE_URL or base_url()}"'
    return render_template(
        "dashboard/settings/mail.html",
        sender=settings.MAIL_FROM,
        knows_address=bool(settings.BASE_URL),
        address=address,
        variables=f"{VARIABLES}{address}",
    )


def lacks_mail_server() -> bool:
    """Say whether e-mails cannot be sent; for templates."""
    return not current_process().settings.SMTP_URL
