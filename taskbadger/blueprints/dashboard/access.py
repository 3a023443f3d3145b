"""Who may open a page. Each route of a Pages blueprint declares the minimum role.

Usage::

    @blp.page("/a/<organization_slug>/tasks/", role=roles.READ)
    def task_list() -> Response: ...

    @blp.page("/a/<organization_slug>/tasks/cancel", role=roles.CHANGE_TASKS, methods=["POST"])
    def cancel_tasks() -> Response: ...

The slug is taken out of the view's arguments, and ``url_for`` adds it again.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, g, request
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard import drafts
from taskbadger.blueprints.dashboard.formats import duration
from taskbadger.blueprints.dashboard.redirects import to_sign_in
from taskbadger.blueprints.dashboard.visit import find_visit
from taskbadger.blueprints.problems import problem_page
from taskbadger.domain import roles
from taskbadger.errors import NotFound, PermissionDenied, TaskBadgerError, Throttled

PUBLIC = "public"
"""For anyone, signed in or not."""
SIGNED_IN = "signed in"
"""For anyone who is signed in, in whatever organization."""

_SLUG = "organization_slug"
_NUL = "\x00"


class BadText(TaskBadgerError):
    """Null characters are not allowed."""

    status = 400
    code = "invalid"


class Pages(Blueprint):
    """A blueprint whose routes each declare the minimum role; anyone below it gets a 403."""

    def __init__(self, name: str, import_name: str, **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self.minimum_roles: dict[str, str] = {}
        """The minimum role of each endpoint (without the blueprint's name), PUBLIC or SIGNED_IN."""
        self.url_value_preprocessor(_take_slug)
        self.app_url_defaults(_give_slug)
        self.before_request(self._admit)
        self.drafts: set[str] = set()
        """The endpoints whose forms are kept when the session has ended."""
        self.after_request(_keep_private)
        self.after_request(_finish)
        self.register_error_handler(TaskBadgerError, _on_error)

    def page(
        self,
        rule: str,
        *,
        role: str,
        methods: tuple[str, ...] | list[str] = ("GET",),
        keeps_draft: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add a view for those who have at least *role*, or for PUBLIC or SIGNED_IN.

        With *keeps_draft*, what is typed into its form survives the end of the session.
        """

        def add(view: Callable[..., Any]) -> Callable[..., Any]:
            self.add_url_rule(rule, view_func=view, role=role, methods=list(methods))
            if keeps_draft:
                self.drafts.add(view.__name__)
            return view

        return add

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        provide_automatic_options: bool | None = None,
        *,
        role: str | None = None,
        **options: Any,
    ) -> None:
        """Add a URL rule; raises ValueError without a valid minimum role."""
        if role not in (*roles.ROLES, PUBLIC, SIGNED_IN):
            raise ValueError(f"{rule}: declare the minimum role, as in role=roles.READ")
        if (role in roles.ROLES) != (f"<{_SLUG}>" in rule):
            raise ValueError(f"{rule}: roles are for pages below /a/<{_SLUG}>/, and only those")
        name = endpoint or view_func.__name__
        if self.minimum_roles.setdefault(name, role) != role:
            raise ValueError(f"{name} has two minimum roles")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def _admit(self) -> AnyResponse | None:
        if _NUL in request.path:
            raise NotFound()
        if request.method == "OPTIONS":  # Answered from the route table alone.
            return None
        answer = self._check_role()
        if answer is None:
            _check_text()
            drafts.take_draft()
        return answer

    def _check_role(self) -> AnyResponse | None:
        endpoint = (request.endpoint or "").removeprefix(f"{self.name}.")
        role = self.minimum_roles[endpoint]
        if role == PUBLIC:
            return None
        visit = find_visit()
        if visit is None:
            return to_sign_in(keeps_draft=endpoint in self.drafts)
        if role == SIGNED_IN:
            return None
        if visit.member is None:
            raise NotFound()
        if not roles.includes(visit.member.role, role):
            raise PermissionDenied(f"This requires the role {role}; yours is {visit.member.role}.")
        return None


def _check_text() -> None:
    """Raise BadText for a NUL in the query or the form: PostgreSQL takes none."""
    values = [*request.args.items(multi=True), *request.form.items(multi=True)]
    if any(_NUL in text for pair in values for text in pair):
        raise BadText()


def _take_slug(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values and _SLUG in values:
        g.organization_slug = values.pop(_SLUG)


def _give_slug(endpoint: str, values: dict[str, Any]) -> None:
    if _SLUG in values or "organization_slug" not in g:
        return
    if current_app.url_map.is_endpoint_expecting(endpoint, _SLUG):
        values[_SLUG] = g.organization_slug


def _finish(response: Response) -> Response:
    """Fill in what the visitor typed before signing in, and note who types now."""
    drafts.note_person()
    return drafts.fill_in(response)


def _keep_private(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _on_error(error: TaskBadgerError) -> Response:
    detail = "This page does not exist, or you don’t have access to it."
    if error.status != 404 or error.detail != NotFound().detail:
        detail = error.detail
    if isinstance(error, Throttled):
        detail = f"Try again in {duration(error.retry_after)}."
    return problem_page(error.status, detail, error.retry_after, getattr(error, "title", None))


blp = Pages("dashboard", __name__, template_folder="templates")
