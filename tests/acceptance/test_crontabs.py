"""The script of ``/tb`` on machines with odd crontabs, and the jobs that it wraps."""

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from acceptance.crontabs import ODD, Job, Machine, hanging_server
from acceptance.live import LiveProject
from skipped import leave_to_faults

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.keys import parse_token
from taskbadger.extensions import db
from taskbadger.services.organizations import keys, organizations, projects

JOBS = 25
"""Jobs of the odd crontab that are wrapped."""


@pytest.fixture(autouse=True)
def other_database(request: pytest.FixtureRequest, backend: str) -> None:
    """Leave all but the main thing on PostgreSQL to ``make faults``: the script is the same."""
    if request.function.__name__ != "test_apply_again_and_undo":
        leave_to_faults(backend, "postgresql")


@pytest.fixture
def key(live: LiveProject, live_server: Any) -> str:
    """The secret of a key that may ping."""
    return new_key(live, live_server, "ping")


@pytest.fixture
def admin(live: LiveProject, live_server: Any) -> str:
    return new_key(live, live_server, "admin")


def new_key(live: LiveProject, live_server: Any, scope: str) -> str:
    with live_server.app.app_context():
        now = utcnow()
        parent = organizations.ensure_organization(live.organization, actor=SERVER, now=now)
        project = projects.ensure_project(parent, live.slug, actor=SERVER, now=now)
        _, key = keys.create_key(parent, project, actor=SERVER, name=scope, now=now, scopes=scope)
        db.session.commit()
        db.session.remove()
    token = parse_token(key)
    assert token is not None
    return token.secret


@pytest.fixture
def machine(live: LiveProject, key: str, tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "box", live.host, key)
    made.tab.write_bytes(ODD.read_bytes())
    return made


@pytest.fixture
def new_machine(live: LiveProject, key: str, tmp_path: Path) -> Callable[..., Machine]:
    def make(crontab: str = "", **options: Any) -> Machine:
        made = Machine(tmp_path / f"box-{len(list(tmp_path.iterdir()))}", live.host, key, **options)
        if crontab:
            made.tab.write_text(crontab)
        return made

    return make


def monitors(live: LiveProject) -> dict[str, Any]:
    page = live.read("/monitors/")
    found = page["results"]
    while page["next"]:
        page = live.client.get(page["next"]).json()
        found += page["results"]
    return {monitor["slug"]: monitor for monitor in found}


def files(machine: Machine) -> dict[str, tuple[bytes, int]]:
    """Return the content and the mode of each file of the system and of the crontab."""
    paths = [machine.tab, *(machine.home / "etc").rglob("*")]
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in paths if path.is_file()}


# The crontab


def test_plan_changes_nothing(machine: Machine, live: LiveProject) -> None:
    before = files(machine)

    said = machine.must()

    assert f"{JOBS} to add, 0 to send again, 0 as they are, 6 left alone." in said
    assert "+ line 7: */5 * * * * echo plain\n      monitor box-echo-plain-" in said
    assert files(machine) == before
    assert not machine.folder.exists()
    assert monitors(live) == {}


def test_what_is_not_understood_is_named(machine: Machine) -> None:
    said = machine.must()

    reasons = [line.strip() for line in said.splitlines() if line.startswith("  !")]
    assert reasons == [
        "! line 32: left alone: it has no command: 1 2 3 4",
        "! line 33: left alone: “0~59” is not a time that the server knows: "
        "0~59 * * * * echo random",
        "! line 34: left alone: “@every_second” is not a time that the server knows: "
        "@every_second echo no",
        "! line 35: left alone: “61” is not a time that the server knows: 61 * * * * echo wrong",
        "! line 36: left alone: it pings by itself: 0 20 * * * curl -fsS http://127.0.0.1/ping/abc",
        "! line 38: left alone: SHELL is /usr/bin/fish: 0 21 * * * echo other shell",
    ]


