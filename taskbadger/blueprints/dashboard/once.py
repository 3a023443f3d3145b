"""Forms whose response shows a secret once: resubmitting one creates nothing.

A browser that reloads such a response submits the form again. Each form contains a unique token,
and its first use is stored in the transaction that creates the secret.
"""

from datetime import timedelta

from flask import current_app, flash, redirect, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from taskbadger.domain.keys import digest
from taskbadger.services import throttle
from taskbadger.services.people import sessions

FIELD = "once"
LIFE = timedelta(days=30)
"""How long after it was opened a form can be submitted."""


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key or "", salt="once")


def once_token() -> str:
    """Return a token for a form. Templates call it as ``ui.once()``."""
    return str(_serializer().dumps(sessions.new_token()))


def is_repeated() -> bool:
    """Say whether this form was submitted before. If not, it counts as submitted on commit.

    A form without a token, as programs send it, never counts as repeated.
    """
    token = request.form.get(FIELD)
    if not token:
        return False
    try:
        _, issued = _serializer().loads(
            token, max_age=int(LIFE.total_seconds()), return_timestamp=True
        )
    except BadSignature:  # Also raised when it is too old: its first use may be forgotten.
        return True
    return not throttle.take(f"once:{digest(token)}", until=issued + LIFE)


def answer_again(message: str, page: str) -> Response:
    """Redirect to *page*, with *message* about what was created before."""
    flash(message, "warning")
    return redirect(page, 303)
