"""Runs benchmarks, keeps their figures in ``bench/results/``, and compares them with the last ones.

PYTHONPATH=. python bench/keep.py api [MORE BENCHMARKS] [ARGUMENTS OF EACH]
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from figures import FILE

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results"
Result = dict[str, Any]
"""What one benchmark gave."""
PACKAGES = ("flask", "sqlalchemy", "gunicorn", "psycopg")


def git(*arguments: str) -> str:
    """Return what git prints, without its last newline."""
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True).strip()


def commit() -> str:
    """Return the short hash of the commit, marked if the tree differs from it."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=10", "HEAD") + (" with changes" if changed else "")


def processor() -> str:
    """Return the model of the processor and how many of them there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}"


def machine() -> dict[str, str]:
    """Return what says where and when the figures were measured."""
    installed = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "processors": processor(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()}, {installed}",
    }


def run(name: str, arguments: list[str]) -> Result:
    """Run ``bench/<name>.py``; return its command, what it printed and its figures."""
    command = ["python", f"bench/{name}.py", *arguments]
    with NamedTemporaryFile("r+") as file:
        process = subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=ROOT,
            env={**os.environ, FILE: file.name},
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
        if process.wait():
            sys.exit(f"bench/{name}.py failed; nothing is kept")
        figures = [json.loads(line) for line in file]
    return {"command": " ".join(command), "output": lines, "figures": figures}


def kept() -> list[dict[str, Any]]:
    """Return all results, oldest first."""
    results = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    return sorted(results, key=lambda result: str(result["date"]))


def compare(name: str, now: Result, results: Iterable[dict[str, Any]]) -> None:
    """Print how the figures of a benchmark differ from those of the newest of *results*."""
    before = [result for result in results if name in result["benchmarks"]]
    if not before:
        return
    old = {_key(figure): figure["figure"] for figure in before[-1]["benchmarks"][name]["figures"]}
    print(f"{name}, compared with {before[-1]['commit']} of {before[-1]['date']}:")
    for figure in now["figures"]:
        value = old.get(_key(figure))
        if value:
            change = (figure["figure"] / value - 1) * 100
            what = f"{figure['database']:10} {figure['name']}"
            print(f"{what:72} {value:10,.2f} → {figure['figure']:10,.2f}  {change:+6.0f} %")


def _key(figure: dict[str, Any]) -> tuple[str, str]:
    return figure["database"], figure["name"]


def main(names: list[str], arguments: list[str]) -> None:
    """Run benchmarks, compare each with its last result, and write the file of this commit."""
    result: dict[str, Any] = {**machine(), "benchmarks": {}}
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{result['commit'].replace(' ', '-')}.json"
    for name in names:
        result["benchmarks"][name] = run(name, arguments)
    for name, measured in result["benchmarks"].items():
        compare(name, measured, kept())
    if path.exists():
        earlier = json.loads(path.read_text())["benchmarks"]
        result["benchmarks"] = {**earlier, **result["benchmarks"]}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(f"kept in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    chosen = [word for word in sys.argv[1:] if (ROOT / f"bench/{word}.py").exists()]
    if not chosen:
        sys.exit(__doc__)
    main(chosen, sys.argv[1 + len(chosen) :])