def test_apply_again_and_undo(machine: Machine, live: LiveProject, backend: str) -> None:
    """On one database with 200 lines."""
    jobs = JOBS
    if backend == "sqlite":
        odd = ODD.read_text().split("\n")
        more = [
            f"{n % 60} {n % 24} * * * /opt/jobs/run-{n}.sh 'x {n}' > /dev/null" for n in range(162)
        ]
        machine.tab.write_text("\n".join([*odd[:30], *more, *odd[30:]]))
        jobs += len(more)
    before = files(machine)

    first = machine.must("--apply")
    wrapped, made = files(machine), monitors(live)
    again = machine.must("--apply")

    assert f"{jobs} added, 0 sent again, 0 as they were, 6 left alone." in first
    assert f"Nothing to change: {jobs} as they are, 6 left alone." in again
    assert files(machine) == wrapped != before
    assert monitors(live) == made
    assert sorted(made) == sorted(job.slug for job in machine.jobs() if "$(" in job.command[:2])
    assert {monitor["health"] for monitor in made.values()} == {"new"}
    assert live.tasks() == []
    assert f"crontab of ann: lines as they were: {jobs}" in machine.must("--undo")
    assert files(machine) == before
    assert not machine.folder.exists()
    assert "Nothing to take out." in machine.must("--undo")


@pytest.mark.parametrize("shell", ["bash --posix", "busybox sh"])
def test_other_shells_do_the_same(
    new_machine: Callable[..., Machine], live: LiveProject, shell: str
) -> None:
    program, option = shell.split()
    if shutil.which(program) is None:
        pytest.skip(f"{shell} is not installed")
    text = ODD.read_text()
    plain, machine = new_machine(text), new_machine(text, shell=shell)
    if program == "busybox":
        machine.install("awk", '#!/bin/sh\nexec busybox awk "$@"\n')
    assert machine.must() == plain.must()
    before = machine.jobs()

    machine.must("--apply", "--output", "--only", "unbalanced|three|caught")
    helper = machine.folder / "run"
    helper.write_text(f"#!{shutil.which(program)} {option}\n{helper.read_text()}")

    chosen = [(a, b) for a, b in zip(before, machine.jobs(), strict=True) if a != b]
    assert len(chosen) == 3
    assert machine.run_all([b for _, b in chosen]) == machine.run_all([a for a, _ in chosen])
    outputs = {task["name"]: task["data"].get("output") for task in live.tasks()}
    assert outputs["cat on box"] == "line one\nline two % three\n\n"
    machine.must("--undo")
    assert machine.tab.read_text() == text


def test_monitors_have_the_schedules_of_their_lines(
    new_machine: Callable[..., Machine], live: LiveProject
) -> None:
    machine = new_machine(
        "0 5 * * mon-FRI /opt/app/sync.sh --password secret --config /etc/app.conf > /dev/null\n"
        "@reboot /opt/start\n"
        "CRON_TZ=Asia/Tokyo\n"
        "@daily cd /srv/app && FOO=1 nice -n 5 php artisan schedule:run\n"
    )

    machine.must("--apply", "--prefix", "web-1", "--grace", "300", "--max-runtime", "900")

    names = ("name", "type", "schedule", "interval", "timezone", "start_grace", "max_runtime")
    assert {slug[:-7]: [made[name] for name in names] for slug, made in monitors(live).items()} == {
        "web-1-sync-sh-app-conf": [
            "sync.sh app.conf on box", "cron", "0 5 * * mon-FRI", None, "Europe/Paris", 300, 900,
        ],
        "web-1-start": ["start on box", "interval", None, 31536000, "UTC", 300, 900],
        "web-1-php-artisan-schedule-run": [
            "php artisan schedule:run on box", "cron", "@daily", None, "Asia/Tokyo", 300, 900,
        ],
    }  # fmt: skip


def test_change_of_a_line_changes_its_monitor_until_people_do(
    new_machine: Callable[..., Machine], live: LiveProject, admin: str
) -> None:
    machine = new_machine("0 5 * * * /opt/sync\n")
    machine.must("--apply")
    machine.tab.write_text(machine.tab.read_text().replace("0 5", "0 6"))

    said = machine.must("--apply")

    [monitor] = monitors(live).values()
    assert monitor["schedule"] == "0 6 * * *"
    assert "0 added, 1 sent again" in said
    live.client.patch(
        f"/monitors/{monitor['id']}/",
        json={"schedule": "0 7 * * *"},
        headers={"Authorization": f"Bearer {admin}"},
    ).raise_for_status()
    machine.tab.write_text(machine.tab.read_text().replace("0 6", "0 8"))
    assert "whose schedule people have changed: theirs stays" in machine.must("--apply")
    assert [each["schedule"] for each in monitors(live).values()] == ["0 7 * * *"]


