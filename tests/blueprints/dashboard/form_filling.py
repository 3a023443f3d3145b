"""The forms of a page, and filling them in as a browser would."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class PageForm:
    """A form that is posted: where to, and what stands in it."""

    action: str
    standing: dict[str, str] = field(default_factory=dict)
    """What a browser would send without anybody typing."""
    addresses: set[str] = field(default_factory=set)
    """The inputs that take an e-mail address."""


class _Reader(HTMLParser):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.forms: list[PageForm] = []
        self.current: PageForm | None = None
        self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, Any] = dict(attrs)
        if "formaction" in found:
            sent = {found["name"]: found.get("value") or ""} if found.get("name") else {}
            self.forms.append(PageForm(found["formaction"], sent))
        elif tag == "form":
            is_post = found.get("method") == "post"
            self.current = PageForm(found.get("action") or self.path) if is_post else None
            self.forms += [self.current] if self.current else []
        elif self.current is None:
            return
        elif tag == "select":
            self.select = found.get("name") or ""
        elif tag == "option" and self.select:
            if self.select not in self.current.standing or "selected" in found:
                self.current.standing[self.select] = found.get("value") or ""
        elif tag in ("input", "textarea", "button") and found.get("name"):
            self._take(self.current, tag, found)

    def _take(self, form: PageForm, tag: str, found: dict[str, Any]) -> None:
        kind = found.get("type", "text") if tag == "input" else tag
        if kind == "email":
            form.addresses.add(found["name"])
        if kind not in ("checkbox", "radio", "button") or "checked" in found:
            form.standing[found["name"]] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.current = None
        if tag == "select":
            self.select = ""


def read_forms(path: str, page: str) -> list[PageForm]:
    """Return the forms of the page at *path* that are posted."""
    reader = _Reader(path)
    reader.feed(page)
    return reader.forms
