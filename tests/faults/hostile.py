"""Requests that no honest client sends: a good one, spoilt in one to three ways.

``World`` is what an attacker may know: addresses, forms, and keys to misuse.
"""

import base64
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes, urlencode

from blueprints.dashboard.form_filling import PageForm
from faults.nasty import (
    BODIES,
    CHUNKS,
    CODINGS,
    GOOD,
    HEADERS,
    HOSTS,
    METHODS,
    NASTY,
    PARAMETERS,
    VALUES,
    VERSIONS,
    WHOLE,
)

Header = tuple[bytes, bytes]
Spoil = Callable[["Hostile", random.Random, "World"], None]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of the API."""

    method: str
    path: str
    """With ids that exist."""
    statuses: frozenset[int]
    """What the OpenAPI document says it may answer; empty where it does not say all."""


@dataclass
class World:
    """What there is to attack."""

    api: list[Endpoint]
    pages: list[str]
    forms: list[PageForm]
    keys: list[str]
    cookies: dict[str, str]
    """The cookies of somebody who is signed in."""
    secrets: list[str]
    """What must never be logged."""

    @property
    def cookie(self) -> bytes:
        """The header of their browser."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items()).encode()


@dataclass
class Hostile:
    """A request, piece by piece."""

    method: bytes = b"GET"
    target: bytes = b"/"
    version: bytes = b"HTTP/1.1"
    host: bytes | None = b"127.0.0.1:8000"
    headers: list[Header] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    """Whole header lines, as they are sent."""
    body: bytes = b""
    framing: bytes | None = None
    """The header lines that say how long the body is; None for the right ones."""
    whole: bytes | None = None
    """All that is sent, if it is no request at all."""
    kinds: list[str] = field(default_factory=list)
    statuses: frozenset[int] = frozenset()
    """The documented ones, as long as only values are wrong."""

    def render(self) -> bytes:
        """Return the bytes to send."""
        if self.whole is not None:
            return self.whole
        lines = [b" ".join((self.method, self.target, self.version))]
        lines += [b"Host: " + self.host] if self.host is not None else []
        lines += [name + b": " + value for name, value in self.headers] + self.lines
        if self.framing is not None:
            lines.append(self.framing)
        elif self.body:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"Connection: close", b"", self.body])


def rewrite_line(made: Hostile, rng: random.Random, _: World) -> None:
    made.version = rng.choice(VERSIONS)
    if rng.random() < 0.5:
        target = made.target
        made.target = rng.choice(
            [
                *(b"*", b"", b"api/", b"?", b"#", b"//" + target, b"http://[" + target),
                *(b"http://evil.example" + target, b"https://u:p@[::1]:99999" + target),
                *(target + b"#x", b"/." + target, target.replace(b"/", b"//")),
            ]
        )


def rewrite_method(made: Hostile, rng: random.Random, _: World) -> None:
    made.method = rng.choice(METHODS)


def rewrite_host(made: Hostile, rng: random.Random, _: World) -> None:
    made.host = rng.choice([*HOSTS, None])


def rewrite_path(made: Hostile, rng: random.Random, _: World) -> None:
    path, mark, query = made.target.partition(b"?")
    parts = path.split(b"/")
    nasty = rng.choice(NASTY)
    if rng.random() < 0.7:
        nasty = quote_from_bytes(nasty, safe="%").encode()
    parts[rng.randrange(len(parts))] = nasty
    made.target = b"/".join(parts) + mark + query


def rewrite_query(made: Hostile, rng: random.Random, world: World) -> None:
    pairs = [
        (rng.choice(PARAMETERS), rng.choice([*NASTY, rng.choice(world.keys).encode()]))
        for _ in range(rng.choice([1, 1, 2, 5, 300]))
    ]
    query = urlencode(pairs).encode()
    if rng.random() < 0.3:
        query = b"&".join(name.encode() + b"=" + value for name, value in pairs)
    made.target = made.target.partition(b"?")[0] + b"?" + query


