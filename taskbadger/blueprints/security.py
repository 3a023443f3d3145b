"""Protection of pages: headers, cookies and the CSRF check. The API uses keys instead."""

from flask import Flask, Request, Response, request
from flask.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface
from flask_smorest import Api
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from taskbadger.blueprints.errors import is_api_request
from taskbadger.blueprints.live import is_live_request
from taskbadger.blueprints.problems import page_for, problem_page
from taskbadger.process import current_process, process_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
}
_PAGE_ERRORS = (400, 403, 404, 405, 413, 500)
_CHECKED_METHODS = ("POST", "PUT", "PATCH", "DELETE")

_NO_SESSION = NullSession()
_LIVE = ("/a/", "/public/")
"""Path prefixes of pages that poll."""
_WITHOUT_FORMS = ("pings",)
"""Blueprints that programs use, without a browser's cookies."""
_ONE_CLICK = "digest_links.unsubscribe"
"""What mail programs send without having opened the page (RFC 8058); the link is the proof."""

csrf = CSRFProtect()


class StateCookies(SecureCookieSessionInterface):
    """Flask's signed cookie. It contains the CSRF token and flashed messages, never the user."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        # The API uses keys, and polls of open pages contain neither forms nor messages.
        if is_api_request() or (is_live_request() and request.path.startswith(_LIVE)):
            return _NO_SESSION
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return is_secure()

    def get_cookie_path(self, app: Flask) -> str:
        return cookie_path()


def is_secure() -> bool:
    """Say whether the visitor uses https, so that cookies must be limited to it."""
    return request.is_secure or current_process().base_url.startswith("https:")


def cookie_path() -> str:
    """Return the path of our cookies: everything below this server's prefix."""
    return request.script_root or "/"


def _check_token() -> None:
    if request.endpoint is None or is_api_request() or request.method not in _CHECKED_METHODS:
        return
    if request.blueprint in _WITHOUT_FORMS:
        return
    if request.endpoint == _ONE_CLICK and request.form.get("List-Unsubscribe") == "One-Click":
        return
    csrf.protect()


def _on_csrf_error(error: CSRFError) -> Response:
    detail = "The form has expired. Go back, check what you typed and send it again."
    return problem_page(400, detail)


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype == "text/html":
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def register(app: Flask, api: Api) -> None:
    """Protect the pages of *app*, and show their errors as pages."""
    app.config.update(
        SESSION_COOKIE_NAME="taskbadger_state",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,
        # itsdangerous signs with the last, and accepts all.
        WTF_CSRF_SECRET_KEY=process_of(app).settings.secret_keys,
        # A page may stay open for weeks; the token is valid as long as the browser's session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = StateCookies()
    csrf.init_app(app)
    app.before_request(_check_token)
    app.after_request(_add_headers)
    app.register_error_handler(CSRFError, _on_csrf_error)

    def answer(error: HTTPException) -> Response:
        if is_api_request():
            answered: Response = api.handle_http_exception(error)
            return answered
        return page_for(error)

    for status in _PAGE_ERRORS:
        app.register_error_handler(status, answer)
