"""The interactive documentation of the API."""

from flask import Blueprint, Flask, render_template
from flask_smorest import Api

blp = Blueprint("docs", __name__, url_prefix="/api/docs", template_folder="templates")


@blp.get("", strict_slashes=True)
@blp.get("/", strict_slashes=True)
def page() -> str:
    """Show Swagger UI on our own OpenAPI document."""
    return render_template("docs/page.html")


def register(app: Flask, api: Api) -> None:
    app.register_blueprint(blp)
