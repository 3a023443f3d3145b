"""The guard of outbound HTTP: where requests may go, and what a bad receiver can do to us."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from taskbadger.outbound import Answer, OutboundError, Sender, look_up, parse_url
from taskbadger.outbound.addresses import SPECIAL, Network, is_refused
from taskbadger.outbound.network import Deadline, PinnedNetwork, named_errors
from taskbadger.outbound.sender import ANSWER_BYTES, resolve
from tests import receivers
from tests.receivers import HttpReceiver, SilentListener, answer, authority, closed_port

INSIDE = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def sender() -> Sender:
    """A sender that may reach the receivers of these tests, with a short time limit."""
    return Sender.allowing(INSIDE, seconds=0.7)


def refusal(sender: Sender, url: str) -> str:
    """Return the class of the error that posting to *url* raises."""
    with pytest.raises(OutboundError) as caught:
        sender.post(url, content=b"{}")
    return caught.value.error_class


# The table of addresses


SPECIAL_ADDRESSES = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:a9fe:a9fe",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:ffff::1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:53aa:64c:0:0:80ff:fffe",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    "200::1",
    "4000::1",
    "8000::1",
    "e000::1",
    "2607:f8b0::5efe:10.0.0.1",
    "2607:f8b0::200:5efe:127.0.0.1",
]

PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2003::1",
    "2607:f8b0::5efe:8.8.8.8",
]


@pytest.mark.parametrize("address", SPECIAL_ADDRESSES)
def test_special_address_is_refused(address: str) -> None:
    assert is_refused(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_address_is_not_refused(address: str) -> None:
    assert not is_refused(ip_address(address))


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_first_and_last_address_of_each_block_are_refused(
    network: Network,
) -> None:
    assert is_refused(network[0])
    assert is_refused(network[-1])


def test_everything_that_python_calls_not_global_is_refused() -> None:
    v4 = [IPv4Address(first << 24 | 0x000101) for first in range(256)]
    v6 = [IPv6Address(first << 112 | 1) for first in range(0, 65536, 16)]

    missed = [a for a in (*v4, *v6) if not a.is_global and not is_refused(a)]

    assert missed == []


def test_address_with_a_zone_is_refused_whatever_is_allowed() -> None:
    assert is_refused(IPv6Address("fe80::1%eth0"), [ip_network("::/0")])


def test_allowed_network_is_reachable_and_nothing_else_inside() -> None:
    allow = [ip_network("10.1.0.0/16")]

    assert not is_refused(ip_address("10.1.2.3"), allow)
    assert is_refused(ip_address("10.2.2.3"), allow)
    assert not is_refused(ip_address("8.8.8.8"), allow)


@pytest.mark.parametrize(
    ("outer", "inner", "address"),
    [
        ("64:ff9b::/96", "10.0.0.0/8", "64:ff9b::10.0.0.1"),
        ("64:ff9b:1::/48", "10.0.0.0/8", "64:ff9b:1:a00:0:100:a00:1"),
        ("::ffff:0:0/96", "10.0.0.0/8", "::ffff:10.0.0.1"),
        ("2002::/16", "10.0.0.0/8", "2002:a00:1::1"),
    ],
)
def test_address_inside_an_address_has_to_be_allowed_too(
    outer: str, inner: str, address: str
) -> None:
    parsed = ip_address(address)

    assert is_refused(parsed, [ip_network(outer)])
    assert is_refused(parsed, [ip_network(inner)])
    assert not is_refused(parsed, [ip_network(outer), ip_network(inner)])


def test_nat64_to_a_public_address_needs_only_the_prefix_allowed() -> None:
    assert not is_refused(ip_address("64:ff9b::8.8.8.8"), [ip_network("64:ff9b::/96")])


def test_both_ends_of_teredo_have_to_be_allowed() -> None:
    # Server 65.54.227.120, client 192.168.0.1 (written with its bits turned).
    address = ip_address("2001:0:4136:e378:8000:63bf:3f57:fffe")

    assert is_refused(address, [ip_network("2001::/32")])
    assert not is_refused(address, [ip_network("2001::/32"), ip_network("192.168.0.0/16")])


# Spellings of URLs


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "0177.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "017700000001",
        "127。0。0。1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7F00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "[fd00:ec2::254]",
        "168.63.129.16",
    ],
)
def test_spelling_of_an_inside_address_is_refused_before_any_look_up(host: str) -> None:
    sender = Sender(resolver=lambda *_: pytest.fail("there was a look-up"))

    with pytest.raises(OutboundError) as caught:
        sender.check(f"http://{host}/")

    assert caught.value.error_class == "refused_address"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
def test_name_of_this_machine_is_refused_after_the_look_up(host: str) -> None:
    assert refusal(Sender(), f"http://{host}:9/") == "refused_address"


@pytest.mark.parametrize("host", ["localhost.", "LocalHost."])
def test_name_with_a_trailing_dot_is_checked_like_any_other(host: str) -> None:
    # Some systems know localhost only without the dot.
    assert refusal(Sender(), f"http://{host}:9/") in ("refused_address", "dns")


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("ftp://example.com/", "The URL must start with http:// or https://."),
        ("file:///etc/passwd", "The URL must start with http:// or https://."),
        ("gopher://example.com/", "The URL must start with http:// or https://."),
        ("//example.com/", "The URL must start with http:// or https://."),
        ("example.com", "The URL must start with http:// or https://."),
        ("", "The URL must start with http:// or https://."),
        ("http://user:secret@example.com/", "The URL must not contain a user name or password."),
        ("http://user@example.com/", "The URL must not contain a user name or password."),
        ("http://127.0.0.1\\@example.com/", "The URL must not contain a user name or password."),
        ("http:///path", "The URL has no valid host name."),
        ("http://exa mple.com/", "The URL has no valid host name."),
        ("http://%31%32%37.0.0.1/", "The URL has no valid host name."),
        ("http://*.example.com/", "The URL has no valid host name."),
        ("http://[fe80::1%25eth0]/", "The URL has no valid host name."),
        ("http://[fe80::1%eth0]/", "The URL has no valid host name."),
        ("http://[::1%1]/", "The URL has no valid host name."),
        ("http://[::1%a%b]/", "The URL is not valid."),
        ("http://[1:2]/", "The URL is not valid."),
        ("http://-/", "The URL has no valid host name."),
        ("http://0177.0.0.1/", "The URL is not valid."),
        ("http://256.1.1.1/", "The URL is not valid."),
        ("http://①②⑦.0.0.1/", "The URL is not valid."),
        ("http://exa\nmple.com/", "The URL is not valid."),
        ("http://example.com/\r\nX-Evil: 1", "The URL is not valid."),
        ("http://[::1", "The URL is not valid."),
        ("http://example.com:0/", "The port must be between 1 and 65535."),
        ("http://example.com:65536/", "The port must be between 1 and 65535."),
        ("http://example.com/" + "x" * 2048, "The URL is longer than 2048 characters."),
    ],
)
def test_url_that_we_would_never_call_is_refused(url: str, detail: str) -> None:
    with pytest.raises(OutboundError) as caught:
        parse_url(url)

    assert (caught.value.error_class, caught.value.detail) == ("refused_url", detail)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com:8443/hook?x=1#part",
        "HTTPS://EXAMPLE.COM/",
        "http://münchen.example/",
        "http://a_b.example.com/",
        "http://example.com./",
        "http://8.8.8.8/",
        "http://[2606:4700:4700::1111]:8080/",
    ],
)
def test_good_url_passes_the_check(url: str) -> None:
    assert str(Sender().check(url).scheme) in ("http", "https")


# Names


def test_look_up_of_the_system_answers_with_addresses() -> None:
    assert "127.0.0.1" in resolve("localhost", 80)


def test_name_without_addresses_is_a_dns_error() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(OutboundError) as caught:
        look_up("nowhere.example", 80, seconds=5, resolver=unknown)

    assert caught.value.error_class == "dns"


def test_name_with_an_empty_answer_is_a_dns_error() -> None:
    assert refusal(Sender(resolver=lambda *_: []), "http://example.com/") == "dns"


def test_label_that_is_too_long_is_a_dns_error() -> None:
    assert refusal(Sender(), f"http://{'a' * 64}.example/") == "dns"


def test_look_up_that_hangs_ends_at_the_deadline() -> None:
    released = threading.Event()

    def hang(*_: object) -> list[str]:
        released.wait(10)
        return ["8.8.8.8"]

    error = refusal(Sender(resolver=hang, seconds=0.1), "http://example.com/")
    released.set()

    assert error == "timeout"


def test_one_bad_address_among_good_ones_refuses_the_request() -> None:
    answers = ["8.8.8.8", "2606:4700::1111", "10.0.0.1"]

    assert refusal(Sender(resolver=lambda *_: answers), "http://x.example/") == "refused_address"


def test_error_names_no_address() -> None:
    with pytest.raises(OutboundError) as caught:
        Sender(resolver=lambda *_: ["10.20.30.40"]).post("http://x.example/", content=b"")

    assert "10.20.30.40" not in caught.value.detail


def test_address_that_is_checked_is_the_one_that_is_called(sender: Sender) -> None:
    answers: Iterator[list[str]] = iter([["127.0.0.1"], ["10.0.0.1"]])
    with HttpReceiver() as http:
        rebinding = Sender.allowing(["127.0.0.0/8"], resolver=lambda *_: next(answers), seconds=1.0)

        first = rebinding.post(http.url_for("rebind.example"), content=b"1")
        second = refusal(rebinding, http.url_for("rebind.example"))

        assert (first.status, second) == (200, "refused_address")
        assert [request.body for request in http.requests] == [b"1"]
        assert http.requests[0].headers["host"] == f"rebind.example:{http.port}"


def test_name_is_looked_up_once_per_request() -> None:
    asked: list[tuple[str, int]] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    with HttpReceiver() as http:
        sender = Sender.allowing(INSIDE, resolver=resolver)
        sender.post(http.url_for("münchen.example"), content=b"")

    assert asked == [("xn--mnchen-3ya.example", http.port)]


def test_next_address_is_tried_when_the_first_refuses() -> None:
    with HttpReceiver() as http:
        sender = Sender.allowing(INSIDE, resolver=lambda *_: ["::1", "127.0.0.1"])

        assert sender.post(http.url_for("two.example"), content=b"").status == 200


def test_loopback_is_refused_without_an_allowance_even_if_someone_listens() -> None:
    with HttpReceiver() as http:
        assert refusal(Sender(), http.url) == "refused_address"
        assert http.connections == 0


# The request


def test_request_is_a_plain_post_with_our_headers(sender: Sender) -> None:
    with HttpReceiver() as http:
        sender.post(
            f"{http.url}?a=b#c", content=b'{"x":1}', headers={"Content-Type": "application/json"}
        )

    request = http.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b'{"x":1}')
    assert request.headers == {
        "host": f"127.0.0.1:{http.port}",
        "user-agent": "taskbadger-server",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        "content-type": "application/json",
        "content-length": "7",
    }


def test_answer_holds_status_headers_and_body(sender: Sender) -> None:
    with HttpReceiver(answer(503, b"busy", retry_after="7")) as http:
        found = sender.post(http.url, content=b"")

    assert isinstance(found, Answer)
    assert (found.status, found.headers["RETRY-AFTER"], found.body) == (503, "7", b"busy")


def test_proxies_and_netrc_of_the_environment_are_ignored(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    with HttpReceiver() as http, HttpReceiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.root)
        netrc = f"{tmp_path}/netrc"
        with open(netrc, "w") as file:
            file.write("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", netrc)

        sender.post(http.url, content=b"")

        assert (len(http.requests), proxy.connections) == (1, 0)
        assert "authorization" not in http.requests[0].headers


def test_redirect_is_not_followed(sender: Sender) -> None:
    with HttpReceiver() as inside, HttpReceiver(receivers.redirect(inside.url)) as http:
        found = sender.post(http.url, content=b"")

        assert (found.status, inside.connections) == (302, 0)


# Receivers that misbehave


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (receivers.hang_at_accept, "timeout"),
        (receivers.hang_at_headers, "timeout"),
        (receivers.hang_in_headers, "timeout"),
        (receivers.slow_drip, "timeout"),
        # It may hit before the sender has finished setting up the connection.
        (receivers.reset_at_once, "reset or connect"),
        (receivers.reset_after_request, "reset"),
        (receivers.no_answer, "reset"),
        (receivers.not_http, "protocol"),
        (receivers.bad_length, "protocol"),
        (receivers.endless_headers, "protocol"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_receiver_that_gives_no_answer_is_named(
    sender: Sender, behaviour: receivers.Behaviour, expected: str
) -> None:
    with HttpReceiver(behaviour) as http:
        assert refusal(sender, http.url) in expected.split(" or ")


@pytest.mark.parametrize(
    ("behaviour", "body"),
    [
        (receivers.hang_at_body, b""),
        (receivers.short_body, b"five!"),
        (receivers.endless_body, b"x" * ANSWER_BYTES),
    ],
    ids=["hang", "short", "endless"],
)
def test_answer_stands_whatever_becomes_of_its_body(
    sender: Sender, behaviour: receivers.Behaviour, body: bytes
) -> None:
    with HttpReceiver(behaviour) as http:
        found = sender.post(http.url, content=b"")

    assert (found.status, found.body) == (200, body)


def test_closed_port_is_a_connect_error(sender: Sender) -> None:
    assert refusal(sender, f"http://127.0.0.1:{closed_port()}/") == "connect"


def test_port_that_never_answers_is_a_timeout() -> None:
    with SilentListener() as silent:
        sender = Sender.allowing(INSIDE, seconds=0.2)

        assert refusal(sender, f"http://127.0.0.1:{silent.port}/") == "timeout"
        assert refusal(sender, f"https://127.0.0.1:{silent.port}/") == "timeout"


def test_deadline_that_has_passed_before_the_connection_is_a_timeout() -> None:
    def slow(*_: object) -> list[str]:
        time.sleep(0.05)
        return ["127.0.0.1"]

    sender = Sender.allowing(INSIDE, resolver=slow, seconds=0.06)
    network = PinnedNetwork(["127.0.0.1"], Deadline(0), sender.tls)

    with SilentListener() as silent:
        assert refusal(sender, f"http://slow.example:{silent.port}/") == "timeout"
        with pytest.raises(OutboundError), named_errors(network):
            network.connect_tcp("x", silent.port)


# TLS


def secure_sender(trusted: ssl.SSLContext, host: str = "127.0.0.1") -> Sender:
    return Sender.allowing(INSIDE, seconds=2.0, tls=trusted, resolver=lambda *_: ["127.0.0.1"])


@pytest.mark.parametrize("host", ["hooks.example", "hooks.example.", "HOOKS.example"])
def test_certificate_is_checked_against_the_name_not_the_address(host: str) -> None:
    known = authority("hooks.example")
    with HttpReceiver(tls=known.server) as http:
        assert secure_sender(known.client).post(http.url_for(host), content=b"").status == 200


def test_one_sender_serves_many_threads() -> None:
    known = authority("hooks.example")
    with HttpReceiver(tls=known.server) as http, ThreadPoolExecutor(8) as pool:
        sender = Sender.allowing(INSIDE, tls=known.client, resolver=lambda *_: ["127.0.0.1"])
        url = http.url_for("hooks.example")
        bodies = [str(number).encode() for number in range(100)]

        answers = list(pool.map(lambda body: sender.post(url, content=body), bodies))

    assert {found.status for found in answers} == {200}
    assert sorted(request.body for request in http.requests) == sorted(bodies)


def test_certificate_for_another_name_is_a_tls_error() -> None:
    known = authority("hooks.example")
    with HttpReceiver(tls=known.server) as http:
        assert refusal(secure_sender(known.client), http.url_for("other.example")) == "tls"
        assert http.requests == []


def test_certificate_that_nobody_vouches_for_is_a_tls_error() -> None:
    with HttpReceiver(tls=authority("localhost").server) as http:
        assert refusal(secure_sender(authority("hooks.example").client), http.url) == "tls"
        assert refusal(Sender.allowing(INSIDE, seconds=2.0), http.url) == "tls"


def test_server_without_tls_behind_https_is_a_tls_error(sender: Sender) -> None:
    def greet(connection: receivers.Connection) -> None:
        connection.send(b"HTTP/1.1 400 Bad\r\n\r\n")
        connection.hang()

    with HttpReceiver(greet) as http:
        assert refusal(sender, http.url.replace("http://", "https://")) == "tls"


def test_deadline_that_passes_before_the_handshake_closes_the_connection() -> None:
    tls = authority().client
    network = PinnedNetwork(["127.0.0.1"], Deadline(0.2), tls)
    with SilentListener() as silent:
        stream = network.connect_tcp("x", silent.port)
        assert isinstance(stream.get_extra_info("socket"), socket.socket)
        time.sleep(0.25)

        with pytest.raises(OutboundError) as caught, named_errors(network):
            stream.start_tls(tls, "localhost")

        assert caught.value.error_class == "timeout"
        assert stream.get_extra_info("socket").fileno() == -1
