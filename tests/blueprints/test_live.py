"""Live pages: which regions an open page receives again."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask, Response

from taskbadger.blueprints.live import Region, render_live

PAGE = """
{%- if shows("default") %}default: {{ row.name }} {{ row.done }} {{ row.since }}
{% endif %}
{%- if shows("by hand") %}by hand: {{ text }}
{% endif %}"""


@dataclass(frozen=True)
class Row:
    name: str = "job"
    done: bool = False
    since: datetime | None = None
    tags: tuple[str, ...] = ()
    percent: float = 0.5


CHANGES: dict[str, Any] = {
    "name": "Job",
    "done": True,
    "since": datetime(2026, 11, 27, tzinfo=UTC) + timedelta(microseconds=1),
    "tags": ("prod",),
    "percent": 0.51,
}


@dataclass
class Shown:
    """What the page shows; *version* is that of the whole page."""

    version: int = 1
    row: Row = Row()
    text: str = "text"
    contexts: int = 0


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def app(shown: Shown, tmp_path: Any) -> Flask:
    (tmp_path / "page.html").write_text(PAGE)
    app = Flask(__name__, template_folder=str(tmp_path))

    def default() -> dict[str, Any]:
        shown.contexts += 1
        return {"row": shown.row}

    @app.get("/")
    def page() -> Response:
        regions = {
            "default": Region(default),
            "by hand": Region(lambda: {"text": shown.text}, version=lambda: len(shown.text)),
        }
        return render_live("page.html", str(shown.version), dict, regions=regions)

    return app


def poll(app: Flask, etag: str) -> tuple[int, str, str]:
    """Ask as an open page does; return the status, the text and the new ETag."""
    headers = {"X-Live": "1", "If-None-Match": f'"{etag}"'}
    response = app.test_client().get("/", headers=headers)
    return response.status_code, response.text, response.headers["ETag"].strip('"')


@pytest.mark.parametrize("name", [field.name for field in fields(Row)])
def test_region_is_sent_again_when_any_of_its_data_changed(
    app: Flask, shown: Shown, name: str
) -> None:
    _, whole, etag = poll(app, "")
    shown.version, shown.row = 2, replace(shown.row, **{name: CHANGES[name]})

    status, text, _ = poll(app, etag)

    assert whole.split() == ["default:", "job", "False", "None", "by", "hand:", "text"]
    assert (status, text.split()[0], "by hand" in text) == (200, "default:", False)


def test_new_version_of_the_page_with_the_same_regions_is_not_sent(
    app: Flask, shown: Shown
) -> None:
    _, _, etag = poll(app, "")
    shown.version = 2

    status, text, later = poll(app, etag)

    assert (status, text, later == etag) == (304, "", False)
    assert poll(app, later)[0] == 304


def test_version_written_by_hand_decides_for_its_region(app: Flask, shown: Shown) -> None:
    _, _, etag = poll(app, "")
    shown.version, shown.text = 2, "TEXT"
    unseen = poll(app, etag)
    shown.version, shown.text = 3, "longer"

    status, text, _ = poll(app, etag)

    assert unseen[0] == 304
    assert (status, text.split()) == (200, ["by", "hand:", "longer"])


def test_data_of_a_region_is_made_once_for_an_answer(app: Flask, shown: Shown) -> None:
    poll(app, "")

    assert shown.contexts == 1
