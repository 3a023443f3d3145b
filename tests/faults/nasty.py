"""What hostile requests are made of."""

NASTY = [
    *(b"\x00", b"a\x00b", b"%00", b"\xff\xfe", b"%ff", b"\xed\xa0\x80", b"%ed%a0%80", b"\xc0\x80"),
    *(b"..", b"../../etc/passwd", b"%2e%2e%2f", b"%2F", b"%5c", b"%", b"%zz", b"%25%30%30"),
    *(b"'", b'"', b"' OR 1=1--", b"<script>alert(1)</script>", b"{{7*7}}", b"${x}", b"%s%n"),
    *(b"a\r\nX-Injected: 1", b"%0d%0aX-Injected:%201", b"\n", b"\r", b"\t", b" ", b""),
    *(b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e999", b"NaN", b"null", b"true", b"[]", b"1_000"),
    *("é".encode(), "٣".encode(), "\u202e\ufeff".encode(), "😀".encode() * 300, b"a" * 5000),
    *(b"a:b", b"a:", b":", b",", b"\\", b"*", b"-", b"~", b"x" * 300, b"@", b"#", b"?", b"&", b"="),
]
PARAMETERS = [
    *("cursor", "page_size", "status", "name", "queue", "external_id", "parent", "monitor", "tag"),
    *("created_after", "created_before", "updated_after", "updated_before", "search", "count"),
    *("q", "project", "state", "channel", "task", "since", "before", "sort", "range", "of", "next"),
    *("token", "schedule", "timezone", "trigger", "name_pattern", "view", "v", "id", "interval"),
]
HOSTS = [
    *(b"..", b".", b"", b" ", b"a" * 300, b"a" * 300 + b".example", b"xn--a", b"xn--", b"xn--a:80"),
    *(b"task_badger:8000", b"_", b"a/b", b"/", b"a\\b", b"a?b", b"a#b", b"u@h", b"u:p@h", b"a b"),
    *(b"a:99999", b"a:0", b"a:", b"a:-1", b"a:b", b":80", b"a:80:80", "bücher.example".encode()),
    *(b"xn--bcher-kva.example", b"[::1]", b"[::1]:8000", b"[", b"[]", b"[::1", b"::1", b"[g::]"),
    *(b"a..b", b".a", b"a.", b"-a-", b"a\x00b", b"\xff\xfe", b"127.0.0.1, evil.example", b"%00"),
    *(b"evil.example\tx", b"a" * 9000, b"localhost", b"LOCALHOST:443", b"<script>", b"a:65536"),
]
HEADERS = [
    b"Accept",
    b"Accept-Encoding",
    b"Accept-Language",
    b"Content-Type",
    b"Content-Encoding",
    b"Cookie",
    b"Expect",
    b"Forwarded",
    b"Idempotency-Key",
    b"If-Match",
    b"If-Modified-Since",
    b"If-None-Match",
    b"Origin",
    b"Range",
    b"Referer",
    b"Sec-Fetch-Site",
    b"Transfer-Encoding",
    b"Upgrade",
    b"User-Agent",
    b"X-Forwarded-Host",
    b"X-Forwarded-Prefix",
    b"X-Forwarded-Proto",
    b"X-HTTP-Method-Override",
    b"X-Live",
    b"X-Script-Name",
    b"X-TASKBADGER-MONITOR",
    b"Bad Name",
    b"B\xe4d",
    b"",
]
VALUES = [
    *(b"", b";", b",", b"*/*;q=x", b"application/json;q=0", b"a/b;c", b"text/html;q=1e999", b"q=1"),
    *(b"bytes=0-", b"bytes=9-1", b"bytes=" + b"0-1," * 500, b'"', b'W/"x', b"*", b"\xff\xfe\x00"),
    *(b"Thu, 99 Foo 99999 99:99:99 GMT", b"gzip;q=-1", b"gzip, deflate, identity;q=0", b"chunked"),
    *(
        b"identity",
        b"gzip, chunked",
        b"100-continue",
        b"200-maybe",
        b"http://[",
        b"//evil",
        b"null",
    ),
    *(b"javascript:alert(1)", b"for=_x;host=evil", b"https", b"/evil", b"taskbadger_session=x"),
    *(b"a=b; " * 1000, b"taskbadger_state=eyJ.x.y", b"application/json; charset=utf-7", b"DELETE"),
    *(
        b"multipart/form-data",
        b"multipart/form-data; boundary=" + b"x" * 300,
        b"text/\xe4",
        b"x\ty",
    ),
]
BODIES = [
    *(b"{", b"[", b"null", b"\x00", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'"', b"{}{}"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b'{"data":' + b"[" * 99 + b"]" * 99 + b"}", b"9" * 50_000),
    b'{"name":"a","value":1e999999999}',
    b'{"name":"a","value":' + b"9" * 5000 + b"}",
    b'{"name":"a","value":NaN}',
    b'{"name":"a","name":null}',
    b'{"name":"\\ud800","data":"\\u0000"}',
    b'{"name":"a\\u0000","queue":"\\u0000","tags":{"\\u0000":"\\u0000"}}',
    b'{"name":"a","tags":{"a":1e400,"":"","b":[]}}',
    b'{"name":"a","time_to_start":"sNaN","start_time":"0000-00-00T99:99:99Z"}',
    b'{"name":"a","start_time":"9999-12-31T23:59:59-23:59","time_to_start":1e300}',
    b'{"name":"a","actions":[{"trigger":"*/0","integration":"x:\\u0000","config":[]}]}',
    b'{"name":"a","type":"cron","schedule":"99 99 * * *","timezone":"../../etc/passwd"}',
    b'{"name":"a","type":"cron","schedule":"0 0 30 2 *","timezone":"Europe/\\u0000"}',
    b'{"name":"a","type":"interval","interval":1e30,"start_grace":-1}',
    b'{"kind":"webhook","slug":"a","config":{"url":"http://[","headers":{"a\\n":"b"}}}',
    b'{"kind":"\\u0000","slug":"..","config":{"url":1}}',
    b'{"name":"a","trigger":"error","channels":[{"integration":"email","config":{"to":"@"}}]}',
    b'{"name":"a","name_pattern":"(a+)+$[","trigger":"error","channels":[]}',
    b'{"name":"a","scopes":["root"],"expires":"never"}',
    b'{"slug":"-","name":"","retention_days":1e9}',
    b'{"role":"god"}',
    b'{"channel":"x:\\u0000"}',
]
CHUNKS = [
    *(b"zz\r\n", b"-5\r\nhello\r\n", b"\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5\nhello\n0\n\n"),
    *(b"5;\x00\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"),
    *(b"5\r\nhello\r\n0\r\nA B\r\n\r\n", b"1" * 9000 + b"\r\n", b"+5\r\nhello\r\n0\r\n\r\n"),
    *(b"2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nTrailer: \xff\r\n\r\n", b"5\r\nhel", b"\xff"),
]
WHOLE = [
    *(b"", b"\r\n" * 1000, b"\x00" * 100, b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n"),
    *(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", b" GET / HTTP/1.1\r\n\r\n"),
    *(b"GET / HTTP/1.1\n\n", b"GET / HTTP/1.1\r\rHost: x\r\r", b"GET " + b"/" * 70_000),
    *(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n"),
    *(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
]
CODINGS = [
    *[b"Transfer-Encoding: chunked"] * 6,
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity, chunked"),
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
]
VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/1.1 ", b"http/1.1", b"", b"HTTP/1.1"]
METHODS = [
    *(b"BREW", b"TRACE", b"CONNECT", b"get", b"PROPFIND", b"OPTIONS", b"HEAD", b"G" * 100),
    *(b"DELETE", b"PUT", b"PATCH", b"POST", b"G\x00T", b"G\xc3T", b"-", b"QUERY", b""),
]
GOOD = {
    "tasks": {"name": "a", "status": "pending", "value": 1, "tags": {"a": "b"}, "data": {"a": 1}},
    "actions": {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}},
    "monitors": {"name": "a", "type": "cron", "schedule": "@daily", "timezone": "UTC"},
    "projects": {"name": "a", "slug": "abc", "retention_days": 1},
    "keys": {"name": "a", "scopes": ["read"], "project": "web", "expires": None},
    "channels": {"kind": "webhook", "slug": "a", "config": {"url": "https://example.com/"}},
    "global-actions": {"name": "a", "trigger": "error", "channels": []},
    "members": {"role": "viewer"},
    "deliveries": {"channel": "email"},
}
