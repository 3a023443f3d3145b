"""Fills a form of a page with values, as a browser would have them after typing."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape
from html.parser import HTMLParser
from urllib.parse import urlsplit

Attributes = dict[str, str | None]

NEVER_FILLED = ("csrf_token", "once")
"""Fields that belong to one page."""
_TICKED = ("checkbox", "radio")
_NOT_TYPED = ("password", "file", "submit", "button", "image", "reset")


def fill(page: str, action: str, path: str, fields: Mapping[str, Sequence[str]]) -> str:
    """Return the HTML *page* of *path* with its form for *action* filled in.

    Passwords are never filled in. Folded parts of the page that have a value are opened.
    """
    filler = _Filler(action, path, fields)
    filler.feed(page)
    filler.close()
    return "".join(filler.written)


class _Filler(HTMLParser):
    """Writes a page again, with the values in place."""

    def __init__(self, action: str, path: str, fields: Mapping[str, Sequence[str]]) -> None:
        super().__init__(convert_charrefs=False)
        self.written: list[str] = []
        self._action, self._path = action, path
        self._fields = fields
        self._next: defaultdict[str, int] = defaultdict(int)
        self._is_inside = False
        self._folds: list[int] = []
        """Where the open <details> elements are written."""
        self._select: str | None = None
        self._option: Attributes | None = None
        """An option whose text is its value, and has not come yet."""
        self._is_replaced = False
        """Whether what is read now is the old text of a <textarea>."""

    def _write(self, text: str) -> None:
        if not self._is_replaced:
            self.written.append(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._flush_option("")
        given = dict(attrs)
        if tag == "details":
            self._folds.append(len(self.written))
        if tag == "form":
            self._is_inside = self._is_wanted(given)
            if self._is_inside and "data-preview" in given:
                given["data-filled"] = None
                self._write_tag(tag, given)
                return
        handle = self._handlers().get(tag) if self._is_inside else None
        if handle is None:
            self._write(self.get_starttag_text() or "")
        else:
            handle(given)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            self.handle_starttag(tag, attrs)
        else:
            self._flush_option("")
            self._write(self.get_starttag_text() or "")

    def _handlers(self) -> dict[str, Callable[[Attributes], None]]:
        return {
            "input": self._fill_input,
            "textarea": self._fill_textarea,
            "select": self._begin_select,
            "option": self._fill_option,
        }

    def _is_wanted(self, form: Attributes) -> bool:
        action = urlsplit(form.get("action") or self._path).path
        return (form.get("method") or "").lower() == "post" and action == self._action

    def _fill_input(self, given: Attributes) -> None:
        name, kind = given.get("name") or "", given.get("type") or "text"
        if kind in _TICKED and name not in NEVER_FILLED:
            value = given.get("value", "on") or ""
            self._mark(given, "checked", value in self._fields.get(name, ()))
        elif kind not in _NOT_TYPED and (typed := self._take(name)) is not None:
            given["value"] = typed
            # A script would suggest something else.
            given.pop("data-own-zone", None)
            self._unfold(typed if kind != "hidden" else "")
        self._write_tag("input", given)

    def _fill_textarea(self, given: Attributes) -> None:
        value = self._take(given.get("name") or "")
        self._write_tag("textarea", given)
        if value is not None:
            self._unfold(value)
            self._write("\n" + escape(value, quote=False))
            self._is_replaced = True

    def _begin_select(self, given: Attributes) -> None:
        self._select = given.get("name")
        self._write_tag("select", given)

    def _fill_option(self, given: Attributes) -> None:
        if self._select not in self._fields:
            self._write_tag("option", given)
        elif "value" in given:
            self._mark(given, "selected", (given["value"] or "") in self._values_of_select())
            self._write_tag("option", given)
        else:
            self._option = given

    def _values_of_select(self) -> Sequence[str]:
        return self._fields.get(self._select or "", ())

    def _flush_option(self, text: str) -> None:
        if self._option is not None:
            given, self._option = self._option, None
            self._mark(given, "selected", text.strip() in self._values_of_select())
            self._write_tag("option", given)

    def _take(self, name: str) -> str | None:
        """Return the next value of a field; None if there is none."""
        values, at = self._fields.get(name, ()), self._next[name]
        if name in NEVER_FILLED or at >= len(values):
            return None
        self._next[name] += 1
        return values[at]

    def _mark(self, given: Attributes, attribute: str, is_set: bool) -> None:
        given.pop(attribute, None)
        if is_set:
            given[attribute] = None
            self._unfold(attribute if attribute == "checked" else "")

    def _unfold(self, value: str) -> None:
        """Open what is folded around a field that has a value."""
        for place in self._folds if value else ():
            tag = self.written[place]
            if " open" not in tag:
                self.written[place] = f"{tag[:-1]} open>"

    def _write_tag(self, tag: str, given: Attributes) -> None:
        parts = [
            name if value is None else f'{name}="{escape(value)}"' for name, value in given.items()
        ]
        self._write(f"<{' '.join([tag, *parts])}>")

    def handle_endtag(self, tag: str) -> None:
        self._flush_option("")
        if tag == "textarea":
            self._is_replaced = False
        if tag == "select":
            self._select = None
        if tag == "form":
            self._is_inside = False
        if tag == "details" and self._folds:
            self._folds.pop()
        self._write(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._flush_option(data)
        self._write(data)

    def handle_entityref(self, name: str) -> None:
        self._write(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._write(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._write(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._write(f"<!{decl}>")
