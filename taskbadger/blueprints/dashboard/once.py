"""Forms whose answer holds a secret, shown once: sent a second time, they make nothing.

A browser that reloads such an answer sends the form again. Each form holds a token of its own, and
the first use of it is written down with what the form makes.
"""

from datetime import timedelta

from flask import current_app, flash, redirect, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from taskbadger.domain.keys import digest
from taskbadger.services import sessions, throttle

FIELD = "once"
LIFE = timedelta(days=30)
"""How long a form can stay open and be sent."""


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="once")


def once_token() -> str:
    """Return what a form is known by; for templates, as ``ui.once()``."""
    return str(_serializer().dumps(sessions.new_token()))


def is_repeated() -> bool:
    """Say whether this form was sent before; if not, it is from when the caller commits.

    A form without a token, as a program sends it, is never a repetition.
    """
    token = request.form.get(FIELD)
    if not token:
        return False
    try:
        _, issued = _serializer().loads(
            token, max_age=int(LIFE.total_seconds()), return_timestamp=True
        )
    except BadSignature:  # Or too old, which is one of its kind: nobody knows any more.
        return True
    return not throttle.take(f"once:{digest(token)}", until=issued + LIFE)


def answer_again(message: str, page: str) -> Response:
    """Send the browser to *page*, where *message* says what was made already."""
    flash(message, "warning")
    return redirect(page, 303)
