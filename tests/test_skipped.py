"""The table of skipped tests, in a real run of pytest."""

import subprocess
import sys
from pathlib import Path

from conftest import ROOT
from processes import environment

SOME = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_with_a_broker(number):
    pytest.skip("there is no broker")

@pytest.mark.skipif(True, reason="there is no curl")
def test_with_curl():
    pass

def test_without():
    pass
"""


def run_pytest(folder: Path, source: str) -> list[str]:
    (folder / "test_some.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "skipped", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", folder, folder],
        env=environment(PYTHONPATH=str(ROOT / "tests")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_reasons_are_counted_at_the_end(tmp_path: Path) -> None:
    lines = run_pytest(tmp_path, SOME)

    assert lines[-4].strip("= ") == "skipped: 4"
    assert lines[-3:-1] == ["     3  there is no broker", "     1  there is no curl"]


def test_a_run_without_skipped_tests_says_so(tmp_path: Path) -> None:
    lines = run_pytest(tmp_path, "def test_without():\n    pass\n")

    assert lines[-2].strip("= ") == "skipped: nothing"
