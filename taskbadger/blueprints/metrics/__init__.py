"""``/metrics`` for Prometheus; docs/operating.md#metrics."""

from collections.abc import Callable, Iterable
from hmac import compare_digest
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, request
from flask_smorest import Api

from taskbadger.blueprints.api import auth, authenticate, check_rate
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotInstalled, PermissionDenied, SettingsError
from taskbadger.extensions import db
from taskbadger.http_figures import http_families
from taskbadger.process import current_process, process_of
from taskbadger.services.metrics.figures import read_figures
from taskbadger.services.metrics.scope import Scope

if TYPE_CHECKING:
    from prometheus_client import Metric

EXTRA = "pip install 'taskbadger-server[metrics]'"
HOST_FAMILIES: "tuple[Callable[[], Iterable[Metric]], ...]" = (http_families,)
"""What yields the families of this host, read anew for each scrape of the whole server."""

blp = Blueprint("metrics", __name__)


@blp.get("/metrics")
def metrics() -> Response:
    """Answer with the figures that the token or the key may see."""
    scope = _authorize()
    if not _is_installed():
        raise NotInstalled(f"Metrics need another library on the server: {EXTRA}")
    # Imported with the first scrape: most processes need none of it.
    from taskbadger.blueprints.metrics import families  # noqa: PLC0415

    content_type = families.CONTENT_TYPES[_prefers_openmetrics()]
    process = current_process()

    def render() -> str:
        names = process.settings.METRICS_NAMES
        figures = read_figures(scope, max_names=names, now=utcnow())
        return families.write(families.families_of(figures, db.engine.dialect.name), content_type)

    text = process.metrics.get((scope, content_type), render)
    if scope.is_server:
        of_host = [family for source in HOST_FAMILIES for family in source()]
        text = families.join(text, families.write(of_host, content_type))
    response = Response(text, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    return response


def _authorize() -> Scope:
    """Return what the request may see. Raises NotAuthenticated and its like."""
    expected, header = current_process().settings.METRICS_TOKEN, auth.get_auth()
    given = (header and header.token) or ""
    if expected and compare_digest(given.encode(), expected.encode()):
        return Scope()
    access = authenticate()
    if not scopes.allows(access.scopes, "GET", write_scope=scopes.ADMIN):
        raise PermissionDenied()
    check_rate(access)
    project_id = None if access.project is None else access.project.id
    return Scope(access.organization_id, project_id)


def _prefers_openmetrics() -> bool:
    """Say whether the client likes OpenMetrics at least as much as the older text format."""
    quality = dict.fromkeys(("application/openmetrics-text", "text/plain"), 0.0)
    for accepted, wanted in request.accept_mimetypes:
        name = accepted.partition(";")[0].strip().lower()
        if name in quality:
            quality[name] = max(quality[name], wanted)
    openmetrics, text = quality.values()
    return openmetrics > 0 and openmetrics >= text


def _is_installed() -> bool:
    return find_spec("prometheus_client") is not None


def register(app: Flask, api: Api) -> None:
    """Add the endpoint. Raises SettingsError if it is set up, and its library is missing."""
    if process_of(app).settings.METRICS_TOKEN and not _is_installed():
        raise SettingsError(f"TASKBADGER_METRICS_TOKEN needs another library: {EXTRA}")
    app.register_blueprint(blp)