def change_a_parameter(made: Hostile, rng: random.Random, _: World) -> None:
    """Replace the value of one parameter, so that the others are right."""
    path, _mark, query = made.target.partition(b"?")
    pairs = query.split(b"&") if query else [rng.choice(PARAMETERS).encode()]
    at = rng.randrange(len(pairs))
    name = pairs[at].partition(b"=")[0]
    pairs[at] = name + b"=" + quote_from_bytes(rng.choice(NASTY), safe="%").encode()
    made.target = path + b"?" + b"&".join(pairs)


def rewrite_headers(made: Hostile, rng: random.Random, _: World) -> None:
    for _ in range(rng.choice([1, 1, 2, 5, 150])):
        made.headers.append((rng.choice(HEADERS), rng.choice([*VALUES, *NASTY])))


def rewrite_key(made: Hostile, rng: random.Random, world: World) -> None:
    key = rng.choice(world.keys).encode()
    bare = base64.b64decode(key).split(b"/")[-1] if b"." not in key else key
    made.headers = [one for one in made.headers if one[0] != b"Authorization"]
    made.lines.append(
        rng.choice(
            [
                *(b"Authorization Bearer " + key, b"Authorization", b"Authorization:" + key),
                *(b"Authorization : Bearer " + key, b"Authorization\tBearer " + key),
                *(b"Authorization: Bearer\x00" + key, b"Authorization: Basic " + key),
                *(b"Authorization: Bearer " + key[:-3], b"Authorization: Bearer " + key + b"\xff"),
                *(b"Authorization: Bearer " + key * 50, b"Authorization: bearer  " + bare),
                *(b"Authorization: Bearer\r\n " + key, b"\x00Authorization: Bearer " + key),
                *(
                    b"Authorization: Bearer " + base64.b64encode(b"\xff/\x00/" + bare),
                    b"\xff" + key,
                ),
                b"Authorization: Bearer " + base64.b64encode(b"acme/web/" + bare + b"/x"),
                b"Authorization: Bearer a\r\nAuthorization: Bearer " + key,
                b"X-Key " + key + b"\r\nAuthorization: Bearer " + key,
            ]
        )
    )


def rewrite_body(made: Hostile, rng: random.Random, world: World) -> None:
    if made.method in (b"GET", b"HEAD"):
        made.method = rng.choice([b"POST", b"PUT", b"PATCH"])
    made.body = rng.choice([*BODIES, rng.choice(world.keys).encode(), gzip.compress(b"{}")])
    made.headers = [one for one in made.headers if one[0] != b"Content-Type"]
    kinds = [b"application/json"] * 6 + [value for value in VALUES if b"/" in value]
    made.headers.append((b"Content-Type", rng.choice(kinds)))
    if rng.random() < 0.1:
        made.headers.append((b"Content-Encoding", rng.choice([b"gzip", b"br", b"deflate", b"x"])))


def change_a_value(made: Hostile, rng: random.Random, _: World) -> None:
    """Replace one value of a JSON object, so that the rest of it is right."""
    try:
        held = json.loads(made.body)
    except (ValueError, RecursionError):
        return
    if isinstance(held, dict) and held:
        name = rng.choice(list(held))
        held[name] = rng.choice([None, True, -1, 1e30, [], {}, [[]], "", "\x00", "\ud800", 10**400])
        made.body = json.dumps(held).encode()


