"""Run a benchmark and keep what it prints, with the machine and the commit, in ``bench/results/``.

PYTHONPATH=. python bench/keep.py api [ARGUMENTS OF THE BENCHMARK]
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results"
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


def header(command: list[str]) -> str:
    """Return the lines that say what ran, where and when."""
    installed = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    rows = {
        "command": " ".join(command),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "processors": processor(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()}, {installed}",
    }
    return "".join(f"{name:<12} {value}\n" for name, value in rows.items())


def main(name: str, arguments: list[str]) -> None:
    """Run ``bench/<name>.py`` and write the file; a benchmark that fails leaves none."""
    command = ["python", f"bench/{name}.py", *arguments]
    text = header(command)
    result = subprocess.run(
        [sys.executable, *command[1:]], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{name}.txt"
    lines = [line.rstrip() for line in f"{text}\n{result.stdout}".splitlines()]
    path.write_text("\n".join(lines) + "\n")
    print(result.stdout, end="")
    print(f"kept in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