def test_slugs_stay_when_lines_come_and_go(
    new_machine: Callable[..., Machine],
) -> None:
    machine = new_machine("0 5 * * * echo same\n0 6 * * * echo same\n")
    machine.must("--apply")
    first = machine.tab.read_text()
    machine.tab.write_text("0 4 * * * echo same\n" + first)

    machine.must("--apply")

    slugs = [job.slug for job in machine.jobs()]
    assert machine.tab.read_text().endswith(first)
    assert [slug.rpartition("-")[2] for slug in slugs] == ["3", slugs[1].rpartition("-")[2], "2"]


def test_only_and_exclude_choose_lines(new_machine: Callable[..., Machine]) -> None:
    text = "0 5 * * * echo a\n0 6 * * * echo b\n0 7 * * * echo ab\n"
    machine = new_machine(text)

    machine.must("--apply", "--only", "echo a", "--exclude=b$")
    assert [job.command.startswith("$(") for job in machine.jobs()] == [True, False, False]
    machine.must("--apply")
    machine.must("--undo", "--only", "echo b")
    assert [job.command.startswith("$(") for job in machine.jobs()] == [True, False, True]
    assert (machine.folder / "run").exists()
    machine.must("--undo")
    assert machine.tab.read_text() == text


def test_edits_of_wrapped_lines_survive_undo(new_machine: Callable[..., Machine]) -> None:
    machine = new_machine("0 5 * * * echo 'a'\n0 6 * * * echo b\n")
    machine.must("--apply")
    text = machine.tab.read_text().replace("0 5", "0 9").replace("c 'echo b'", "c 'echo b")
    machine.tab.write_text(text)

    said = machine.must("--undo")

    assert machine.tab.read_text().startswith("0 9 * * * echo 'a'\n0 6 * * * $(")
    assert "lines as they were: 1" in said
    assert "it was wrapped, and has been changed since" in machine.must()


def test_output_can_be_asked_for_later(new_machine: Callable[..., Machine]) -> None:
    machine = new_machine("0 5 * * * echo a\n")
    machine.must("--apply")

    machine.must("--apply", "--output")

    assert "/run -o box-echo-a-" in machine.tab.read_text()
    assert "Nothing to change" in machine.must("--apply", "--output")
    assert "Nothing to change" in machine.must("--apply")


# What goes wrong


def test_nothing_is_wrapped_while_the_server_is_away(machine: Machine, live: LiveProject) -> None:
    before = files(machine)

    done = machine.run("--apply", "--server", "http://127.0.0.1:9")

    assert done.returncode == 1
    assert "the server at http://127.0.0.1:9 cannot be reached" in done.stderr
    assert files(machine) == before
    assert not machine.folder.exists()


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--nope",), 2, "there is no option --nope"),
        (("--apply", "--undo"), 2, "exclude each other"),
        (("--only",), 2, "--only needs a value"),
        (("--only", "(["), 2, "is not a regular expression"),
        (("--grace", "1h"), 2, "1h is not a number of seconds"),
        (("--prefix", "A b"), 2, "a prefix has up to 30"),
        (("--tz", "a'b"), 2, "is not a time zone"),
        (("--apply", "--key", "x'y."), 1, "this is not a key"),
        (("--apply", "--key-file", "/nonexistent"), 1, "cannot be read"),
        (("--apply", "--server", "ftp://x"), 1, "is not the address of a server"),
        (("--apply", "--server", "http://x'$(id)"), 1, "is not the address of a server"),
        (("--apply", "--key", "no.key"), 1, "does not know this key for pings"),
        (("--apply", "--tz", "Mars/Olympus"), 1, 'tz: "Mars/Olympus" is unknown'),
        (("--dir", "/a b"), 1, "an absolute path without spaces"),
    ],
)
def test_what_is_wrong_is_named(
    new_machine: Callable[..., Machine], options: tuple[str, ...], status: int, words: str
) -> None:
    machine = new_machine("0 5 * * * echo a\n")
    done = machine.run(*options)

    assert done.returncode == status
    assert words in done.stdout + done.stderr
    assert machine.tab.read_text() == "0 5 * * * echo a\n"


def test_machine_without_a_crontab_has_nothing_to_do(new_machine: Callable[..., Machine]) -> None:
    machine = new_machine()

    assert "0 to add" in machine.must()
    assert "Nothing to change" in machine.must("--apply")
    assert not machine.tab.exists()
    assert not machine.folder.exists()


