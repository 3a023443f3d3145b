"""The supervisor as a process of its own: small, and able to say what it does."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import environment, serve, wait_until

MAX_BYTES = 40 * 1024 * 1024


def test_the_supervisor_of_serve_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)  # Coverage alone takes megabytes.
    with serve(tmp_path) as server:
        assert server.get("/readyz")[0] == 200
        wait_until(lambda: len(server.said("started")) == 2, "both children")

        used = psutil.Process(server.process.pid).memory_info().rss

    assert used < MAX_BYTES


def test_the_supervisor_imports_nothing_outside_the_standard_library() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, taskbadger.supervisor; print(*sys.modules)"],
        env=environment(COVERAGE_PROCESS_START="", COVERAGE_PROCESS_CONFIG=""),
        capture_output=True,
        text=True,
        check=True,
    )
    before = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        env=environment(COVERAGE_PROCESS_START="", COVERAGE_PROCESS_CONFIG=""),
        capture_output=True,
        text=True,
        check=True,
    )

    new = set(shown.stdout.split()) - set(before.stdout.split())
    assert {name for name in new if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "taskbadger",
        "taskbadger.log_lines",
        "taskbadger.supervisor",
    }


def test_a_plan_is_handed_over_to_the_process_that_follows(tmp_path: Path) -> None:
    child = [sys.executable, "-c", "import os; print(os.environ['GIVEN'], flush=True)"]
    script = f"""
from taskbadger.supervisor import Plan, Process, hand_over

print("before")
child = Process("child", {child}, 1, variables={{"GIVEN": "value"}})
hand_over(Plan([child], None, "INFO", "json"))
"""
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        wait_until(lambda: '"ended"' in (tmp_path / "log").read_text(), "the end of the child")
        process.terminate()
        status = process.wait()
        process.stdout.close()

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert said == ["before\n", "value\n"]
    assert (status, events[:2], events[-1]) == (0, ["started", "ended"], "stopped")
    assert events.count("stopping") == 1
