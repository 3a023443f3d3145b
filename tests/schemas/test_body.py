"""Reading bodies: what is JSON for docs/contract.md#errors, and what is kept to the letter."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskbadger.errors import FieldError, ParseError, ValidationFailed
from taskbadger.schemas.body import digest, read_batch, read_object
from taskbadger.schemas.fields import RawJSON


def read(body: bytes) -> tuple[dict[str, Any], list[FieldError]]:
    found = read_object(body)
    return dict(found), found.wrong


def nested(depth: int, left: str, right: str) -> bytes:
    """Return an object that is nested *depth* levels deep, itself included."""
    return f'{{"data":{left * (depth - 1)}1{right * (depth - 1)}}}'.encode()


@pytest.mark.parametrize("body", [b"", b" \n\t\r ", b"{}", b" { } "])
def test_empty_body_is_an_empty_object(body: bytes) -> None:
    assert read(body) == ({}, [])


def test_spaces_may_stand_between_all_tokens() -> None:
    assert read(b' {\n"a" :\t[ 1 , 2 ] ,\r "b":null } ') == ({"a": [1, 2], "b": None}, [])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"[",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b'{"a":1 "b":2}',
        b'{,"a":1}',
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":1e}',
        b'{"a":-}',
        b'{"a":0x1}',
        b'{"a":True}',
        b'{"a":nul}',
        b'{"a":"\t"}',
        b'{"a":"\x00"}',
        b'{"a":"\\x"}',
        b'{"a":"\\u12"}',
        b'{"a":"b}',
        b'{"a":1}{}',
        b'{"a":1}]',
        b'{"a":1}//',
        b'{"a":1/**/}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32"),
        b"\x00",
        b"NaN",
        b'{"a":NaN}',
        b'{"a":[Infinity]}',
        b'{"data":{"b":-Infinity}}',
        b'{"a":1}\x0b',
        b"\xc2\xa0{}",
    ],
)
def test_body_that_is_no_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        read(body)

    assert caught.value.detail.startswith("JSON parse error - ")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "a list"),
        (b'"text"', "a string"),
        (b"true", "a boolean"),
        (b"null", "null"),
        (b"17", "number"),
        (b"1.5", "number"),
    ],
)
def test_json_that_is_no_object_is_a_wrong_field(body: bytes, kind: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        read(body)

    detail = f"Invalid data. Expected an object, but got {kind}."
    assert caught.value.errors == (FieldError("invalid", detail, None),)


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_a_hundred_levels_are_read_and_one_more_is_not(left: str, right: str) -> None:
    body, wrong = read(nested(100, left, right))
    assert (list(body), wrong) == (["data"], [])

    with pytest.raises(ParseError) as caught:
        read(nested(101, left, right))
    assert caught.value.detail == "JSON parse error - nested deeper than 100 levels"


def test_endless_nesting_is_a_parse_error() -> None:
    with pytest.raises(ParseError):
        read(b'{"data":' + b"[" * 500_000)


def test_string_without_an_end_is_read_once_and_not_once_for_each_quote() -> None:
    with pytest.raises(ParseError):
        read(b'{"data":' + b"[" * 101 + b'"' + b'\\"' * 500_000)


def test_brackets_in_strings_are_no_levels() -> None:
    text = "[{" * 200 + '\\"' + "[" * 50

    body, wrong = read(f'{{"name":"{text}"}}'.encode())

    assert (body, wrong) == ({"name": text.replace('\\"', '"')}, [])


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "-0",
        "-0.0",
        "1e400",
        "1E+2",
        "0.1000000000000000055511151231257827",
        "12345678901234567890",
        "1" * 5000,
        "-" + "1" * 4301,
        r'"\u0000"',
        r'"\ud83d\ude00 \/"',
        '"\u00e9\u2028"',
        '{"a" : 1, "a": [ 2 ]}',
        "[]",
        "false",
        '""',
    ],
)
def test_data_is_kept_as_the_text_that_came(text: str) -> None:
    body, wrong = read(f'{{"data": {text} , "name":"x"}}'.encode())

    assert body["data"].text == text
    assert (body["name"], wrong) == ("x", [])


def test_null_data_is_none() -> None:
    assert read(b'{"data":null}') == ({"data": None}, [])


def test_last_of_equal_names_counts() -> None:
    body, _ = read(b'{"name":"a","data":1,"name":"b","data":2}')

    assert body == {"name": "b", "data": RawJSON("2", 2)}


def test_integer_of_any_length_is_out_of_every_bound() -> None:
    body, _ = read(b'{"value":' + b"1" * 5000 + b',"other":-' + b"1" * 5000 + b"}")

    assert len(str(body["value"])) > 255  # No text field takes it either.
    assert body["value"] > 2**63
    assert body["other"] < -(2**63)


@pytest.mark.parametrize(
    ("body", "attrs"),
    [
        (r'{"name":"\ud800"}', ["name"]),
        (r'{"name":"\udc00\ud800"}', ["name"]),
        (r'{"data":{"a":["\udfff"]}}', ["data"]),
        (r'{"data":{"\ud800":1}}', ["data"]),
        (r'{"data":{"a":"\ud800","a":1}}', ["data"]),
        (r'{"data":"\\\ud800"}', ["data"]),
        (r'{"tags":{"env":"\ud800","x":"ok"}}', ["tags.env"]),
        (r'{"tags":{"\ud800":"x"}}', [r"tags.\ud800"]),
        (r'{"actions":[{},{"trigger":"\ud800"}]}', ["actions.1.trigger"]),
        (r'{"nobody_knows":"\uDBFF","name":"\uDEAD"}', ["nobody_knows", "name"]),
        (r'{"\ud800":1}', [r"\ud800"]),
        (r'{"name":"\ud83d\ude00","data":"\\ud800 \ud83d\ude00"}', []),
    ],
)
def test_each_lone_surrogate_is_named(body: str, attrs: list[str]) -> None:
    _, wrong = read(body.encode())

    assert wrong == [
        FieldError("invalid", "Lone surrogates are not allowed.", attr) for attr in attrs
    ]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # A busy machine draws slowly.
@given(st.dictionaries(st.sampled_from(["name", "data", "tags", "x"]), JSON), st.booleans())
def test_every_object_is_read_as_the_standard_library_reads_it(
    value: dict[str, Any], ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return

    body, _ = read(text)

    assert {
        name: inner.value if isinstance(inner, RawJSON) else inner for name, inner in body.items()
    } == value


@given(st.binary(max_size=60) | st.text('{}[]":,0123456789.eE+-\\utrfalsn ').map(str.encode))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with contextlib.suppress(ParseError, ValidationFailed):
        read(body)


def digest_of(text: str) -> str:
    return digest(read(text.encode())[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"value":1}', '{"value":1.0}'),
        ('{"data":{"x":1,"y":[2]}}', '{ "data" : {"y":[2.0],"x":1e0} }'),
        ('{"data":"\\u0041\\/"}', '{"data":"A/"}'),
        ('{"data":100000000000000000000}', '{"data":1e20}'),
        ('{"data":0.10}', '{"data":0.1}'),
        ('{"data":-0}', '{"data":0.0}'),
    ],
)
def test_bodies_that_are_equal_as_json_have_one_digest(one: str, other: str) -> None:
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"value":1}', '{"value":2}'),
        ('{"value":1}', '{"value":true}'),
        ('{"value":1}', '{"value":"1"}'),
        ('{"value":null}', "{}"),
        ('{"data":[1,2]}', '{"data":[2,1]}'),
        ('{"data":1e400}', '{"data":1e401}'),
        ('{"data":12345678901234567890}', '{"data":12345678901234567891}'),
        ('{"data":9007199254740993.0}', '{"data":9007199254740992.0}'),
        ('{"data":1e1000000000000000000000}', '{"data":1e1000000000000000000001}'),
        ('{"data":0.1}', '{"data":0.1000000000000000055511151231257827}'),
        ('{"data":"1"}', '{"data":1}'),
        ('{"data":-1}', '{"data":1}'),
    ],
)
def test_bodies_that_differ_have_different_digests(one: str, other: str) -> None:
    assert digest_of(one) != digest_of(other)


def test_digest_takes_integers_of_any_length() -> None:
    assert digest_of('{"data":' + "1" * 5000 + "}") != digest_of('{"data":' + "1" * 5001 + "}")


# Batches


def test_batch_keeps_the_text_of_each_task_and_its_own_errors() -> None:
    body = read_batch(
        b'{"operations": [ {"op":"create", "task":{"data":{"a": 1.10}, "name":"x"}} ,'
        b'{"task":{"name":"\\ud800"},"ref":"\\udc00"},7, {"task":[1]}],"atomic":true}'
    )

    first, second, third, fourth = body["operations"]
    assert first["task"]["data"] == RawJSON('{"a": 1.10}', {"a": 1.1})
    assert [error.attr for error in second.wrong] == ["name", "ref"]
    assert (third, fourth, body["atomic"], body.wrong) == (7, {"task": [1]}, True, [])


@pytest.mark.parametrize("text", ["[]", "[ ]", "{}", "null", '"x"'])
def test_operations_may_be_anything(text: str) -> None:
    assert read_batch(f'{{"operations":{text}}}'.encode()) == {"operations": json.loads(text)}


@pytest.mark.parametrize(
    "text", ["[", "[{}", "[{},", "[{},]", "[{} {}]", '[{"task":}]', '[{"task":{]}]', "[1 2]"]
)
def test_broken_list_of_operations_is_no_json(text: str) -> None:
    with pytest.raises(ParseError):
        read_batch(f'{{"operations":{text}'.encode())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["operations", "task", "data", "x"]), inner)
        ),
    )
)
def test_batch_reader_reads_what_json_means(value: Any) -> None:
    body = json.dumps({"operations": value}).encode()

    assert plain(read_batch(body)) == json.loads(body)


def plain(value: Any) -> Any:
    if isinstance(value, RawJSON):
        return value.value
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def test_operations_beyond_the_limit_are_not_kept() -> None:
    body = read_batch(b'{"operations":[' + b"{}," * 4999 + b"{}]}")

    assert len(body["operations"]) == 1001


def test_errors_of_surrogates_are_few_and_short() -> None:
    strings = ",".join(['"\\ud800"'] * 300)
    body = read_object(f'{{"x":{{"{"k" * 20_000}":[{strings}]}}}}'.encode())

    assert len(body.wrong) == 100
    assert max(len(error.attr or "") for error in body.wrong) < 320