def test_crontab_that_changes_meanwhile_is_left_alone(new_machine: Callable[..., Machine]) -> None:
    machine = new_machine("0 5 * * * echo a\n")
    command = machine.home / "bin" / "crontab"
    machine.install("crontab", command.read_text().replace("esac", "esac; echo '#' >>$0.log") + (
        f'[ "$(wc -l <$0.log)" != 1 ] || echo "# edited" >>{machine.tab}\n'
    ))  # fmt: skip

    done = machine.run("--apply")

    assert done.returncode == 1
    assert "somebody has changed it meanwhile" in done.stderr
    assert machine.tab.read_text() == "0 5 * * * echo a\n# edited\n"


def test_key_is_in_no_list_of_processes(new_machine: Callable[..., Machine], key: str) -> None:
    machine = new_machine("0 5 * * * echo a\n")
    for name in ("curl", "wget"):
        program = shutil.which(name)
        machine.install(
            name, f'#!/bin/sh\necho "{name} $*" >>{machine.home}/seen\nexec {program} "$@"\n'
        )
    machine.must("--apply")
    [job] = machine.jobs()
    machine.run_all([job])

    seen = (machine.home / "seen").read_text()
    assert seen.count("curl ") == 3
    assert key not in seen
    assert key not in machine.tab.read_text()
    assert (machine.folder / "key").stat().st_mode & 0o777 == 0o600


def test_wget_does_where_there_is_no_curl(
    new_machine: Callable[..., Machine], live: LiveProject, key: str
) -> None:
    machine = new_machine("0 5 * * * echo a; exit 3\n")
    names = "awk sed cat cmp cp mv rm mkdir mktemp head tail tr cut date chmod touch sort grep od"
    for (
        name
    ) in f"{names} wget timeout dash sh sleep readlink wc env basename rmdir tee mkfifo".split():
        found = shutil.which(name)
        if found and not (machine.home / "bin" / name).exists():
            (machine.home / "bin" / name).symlink_to(found)
    machine.variables["PATH"] = str(machine.home / "bin")

    machine.must("--apply", "--output")

    helper = machine.folder / "run"
    helper.write_text(helper.read_text().replace(":/usr/local/bin:/usr/bin:/bin", ""))
    [job] = machine.jobs()
    assert machine.run_all([job]) == [(3, b"a\n", b"")]
    [task] = live.tasks()
    assert (task["status"], task["data"]["output"], task["data"]["exit_status"]) == (
        "error",
        "a\n",
        3,
    )


# The jobs


def test_jobs_run_as_before(machine: Machine, live: LiveProject) -> None:
    before = machine.jobs()
    machine.must("--apply")
    pairs = list(zip(before, machine.jobs(), strict=True))
    plain, wrapped = zip(*((a, b) for a, b in pairs if a != b), strict=True)
    assert len(wrapped) == JOBS
    assert [job.stdin for job in wrapped] == [job.stdin for job in plain]
    wanted = machine.run_all(plain)
    assert len({status for status, _, _ in wanted}) > 6

    ran = machine.run_all(wrapped)

    assert ran == wanted
    names = {slug: monitor["name"] for slug, monitor in monitors(live).items()}
    told = Counter((task["name"], task["data"]["exit_status"]) for task in live.tasks())
    assert told == Counter(
        (names[job.slug], status) for job, (status, _, _) in zip(wrapped, wanted, strict=True)
    )
    for way in ("refused", "hanging", "no key", "no helper"):
        assert _run_without(machine, way, wrapped) == wanted, way


def _run_without(machine: Machine, way: str, jobs: Sequence[Job]) -> list[tuple[int, bytes, bytes]]:
    """Run jobs while something is missing that the helper needs."""
    helper, text = machine.folder / "run", (machine.folder / "run").read_text()
    lines = [line for line in text.splitlines() if line.startswith("server=")]
    with hanging_server() as address:
        if way == "hanging":
            changed = text.replace("-m 5", "-m 1")
            assert changed != text
            helper.write_text(changed.replace(lines[0], f"server='{address}'"))
        elif way == "refused":
            helper.write_text(text.replace(lines[0], "server='http://127.0.0.1:9'"))
        elif way == "no key":
            (machine.folder / "key").rename(machine.folder / "gone")
        else:
            helper.unlink()
        ran = machine.run_all(jobs)
    if way == "no key":
        (machine.folder / "gone").rename(machine.folder / "key")
    elif way != "no helper":
        helper.write_text(text)
    else:
        # The shell says that there is no helper, and then runs the job.
        assert all(b"run" in err.split(b"\n")[0] for _, _, err in ran)
        ran = [(status, out, err.partition(b"\n")[2]) for status, out, err in ran]
    return ran


