"""Signing in and out, the first owner, and a person's own account."""

import hashlib
import ipaddress

from flask import (
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask import session as state
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import (
    COOKIE,
    PUBLIC,
    SIGNED_IN,
    blp,
    current_actor,
    current_user,
    current_visit,
    find_visit,
    forget_cookie,
    home_frame,
    idle_time,
    memberships_of,
    sign_in_cookie,
    to_next,
)
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.clock import utcnow
from taskbadger.errors import Throttled, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import User
from taskbadger.schemas.people import PasswordForm, SetUpForm, SignInForm
from taskbadger.services import accounts, audit, members, passwords, sessions, throttle
from taskbadger.services.projects import NewProject

ATTEMPTS_SECONDS = 15 * 60
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 50

REFUSED = "Address or password is wrong."


@blp.page("/", role=SIGNED_IN)
def start() -> AnyResponse | str:
    """Lead to the user's organization."""
    found = memberships_of(current_visit().user_id)
    if not found:
        return render_template("dashboard/no_organization.html", user=current_visit())
    return redirect(f"{request.script_root}/a/{found[0].organization.slug}/", 303)


@blp.page("/sign-in", role=PUBLIC)
def sign_in() -> AnyResponse | str:
    """Show the form, or the first one on an empty server."""
    if members.needs_set_up():
        return redirect(url_for("dashboard.set_up"), 303)
    if find_visit() is not None:
        return to_next(request.args.get("next"))
    return render_template("dashboard/sign_in.html", form=Form())


@blp.page("/sign-in", role=PUBLIC, methods=["POST"])
def sign_in_with_password() -> AnyResponse:
    """Start a session, under a new id."""
    form = read_form(SignInForm)
    email, password = form.data.get("email", ""), form.data.get("password", "")
    _count_attempt(email)
    user = _check_password(email, password)
    if user is None:
        form.errors = {"": [REFUSED]}
        return make_response(render_template("dashboard/sign_in.html", form=form), 403)
    throttle.forget(_account_subject(email))
    response = to_next(request.args.get("next"))
    begin_session(response, user)
    db.session.commit()
    return response


def _count_attempt(email: str) -> None:
    """Raise Throttled after too many attempts on one account, there or not, or from one address."""
    now = utcnow()
    waits = [
        throttle.count(subject, limit=limit, seconds=ATTEMPTS_SECONDS, now=now)
        for subject, limit in (
            (_account_subject(email), ATTEMPTS_PER_ACCOUNT),
            (f"sign-in:{_network(request.remote_addr or '')}", ATTEMPTS_PER_ADDRESS),
        )
    ]
    db.session.commit()
    if any(waits):
        raise Throttled(max(waits))


def _account_subject(email: str) -> str:
    """Return what the attempts on an account are counted under."""
    return f"sign-in:{hashlib.sha256(email.strip().lower().encode()).hexdigest()}"


def _network(address: str) -> str:
    """Return the address, or the /64 that one user of IPv6 has to themselves."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return (
        address if parsed.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
    )


def _check_password(email: str, password: str) -> User | None:
    """Return the user whom these let in. It takes as long when there is none."""
    user = members.find_user(email)
    known = None if user is None or user.disabled else user.password_hash
    # No transaction is open while the hash is made: on SQLite everyone else would wait for it.
    db.session.rollback()
    if not passwords.verify_password(known, password):
        return None
    user = members.find_user(email)
    if user is None or user.disabled or user.password_hash != known:
        return None
    return user


def begin_session(response: AnyResponse, user: User) -> None:
    """Sign *user* in with this response. Whatever the browser had before is worth nothing."""
    sessions.end(request.cookies.get(COOKIE, ""))
    state.clear()
    now = utcnow()
    sessions.purge(idle=idle_time(), now=now)
    token = sessions.start(
        user,
        idle=idle_time(),
        now=now,
        address=request.remote_addr or "",
        user_agent=request.headers.get("User-Agent", ""),
    )
    sign_in_cookie(response, token)


@blp.page("/sign-out", role=PUBLIC, methods=["POST"])
def sign_out() -> AnyResponse:
    """End the session here and in the database."""
    sessions.end(request.cookies.get(COOKIE, ""))
    db.session.commit()
    state.clear()
    response = to_next(request.args.get("next") or "/sign-in")
    forget_cookie(response)
    return response


@blp.page("/set-up", role=PUBLIC)
def set_up() -> AnyResponse | str:
    """Ask for the first owner, as long as there is nobody."""
    if not members.needs_set_up():
        return redirect(url_for("dashboard.sign_in"), 303)
    return _set_up_page(Form())


def _set_up_page(form: Form) -> str:
    return render_template(
        "dashboard/setup.html", form=form, organizations=members.list_organizations()
    )


@blp.page("/set-up", role=PUBLIC, methods=["POST"])
def set_up_owner() -> AnyResponse:
    """Make the first owner and sign them in."""
    if not members.needs_set_up():
        raise members.AlreadySetUp()
    form = read_form(SetUpForm)
    password_hash = new_hash(form, form.typed.get("email", ""))
    for field in ("organization_slug", "project_slug"):
        _check_slug(form, field)
    if form.errors:
        return make_response(_set_up_page(form), 400)
    data = form.data
    user = members.set_up(
        email=data["email"],
        name=data["name"],
        password_hash=password_hash,
        organization=NewProject(data["organization"], data["organization_slug"]),
        project=NewProject(data["project"], data["project_slug"]),
        now=utcnow(),
    )
    response = to_next("/")
    begin_session(response, user)
    db.session.commit()
    return response


def _check_slug(form: Form, field: str) -> None:
    slug = form.typed.get(field, "").strip()
    try:
        if slug and field not in form.errors:
            accounts.checked_slug(slug)
    except ValidationFailed as error:
        form.add(ValidationFailed.one(field, error.errors[0].detail))


def new_hash(form: Form, email: str) -> str:
    """Return the hash of the form's new password; what is wrong with it goes into the form."""
    db.session.rollback()  # Nobody waits for the hash to be made.
    if form.errors:
        return ""
    try:
        passwords.check_strength(form.data["password"], email=email)
    except ValidationFailed as error:
        form.add(error)
        return ""
    return passwords.hash_password(form.data["password"])


@blp.page("/account", role=SIGNED_IN)
def account() -> str:
    """Show the password form and the browsers in which the user is signed in."""
    return _account_page(Form())


def _account_page(form: Form) -> str:
    user = current_user()
    return render_template(
        "dashboard/account.html",
        form=form,
        frame=home_frame(_origin()),
        of=_origin() or None,
        user=user,
        memberships=memberships_of(user.id),
        sessions=sessions.list_for(user, idle=idle_time(), now=utcnow()),
        current=current_visit().session_id,
    )


def _origin() -> str:
    """Return the organization from which the visitor came to their account."""
    return request.args.get("of", "")


@blp.page("/account/password", role=SIGNED_IN, methods=["POST"])
def change_password() -> AnyResponse:
    """Change the password; every session of the user ends, and this browser gets a new one."""
    form = read_form(PasswordForm)
    email = current_visit().email
    _count_attempt(email)
    if not form.errors and _check_password(email, form.data["current"]) is None:
        form.errors = {"current": ["This is not your password."]}
    password_hash = new_hash(form, email)
    if form.errors:
        return make_response(_account_page(form), 400)
    user = current_user()
    members.change_password(user, password_hash, actor=current_actor(), now=utcnow())
    response = redirect(url_for("dashboard.account", of=_origin() or None), 303)
    begin_session(response, user)
    db.session.commit()
    flash("Your password is changed, and other browsers are signed out.", "success")
    return response


@blp.page("/account/sessions/<int:session_id>/end", role=SIGNED_IN, methods=["POST"])
def end_session(session_id: int) -> AnyResponse:
    """Sign another browser out."""
    user = current_user()
    sessions.end_one(user, session_id)
    audit.record_for_user(current_actor(), user.id, "user.end-session", user.email, now=utcnow())
    db.session.commit()
    flash("That browser is signed out.", "success")
    return redirect(url_for("dashboard.account", of=_origin() or None), 303)
