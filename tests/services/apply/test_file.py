"""The file that apply reads: its values, its lines, and its secrets."""

import pytest

from taskbadger.errors import FieldError
from taskbadger.services.apply.file import Document, FileError, identity, load_entries, read

TEXT = """\
organization: acme
channels:
  - integration: webhook:ops
    config:
      url: https://example.com/${TOKEN}
      note: 2026-05-04
monitors:
  - project: web
    name: nightly
    type: cron
    schedule: "0 2 * * *"
    action: [webhook:all, {integration: webhook:ops, config: {}}]
"""


def read_text(text: str, **environ: str) -> Document:
    return read(text.encode(), "acme.yaml", environ)


def problems_of(text: str, **environ: str) -> list[str]:
    with pytest.raises(FileError) as error:
        load_entries(read_text(text, **environ))
    head, *problems = error.value.detail.splitlines()
    assert head == "nothing was changed:"
    return problems


def test_values_are_read_with_the_environment_and_dates_stay_text() -> None:
    document = read_text(TEXT, TOKEN="hidden")

    assert document.content == {
        "organization": "acme",
        "channels": [
            {
                "integration": "webhook:ops",
                "config": {"url": "https://example.com/hidden", "note": "2026-05-04"},
            }
        ],
        "monitors": [
            {
                "project": "web",
                "name": "nightly",
                "type": "cron",
                "schedule": "0 2 * * *",
                "action": ["webhook:all", {"integration": "webhook:ops", "config": {}}],
            }
        ],
    }


def test_line_of_every_value_is_known() -> None:
    lines = read_text(TEXT, TOKEN="hidden").lines

    assert {path: lines[path] for path in [(), ("channels", 0), ("monitors", 0, "type")]} == {
        (): 1,
        ("channels", 0): 3,
        ("monitors", 0, "type"): 10,
    }


def test_value_from_the_environment_is_a_secret() -> None:
    document = read_text(TEXT, TOKEN="hidden")

    assert document.secrets == {("channels", 0, "config", "url"): "hidden"}
    assert [
        document.is_secret(path)
        for path in [
            ("channels", 0, "config", "url"),
            ("channels", 0),
            ("channels", 0, "config", "note"),
            ("monitors",),
        ]
    ] == [True, True, False, False]


def test_problem_names_the_nearest_line_and_masks_secrets() -> None:
    document = read_text(TEXT, TOKEN="hidden")

    assert [
        document.problem(("channels", 0, "config", "token"), "Not hidden."),
        document.problem((), "Wrong."),
    ] == ["acme.yaml:4: channels.0.config.token: Not ***.", "acme.yaml:1: Wrong."]


def test_short_values_are_not_masked() -> None:
    document = read_text(TEXT, TOKEN="on")

    assert document.problem((), "Not on.") == "acme.yaml:1: Not on."


def test_errors_of_an_entry_have_a_line_each() -> None:
    document = read_text(TEXT, TOKEN="hidden")
    errors = [
        FieldError("invalid", "Wrong.", "action.1.config"),
        FieldError("invalid", "All wrong.", None),
    ]

    assert list(document.problems(("monitors", 0), errors)) == [
        "acme.yaml:12: monitors.0.action.1.config: Wrong.",
        "acme.yaml:8: monitors.0: All wrong.",
    ]


def test_doubled_dollar_sign_stands_for_one() -> None:
    document = read_text("organization: $${NAME}-${NAME}", NAME="acme")

    assert document.content == {"organization": "${NAME}-acme"}


def test_entries_are_loaded_and_short_channels_written_out() -> None:
    sections = load_entries(read_text(TEXT, TOKEN="x"))

    assert list(sections) == ["channels", "monitors"]
    (monitor,) = sections["monitors"]
    assert monitor["action"] == [
        {"integration": "webhook:all", "config": {}},
        {"integration": "webhook:ops", "config": {}},
    ]


def test_empty_file_and_empty_section_have_no_entries() -> None:
    assert load_entries(read_text("")) == {}
    assert load_entries(read_text("monitors:")) == {"monitors": []}


def test_entries_are_identified_by_section() -> None:
    entry = {"integration": "webhook:ops", "project": "web", "name": "nightly"}

    assert [identity(section, entry) for section in ("channels", "global_actions", "monitors")] == [
        ("webhook:ops",),
        ("nightly",),
        ("web", "nightly"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- 1", "acme.yaml:1: Expected projects, channels, global_actions, monitors, windows."),
        ("a: 1\na: 2", "acme.yaml:2: a: Duplicate key."),
        ("a: ${GONE}", "acme.yaml:1: a: The environment variable GONE is not set."),
        ("a: !!int x", "acme.yaml:1: a: This is not a valid value of type tag:yaml.org,2002:int."),
        ("monitors: 1", "acme.yaml:1: monitors: Expected a list."),
        (
            "monitor: []",
            "acme.yaml:1: monitor: Expected one of: organization, projects, channels, "
            "global_actions, monitors, windows.",
        ),
        (
            TEXT + TEXT[TEXT.index("  - project") :],
            "acme.yaml:13: monitors.1: web nightly is in the file twice.",
        ),
    ],
)
def test_problem_is_reported_with_its_line(text: str, problem: str) -> None:
    assert problems_of(text, TOKEN="x") == [problem]


def test_text_that_is_not_yaml_is_refused_with_its_line() -> None:
    (problem,) = problems_of("a: 1\nb: [")

    assert problem.startswith("acme.yaml:2: not YAML: ")


def test_deep_nesting_is_refused() -> None:
    (problem,) = problems_of("a: " + "[" * 30 + "]" * 30)

    assert problem.endswith(": Nested too deeply.")