def rewrite_framing(made: Hostile, rng: random.Random, world: World) -> None:
    if made.method == b"GET":
        made.method = b"POST"
    length = b"%d" % len(made.body)
    if rng.random() < 0.5:
        key = rng.choice(world.keys).encode()
        trailer = b"2\r\n{}\r\n0\r\nAuthorization Bearer " + key + b"\r\n\r\n"
        made.framing, made.body = rng.choice(CODINGS), rng.choice([*CHUNKS, trailer])
        return
    made.framing = rng.choice(
        [
            *(
                b"Content-Length: -1",
                b"Content-Length: +5",
                b"Content-Length: x",
                b"Content-Length:",
            ),
            *(b"Content-Length: 99999999999999999999", b"Content-Length: 2000000"),
            b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked",
            b"Content-Length: 1\r\nContent-Length: " + length,
            b"Content-Length: " + length + b", " + length,
            *(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, chunked", b"Expect: x"),
            *(b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: xchunked"),
        ]
    )


def send_nonsense(made: Hostile, rng: random.Random, world: World) -> None:
    key = rng.choice(world.keys).encode()
    noise = rng.randbytes(rng.choice([1, 50, 3000])) + b"\r\n\r\n"
    whole = [*WHOLE, noise, b"GET /api/ HTTP/1.1\r\nAuthorization Bearer " + key + b"\r\n\r\n", key]
    made.whole = rng.choice(whole)


SPOILS: list[tuple[Spoil, int]] = [
    (rewrite_line, 2),
    (rewrite_method, 4),
    (rewrite_host, 6),
    (rewrite_path, 8),
    (rewrite_query, 10),
    (rewrite_headers, 6),
    (rewrite_key, 5),
    (rewrite_body, 10),
    (change_a_value, 8),
    (change_a_parameter, 8),
    (rewrite_framing, 4),
    (send_nonsense, 2),
]


def make_hostile(rng: random.Random, world: World) -> Hostile:
    """Return a hostile request to the API, a page or a form."""
    make = rng.choices([_to_api, _to_page, _to_form], [5, 2, 3])[0]
    made = make(rng, world)
    spoils, weights = zip(*SPOILS, strict=True)
    # What is typed into a form is nasty already.
    count = rng.choice([0, 0, 0, 1, 2] if make is _to_form else [1, 1, 1, 2, 3])
    for spoil in rng.choices(spoils, weights, k=count):
        spoil(made, rng, world)
        made.kinds.append(spoil.__name__)
        if spoil not in (change_a_value, change_a_parameter):
            made.statuses = frozenset()
    return made


def _to_api(rng: random.Random, world: World) -> Hostile:
    endpoint = rng.choice(world.api)
    method, path = endpoint.method, endpoint.path
    made = Hostile(method.encode(), path.encode(), statuses=endpoint.statuses)
    if rng.random() < 0.9:
        made.headers.append((b"Authorization", b"Bearer " + rng.choice(world.keys).encode()))
    if method in ("POST", "PUT", "PATCH"):
        subject = [part for part in path.split("/") if part in GOOD]
        made.body = json.dumps(GOOD[subject[-1]] if subject else {}).encode()
        made.headers.append((b"Content-Type", b"application/json"))
    return made


def _to_page(rng: random.Random, world: World) -> Hostile:
    made = Hostile(target=rng.choice(world.pages).encode())
    if rng.random() < 0.8:
        made.headers.append((b"Cookie", world.cookie))
    if rng.random() < 0.3:
        made.headers.append((b"X-Live", b"1"))
    return made


def _to_form(rng: random.Random, world: World) -> Hostile:
    form = rng.choice(world.forms)
    values: dict[str, bytes] = {name: text.encode() for name, text in form.standing.items()}
    for name in rng.sample(list(values), rng.randrange(len(values) + 1)):
        if name != "csrf_token" or is_fatal(form) or rng.random() < 0.1:
            values[name] = rng.choice(NASTY)
    if is_fatal(form):
        values["csrf_token"] = rng.choice(NASTY)
    made = Hostile(b"POST", form.action.encode(), body=urlencode(values).encode())
    made.headers.append((b"Content-Type", b"application/x-www-form-urlencoded"))
    if rng.random() < 0.9:
        made.headers.append((b"Cookie", world.cookie))
    made.kinds.append("form")
    return made


def is_fatal(form: PageForm) -> bool:
    """Say whether the form would take away the session, the keys or the person of the test."""
    last = ("sign-out", "sign-in", "session", "revoke", "leave", "remove", "member", "password")
    return any(word in form.action for word in last)
