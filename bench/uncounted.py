"""The application as it is without the extra ``metrics``, for a comparison."""

from taskbadger import http_figures

http_figures.find_spec = lambda _name: None

from wsgi import app  # noqa: E402

__all__ = ["app"]