def test_output_is_sent_and_printed(new_machine: Callable[..., Machine], live: LiveProject) -> None:
    machine = new_machine(
        "0 5 * * * echo out; echo err >&2; echo out; exit 1\n"
        "0 6 * * * true silent\n"
        "0 7 * * * (sleep 3; echo left) & echo begun\n"
        "0 8 * * * head -c 300000 /dev/zero | tr '\\0' x; echo; echo last\n"
    )
    plain = machine.jobs()
    expected = machine.run_all(plain)
    machine.must("--apply", "--output")

    assert machine.run_all(machine.jobs()) == expected

    tasks = {task["name"]: task["data"] for task in live.tasks()}
    assert tasks["echo out on box"] == {
        "exit_status": 1, "output": "out\nerr\nout\n", "error": "out",
    } or sorted(tasks["echo out on box"]["output"]) == sorted("out\nerr\nout\n")  # fmt: skip
    assert tasks["true silent on box"] == {"exit_status": 0}
    assert tasks["head zero on box"]["output"].endswith("x\nlast\n")
    assert len(tasks["head zero on box"]["output"]) == 100_000
    assert [path.name for path in machine.home.glob("taskbadger.*")] == []


def test_output_keeps_its_order_where_it_goes_to_one_place(
    new_machine: Callable[..., Machine], live: LiveProject
) -> None:
    machine = new_machine("0 5 * * * for i in 1 2 3 4 5; do echo $i; echo $i >&2; done\n")
    machine.must("--apply", "--output")
    [job] = machine.jobs()

    mail = subprocess.run(
        [job.shell, "-c", job.command], env=machine.environment, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip

    assert mail == b"1\n1\n2\n2\n3\n3\n4\n4\n5\n5\n"
    [task] = live.tasks()
    assert task["data"]["output"] == mail.decode()


def test_job_that_runs_is_running(new_machine: Callable[..., Machine], live: LiveProject) -> None:
    machine = new_machine("0 5 * * * read line\n")
    machine.must("--apply")
    [job] = machine.jobs()
    running = machine.start(job)
    deadline = time.monotonic() + 30
    while not live.tasks():
        assert time.monotonic() < deadline
    [task] = live.tasks()
    running.stdin = b"x\n"

    assert running.end() == (0, b"", b"")
    assert task["status"] == "processing"
    assert [each["status"] for each in live.tasks()] == ["success"]


# The files of the system

SHOWN = """Id=backup.timer
Unit=backup.service
TimersCalendar={ OnCalendar=Mon..Fri *-*-* 02:30:00 ; next_elapse=Mon 2026-11-30 02:30:00 UTC }
AccuracyUSec=1min
RandomizedDelayUSec=1h 30min

Id=quarter.timer
Unit=quarter.service
TimersCalendar={ OnCalendar=*-*-* 00/2:00/15:00 ; next_elapse=Mon 2026-11-30 02:30:00 UTC }
AccuracyUSec=1s
RandomizedDelayUSec=0

Id=often.timer
Unit=often@1.service
TimersMonotonic={ OnBootUSec=5min ; next_elapse=0 }
TimersMonotonic={ OnUnitActiveUSec=15min ; next_elapse=0 }
AccuracyUSec=1min
RandomizedDelayUSec=0

Id=boot.timer
Unit=boot.service
TimersMonotonic={ OnBootUSec=5min ; next_elapse=0 }
AccuracyUSec=1min
RandomizedDelayUSec=0

Id=odd.timer
Unit=odd.service
TimersCalendar={ OnCalendar=Mon *-*-01 02:30:00 ; next_elapse=Mon 2026-11-30 02:30:00 UTC }
AccuracyUSec=1min

Id=target.timer
Unit=some.target
TimersCalendar={ OnCalendar=*-*-* 03:00:00 Asia/Tokyo ; next_elapse=0 }
"""


def test_files_and_timers_of_the_system(
    new_machine: Callable[..., Machine], live: LiveProject
) -> None:
    machine = new_machine(is_root=True)
    etc = machine.home / "etc"
    (etc / "crontab").write_text(
        "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n"
        "25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }\n"
        "-5 6 * * * root echo cronie"
    )
    (etc / "crontab").chmod(0o640)
    (etc / "cron.d" / "php").write_text("# x\n\n09,39 * * * * root [ -d /x ] && echo a%b%c\n")
    (etc / "cron.d" / "old.dpkg-dist").write_text("* * * * * root echo old\n")
    (machine.home / "timers").write_text(
        "".join(f"{name}.timer loaded active waiting x\n" for name in ("backup", "often"))
    )
    (machine.home / "shown").write_text(SHOWN)
    before = files(machine)

    said = machine.must("--apply")
    again = machine.must("--apply")

    assert "8 added, 0 sent again, 0 as they were, 2 left alone" in said
    assert "! odd.service: left alone: “Mon *-*-01 02:30:00” is not a time that the server" in said
    assert "! some.target: left alone: it starts some.target: target.timer" in said
    assert "Nothing to change: 8 as they are, 2 left alone." in again
    names = ("schedule", "interval", "timezone", "start_grace")
    shown = {made["name"]: [made[name] for name in names] for made in monitors(live).values()}
    assert shown == {
        "run-parts cron.hourly on box": ["17 * * * *", None, "Europe/Paris", None],
        "run-parts cron.daily on box": ["25 6 * * *", None, "Europe/Paris", None],
        "echo cronie on box": ["5 6 * * *", None, "Europe/Paris", None],
        "echo a on box": ["09,39 * * * *", None, "Europe/Paris", None],
        "backup on box": ["30 2 * * 1-5", None, "Europe/Paris", 5520],
        "quarter on box": ["0-59/15 0-23/2 * * *", None, "Europe/Paris", 61],
        "often-1 on box": [None, 900, "UTC", 120],
        "boot on box": [None, 31536000, "UTC", 120],
    }
    wrapped = (etc / "crontab").read_text().splitlines()
    assert wrapped[0].startswith(f"17 *\t* * *\troot    $({machine.folder}/run box-run-parts-")
    assert (etc / "crontab").stat().st_mode & 0o777 == 0o640
    drop_in = etc / "systemd/system/backup.service.d/taskbadger.conf"
    slug = next(slug for slug in monitors(live) if slug.startswith("box-backup-"))
    assert drop_in.read_text().splitlines()[1:] == [
        "[Service]",
        f"ExecStartPre=-+{machine.folder}/run -b {slug}",
        f"ExecStopPost=-+{machine.folder}/run -e {slug}",
    ]
    machine.must("--undo", "--only", "backup[.]timer")
    assert not drop_in.parent.exists()
    machine.must("--undo")
    assert files(machine) == before
    assert not machine.folder.exists()
    assert (machine.home / "systemctl").read_text() == "daemon-reload\n" * 3


@pytest.mark.parametrize(
    ("result", "status", "data"),
    [
        (("success", "exited", "0"), "success", {"exit_status": 0}),
        (("success", "exited", "4"), "success", {"exit_status": 0}),
        (("exit-code", "exited", "4"), "error", {"exit_status": 4, "error": "exit status 4"}),
        (("signal", "killed", "TERM"), "error", {"error": "failed"}),
        (("timeout", "exited", "0"), "error", {"error": "failed"}),
    ],
)
def test_systemd_tells_of_a_run(
    new_machine: Callable[..., Machine],
    live: LiveProject,
    result: tuple[str, str, str],
    status: str,
    data: dict[str, Any],
) -> None:
    machine = new_machine(is_root=True)
    (machine.home / "timers").write_text("boot.timer loaded active waiting x\n")
    (machine.home / "shown").write_text(SHOWN)
    machine.must("--apply", "--only", "boot")
    [slug] = monitors(live)
    invocation = os.urandom(16).hex()
    values = dict(zip(("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"), result, strict=True))
    seen = []
    for option, more in (("-b", {}), ("-e", values)):
        environment = {**machine.environment, "INVOCATION_ID": invocation, **more}
        subprocess.run([machine.folder / "run", option, slug], env=environment, check=True)
        seen.append([task["status"] for task in live.tasks()])

    assert seen == [["processing"], [status]]
    [task] = live.tasks()
    assert (task["data"], task["external_id"].replace("-", "")) == (data, invocation)
    assert json.dumps(task["data"]) == json.dumps(data)
