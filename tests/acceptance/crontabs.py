"""A machine whose jobs the script of ``/tb`` watches: its commands are stores of files."""

import os
import re
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ODD = Path(__file__).parent / "odd.crontab"

_CRONTAB = """#!/bin/sh
case $1 in
-l) cat "{home}/tab" 2>/dev/null || {{ echo "no crontab for ann" >&2; exit 1; }} ;;
*) cat "$1" >"{home}/tab" && echo "$1" >>"{home}/installs" ;;
esac
"""
_ID = """#!/bin/sh
case $1 in -u) echo {uid} ;; *) echo {user} ;; esac
"""
_SYSTEMCTL = """#!/bin/sh
case $1 in
list-units) cat "{home}/timers" ;;
show) cat "{home}/shown" ;;
*) echo "$1" >>"{home}/systemctl" ;;
esac
"""
_SYSTEMD_RUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec env -u INVOCATION_ID "$@"
"""


@dataclass
class Machine:
    """Its home has the crontab in ``tab``, and the files of the system in ``etc``."""

    home: Path
    server: str
    key: str
    shell: str = "dash"
    is_root: bool = False
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Install the commands."""
        (self.home / "bin").mkdir(parents=True)
        (self.home / "etc" / "cron.d").mkdir(parents=True)
        (self.home / "etc" / "timezone").write_text("Europe/Paris\n")
        self.install("crontab", _CRONTAB.format(home=self.home))
        user = ("0", "root") if self.is_root else ("1000", "ann")
        self.install("id", _ID.format(uid=user[0], user=user[1]))
        self.install("uname", "#!/bin/sh\necho Box.example.com\n")
        self.install("systemctl", _SYSTEMCTL.format(home=self.home))
        self.install("systemd-run", _SYSTEMD_RUN)
        (self.home / "timers").touch()
        self.script.write_text(httpx2.get(f"{self.server}/tb", trust_env=False).text)

    def install(self, name: str, text: str) -> None:
        """Install a command."""
        (self.home / "bin" / name).write_text(text)
        (self.home / "bin" / name).chmod(0o755)

    @property
    def script(self) -> Path:
        """The script, saved."""
        return self.home / "tb"

    @property
    def tab(self) -> Path:
        """The crontab."""
        return self.home / "tab"

    @property
    def folder(self) -> Path:
        """Where the helper goes."""
        return self.home / "lib"

    @property
    def environment(self) -> dict[str, str]:
        """What the script finds in its environment."""
        return {
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "TASKBADGER_PING_KEY": self.key,
            **self.variables,
        }

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        places = ("--dir", str(self.folder), "--etc", str(self.home / "etc"))
        return subprocess.run(
            [*shlex.split(self.shell), str(self.script), *places, *options],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def must(self, *options: str) -> str:
        """Run the script, which succeeds and complains about nothing; return what it says."""
        done = self.run(*options)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    def jobs(self, text: str | None = None) -> list["Job"]:
        """Return the jobs of the crontab, as cron reads them."""
        return list(read_jobs(self.tab.read_text() if text is None else text))

    def start(self, job: "Job") -> "Running":
        """Start a job as cron does."""
        environment = {"PATH": self.environment["PATH"], "HOME": str(self.home), "LOGNAME": "ann"}
        environment |= {"TMPDIR": str(self.home), **job.environment}
        process = subprocess.Popen(
            [job.shell, "-c", job.command],
            env=environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return Running(process, job.stdin)

    def run_all(self, jobs: Sequence["Job"]) -> list[tuple[int, bytes, bytes]]:
        """Run jobs, all at once."""
        return [running.end() for running in [self.start(job) for job in jobs]]


@dataclass
class Running:
    """A job that runs."""

    process: subprocess.Popen[bytes]
    stdin: bytes

    def end(self) -> tuple[int, bytes, bytes]:
        """Wait for its end; return its exit status as a shell sees it, and what it printed."""
        out, err = self.process.communicate(self.stdin, timeout=60)
        status = self.process.returncode
        return (status if status >= 0 else 128 - status), out, err


@dataclass(frozen=True)
class Job:
    """A job as cron runs it."""

    line: str
    command: str
    stdin: bytes
    environment: dict[str, str]

    @property
    def shell(self) -> str:
        """The shell that runs it."""
        return self.environment["SHELL"]

    @property
    def slug(self) -> str:
        """The slug in a wrapped line."""
        found = re.match(r"\$\(\S+/run (?:-o )?(\S+)\) ", self.command)
        assert found is not None, self.line
        return found[1]


_SETTING = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s"'=]+)\s*=\s*(.*?)\s*$""")
_ENTRY = re.compile(r"\s*(?:@\S+|(?:\S+\s+){4}\S+)\s+(\S.*)$")


def read_jobs(text: str) -> Iterator[Job]:
    """Read a crontab like cron, from whose sources these rules are."""
    environment = {"SHELL": "/bin/sh"}
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if setting := _SETTING.match(line):
            environment = {**environment, setting[1].strip("\"'"): setting[2].strip("\"'")}
        elif entry := _ENTRY.match(line):
            yield Job(line, *_split(entry[1]), environment=environment)


def _split(text: str) -> tuple[str, bytes]:
    """Split a command from what it reads, at the first ``%`` without a backslash."""
    parts = [""]
    for found in re.finditer(r"\\?.", text, re.DOTALL):
        each = found[0]
        if each == "%":
            parts.append("")
        else:
            parts[-1] += "%" if each == "\\%" else each
    return parts[0], ("\n".join(parts[1:]) + "\n" if len(parts) > 1 else "").encode()


@contextmanager
def hanging_server() -> Iterator[str]:
    """Accept connections, and never answer; return the address."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        kept: list[Any] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for connection, _ in kept:
        connection.close()
