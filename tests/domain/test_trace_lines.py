"""Traces are split into own frames, frames of libraries, and other text."""

import time

import pytest

from taskbadger.domain.trace_lines import Section, split

PYTHON = """\
Traceback (most recent call last):
  File "/app/jobs/run.py", line 9, in main
    load(path)
    ~~~~^^^^^^
  File "/usr/lib/python3.12/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
  File "/app/.venv/lib/python3.12/site-packages/x/y.py", line 3, in f
    g()
  File "/app/jobs/run.py", line 3, in load
ValueError: no"""


def test_frames_of_python_are_own_or_of_libraries() -> None:
    lines = PYTHON.split("\n")

    assert split(PYTHON) == [
        Section("text", lines[0], 0),
        Section("own", "\n".join(lines[1:4]), 1),
        Section("library", "\n".join(lines[4:8]), 2),
        Section("own", lines[8], 1),
        Section("text", lines[9], 0),
    ]


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        (
            [
                "TypeError: x is not a function",
                "    at load (/app/run.js:3:9)",
                "    at Module._compile (node:internal/modules/cjs/loader:1554:14)",
                "    at /app/node_modules/pg/client.js:1:2",
            ],
            ["text", "own", "library", "library"],
        ),
        (
            [
                'Exception in thread "main" java.lang.IllegalStateException: no',
                "\tat com.acme.Job.run(Job.java:12)",
                "\tat java.base/java.lang.Thread.run(Thread.java:840)",
            ],
            ["text", "own", "library"],
        ),
        (
            [
                "panic: no",
                "goroutine 1 [running]:",
                "main.load()",
                "\t/app/main.go:12 +0x1d",
                "\t/usr/local/go/src/runtime/proc.go:250 +0x1d",
            ],
            ["text", "text", "text", "own", "library"],
        ),
        (
            [
                "run.rb:3:in `load': no (RuntimeError)",
                "\tfrom run.rb:9:in `<main>'",
                "\tfrom /usr/lib/ruby/3.2.0/json.rb:1:in `parse'",
            ],
            ["text", "own", "library"],
        ),
        (["no trace", "  at all", ""], ["text", "text", "text"]),
    ],
)
def test_frames_of_other_languages_are_known(lines: list[str], kinds: list[str]) -> None:
    found = [(section.kind, section.text) for section in split("\n".join(lines))]

    expected: list[tuple[str, str]] = []
    for kind, line in zip(kinds, lines, strict=True):
        if expected and expected[-1][0] == kind:
            expected[-1] = (kind, f"{expected[-1][1]}\n{line}")
        else:
            expected.append((kind, line))
    assert found == expected


@pytest.mark.parametrize(
    "text", ["", "\n\n", 'File "' * 9000, " at " * 16_000, "\t" * 65_000, "from x:1:in " * 5000]
)
def test_hostile_text_is_split_fast_and_nothing_is_lost(text: str) -> None:
    began = time.perf_counter()
    found = split(text)

    assert "\n".join(section.text for section in found) == text
    assert time.perf_counter() - began < 1
