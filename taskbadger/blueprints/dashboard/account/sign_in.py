"""Signing in and out, the first owner, and a person's own account."""

from collections.abc import Callable

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

from taskbadger.blueprints.dashboard import drafts
from taskbadger.blueprints.dashboard.access import PUBLIC, SIGNED_IN, blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.navigation import home_frame
from taskbadger.blueprints.dashboard.redirects import to_next
from taskbadger.blueprints.dashboard.visit import (
    COOKIE,
    current_actor,
    current_user,
    current_visit,
    find_visit,
    forget_cookie,
    idle_time,
    sign_in_cookie,
)
from taskbadger.clock import utcnow
from taskbadger.domain.zones import list_timezones
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import User
from taskbadger.process import current_process
from taskbadger.schemas.people import PasswordForm, SetUpForm, SignInForm
from taskbadger.services.digests.settings import why_unreachable
from taskbadger.services.organizations import organizations
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.people import attempts, members, passwords, sessions, users

REFUSED = "Wrong e-mail or password."


@blp.page("/", role=SIGNED_IN)
def start() -> AnyResponse | str:
    """Redirect to the user's first organization."""
    found = members.list_memberships(current_visit().user_id)
    if not found:
        return render_template("dashboard/account/no_organization.html", user=current_visit())
    return redirect(f"{request.script_root}/a/{found[0].organization.slug}/", 303)


@blp.page("/sign-in", role=PUBLIC)
def sign_in() -> AnyResponse | str:
    """Show the sign-in form, or the set-up on an empty server."""
    if users.needs_set_up():
        return redirect(url_for("dashboard.set_up"), 303)
    if find_visit() is not None:
        return to_next(request.args.get("next"))
    return render_template("dashboard/account/sign_in.html", form=Form())


@blp.page("/sign-in", role=PUBLIC, methods=["POST"])
def sign_in_with_password() -> AnyResponse:
    """Check the password and start a new session."""
    form = read_form(SignInForm)
    email, password = form.data.get("email", ""), form.data.get("password", "")
    _count_attempt(email)
    user = _check_password(email, password)
    if user is None:
        form.errors = {"": [REFUSED]}
        return make_response(render_template("dashboard/account/sign_in.html", form=form), 403)
    attempts.forget_attempts(email, request.remote_addr or "")
    response = to_next(request.args.get("next"))
    begin_session(response, user)
    db.session.commit()
    return response


def _count_attempt(email: str) -> None:
    attempts.count_attempt(email, request.remote_addr or "", now=utcnow())


def _check_password(email: str, password: str) -> User | None:
    """Return the user with this password, or None. Both take equally long."""
    user = users.find_user(email)
    known = None if user is None or user.disabled else user.password_hash
    # Hashing is slow: end the transaction first, or all writers on SQLite would wait.
    db.session.rollback()
    if not passwords.verify_password(known, password):
        return None
    user = users.find_user(email)
    if user is None or user.disabled or user.password_hash != known:
        return None
    return user


def begin_session(response: AnyResponse, user: User) -> None:
    """Start a session of *user* with this response; the browser's old session ends."""
    sessions.end(request.cookies.get(COOKIE, ""))
    drafts.end_drafts(user.id)
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
    """End the session in the browser and in the database."""
    sessions.end(request.cookies.get(COOKIE, ""))
    db.session.commit()
    state.clear()
    response = to_next(request.args.get("next") or "/sign-in")
    forget_cookie(response)
    return response


@blp.page("/set-up", role=PUBLIC)
def set_up() -> AnyResponse | str:
    """Show the form for the first owner, as long as there is no user."""
    if not users.needs_set_up():
        return redirect(url_for("dashboard.sign_in"), 303)
    return _set_up_page(Form())


def _set_up_page(form: Form) -> str:
    return render_template(
        "dashboard/account/setup.html", form=form, organizations=organizations.list_organizations()
    )


@blp.page("/set-up", role=PUBLIC, methods=["POST"])
def set_up_owner() -> AnyResponse:
    """Create the first owner and sign them in."""
    if not users.needs_set_up():
        raise users.AlreadySetUp()
    form = read_form(SetUpForm)
    password_hash = new_hash(form, form.typed.get("email", ""))
    _check_slug(form, "organization_slug", organizations.checked_organization_slug)
    _check_slug(form, "project_slug", organizations.checked_slug)
    if form.errors:
        return make_response(_set_up_page(form), 400)
    data = form.data
    user = users.set_up(
        email=data["email"],
        name=data["name"],
        password_hash=password_hash,
        organization=NewProject(data["organization"], data["organization_slug"]),
        project=NewProject(
            data["project"],
            data["project_slug"],
            current_process().settings.default_retention,
        ),
        now=utcnow(),
    )
    response = to_next("/")
    begin_session(response, user)
    db.session.commit()
    return response


def _check_slug(form: Form, field: str, check: Callable[[str], str]) -> None:
    slug = form.typed.get(field, "").strip()
    try:
        if slug and field not in form.errors:
            check(slug)
    except ValidationFailed as error:
        form.add(ValidationFailed.one(field, error.errors[0].detail))


def new_hash(form: Form, email: str) -> str:
    """Return the hash of the form's new password; errors are added to the form."""
    db.session.rollback()  # Hashing is slow: no writer should wait.
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
    return account_page(Form())


def account_page(form: Form) -> str:
    """Return the page of the visitor's account; *form* is the one of its forms that was sent."""
    user = current_user()
    return render_template(
        "dashboard/account/account.html",
        form=form,
        frame=home_frame(origin()),
        of=origin() or None,
        user=user,
        memberships=members.list_memberships(user.id),
        sessions=sessions.list_for(user, idle=idle_time(), now=utcnow()),
        current=current_visit().session_id,
        timezones=list_timezones(),
        unreachable=why_unreachable(user.email),
    )


def origin() -> str:
    """Return the slug of the organization that the visitor came from."""
    return request.args.get("of", "")


@blp.page("/account/password", role=SIGNED_IN, methods=["POST"])
def change_password() -> AnyResponse:
    """Change the password. All sessions end; this browser gets a new one."""
    form = read_form(PasswordForm)
    email = current_visit().email
    _count_attempt(email)
    if not form.errors and _check_password(email, form.data["current"]) is None:
        form.errors = {"current": ["Wrong password."]}
    password_hash = new_hash(form, email)
    if form.errors:
        return make_response(account_page(form), 400)
    user = current_user()
    users.change_password(user, password_hash, actor=current_actor(), now=utcnow())
    response = redirect(url_for("dashboard.account", of=origin() or None), 303)
    begin_session(response, user)
    db.session.commit()
    flash("Your password has been changed. Other browsers have been signed out.", "success")
    return response


@blp.page("/account/sessions/<int:session_id>/end", role=SIGNED_IN, methods=["POST"])
def end_session(session_id: int) -> AnyResponse:
    """Sign another browser out."""
    sessions.end_one(current_user(), session_id, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash("That browser has been signed out.", "success")
    return redirect(url_for("dashboard.account", of=origin() or None), 303)
