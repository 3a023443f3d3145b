"""The requests of ``docs/management.md``, sent in order, and the answers that it shows."""

import json
import re
from typing import Any

from conftest import ROOT, ApiClient
from flask import Flask
from managing import manager
from people import make_member

from taskbadger.domain.identity import ProjectRef

PAGE = (ROOT / "docs" / "management.md").read_text()
EXCHANGES = re.findall(
    r"```http\n(\w+) (\S+)\n(.*?)```\n\n```json\n(\d+)\n(.*?)```", PAGE, re.DOTALL
)
ANY = "…"


def test_every_request_is_answered_as_the_page_shows(app: Flask, project: ProjectRef) -> None:
    make_member("ada@example.org")
    admin = manager(app)

    answers = [_send(admin, method, path, body) for method, path, body, _, _ in EXCHANGES]

    shown = [(int(status), json.loads(text)) for *_, status, text in EXCHANGES]
    assert [
        (status, _with_gaps(found, documented))
        for (status, found), (_, documented) in zip(answers, shown, strict=True)
    ] == shown
    assert len(shown) == PAGE.count("```http") == 12


def _send(admin: ApiClient, method: str, path: str, body: str) -> tuple[int, Any]:
    answer = admin.open(method, path, json=json.loads(body) if body else None)
    return answer.status_code, answer.json


def _with_gaps(found: Any, documented: Any) -> Any:
    """Return *found* with … where the page has it, since nobody can know what stands there."""
    if documented == ANY:
        return ANY
    if isinstance(found, dict) and isinstance(documented, dict):
        return {name: _with_gaps(found[name], documented.get(name)) for name in found}
    if isinstance(found, list) and isinstance(documented, list) and len(found) == len(documented):
        return [_with_gaps(*pair) for pair in zip(found, documented, strict=True)]
    return found
