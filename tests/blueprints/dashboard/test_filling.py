"""Forms that are filled in as a browser would have them after typing."""

import pytest

from taskbadger.blueprints.dashboard.filling import fill

PAGE = "/a/acme/things/"


def filled(inside: str, *, attributes: str = 'method="post"', **fields: list[str]) -> str:
    """Return what becomes of the inside of a form."""
    page = f"<!doctype html><form {attributes}>{inside}</form><p>&amp; &#39; <!-- x --></p>"
    found = fill(page, PAGE, PAGE, fields)
    before, _, after = found.partition(f"<form {attributes}>")
    inner, _, rest = after.partition("</form>")
    assert (before, rest) == ("<!doctype html>", "<p>&amp; &#39; <!-- x --></p>")
    return inner


@pytest.mark.parametrize(
    ("inside", "fields", "result"),
    [
        (
            '<input name="a" value="old" required>',
            {"a": ['"><script>']},
            '<input name="a" value="&quot;&gt;&lt;script&gt;" required>',
        ),
        ('<input name="a">', {"a": [""]}, '<input name="a" value="">'),
        ('<input name="a" value="old">', {"b": ["x"]}, '<input name="a" value="old">'),
        (
            '<input name="a"><input name="a">',
            {"a": ["1", "2"]},
            '<input name="a" value="1"><input name="a" value="2">',
        ),
        ('<input name="a" type="password">', {"a": ["x"]}, '<input name="a" type="password">'),
        (
            '<input name="csrf_token" type="hidden" value="new"><input name="once" value="new">',
            {"csrf_token": ["old"], "once": ["old"]},
            '<input name="csrf_token" type="hidden" value="new"><input name="once" value="new">',
        ),
        (
            '<input type="checkbox" name="a" value="1" checked><input type="checkbox" name="b">',
            {"b": ["on"]},
            '<input type="checkbox" name="a" value="1"><input type="checkbox" name="b" checked>',
        ),
        (
            '<input type="radio" name="a" value="1" checked><input type="radio" name="a" value="">',
            {"a": [""]},
            '<input type="radio" name="a" value="1"><input type="radio" name="a" value="" checked>',
        ),
        (
            '<select name="a"><option value="1" selected>One</option><option>two</option></select>',
            {"a": ["two"]},
            '<select name="a"><option value="1">One</option><option selected>two</option></select>',
        ),
        (
            '<select name="a"><option value="1" selected>One</option></select>',
            {"b": ["two"]},
            '<select name="a"><option value="1" selected>One</option></select>',
        ),
        (
            '<textarea name="a">old &amp; gone</textarea><b>x</b>',
            {"a": ["\nnew </textarea>"]},
            '<textarea name="a">\n\nnew &lt;/textarea&gt;</textarea><b>x</b>',
        ),
        (
            '<input list="zones" name="timezone" data-own-zone value="UTC">',
            {"timezone": ["Asia/Tokyo"]},
            '<input list="zones" name="timezone" value="Asia/Tokyo">',
        ),
        (
            '<details id="x"><summary>More</summary><input name="a"></details><details></details>',
            {"a": ["typed"]},
            '<details id="x" open><summary>More</summary><input name="a" value="typed"></details>'
            "<details></details>",
        ),
        (
            '<details><input name="a"></details>',
            {"a": [""]},
            '<details><input name="a" value=""></details>',
        ),
    ],
)
def test_fields_are_filled_in(inside: str, fields: dict[str, list[str]], result: str) -> None:
    assert filled(inside, **fields) == result


@pytest.mark.parametrize(
    "attributes",
    ['method="get"', "", 'method="post" action="/a/acme/others/"', 'method="post" action="/"'],
)
def test_other_forms_stay_as_they_are(attributes: str) -> None:
    inside = '<input name="a" value="old"><input type="checkbox" name="b" checked>'

    assert filled(inside, attributes=attributes, a=["new"]) == inside


@pytest.mark.parametrize("action", [PAGE, f"{PAGE}?draft=x", f"http://host{PAGE}"])
def test_form_is_known_by_the_path_that_it_is_sent_to(action: str) -> None:
    attributes = f'method="post" action="{action}"'

    assert (
        filled('<input name="a">', attributes=attributes, a=["x"]) == '<input name="a" value="x">'
    )


def test_form_with_a_preview_says_that_it_is_filled_in() -> None:
    page = '<form method="post" data-preview="/p"><input name="a"></form>'

    assert fill(page, PAGE, PAGE, {"a": ["x"]}) == (
        '<form method="post" data-preview="/p" data-filled><input name="a" value="x"></form>'
    )
