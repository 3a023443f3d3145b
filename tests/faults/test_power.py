"""The disk that loses power: what programs did to files, and what is left of it."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faults.power import SOURCE, Disk, File, Kind, Log, Record, Rest
from faults.preload import build
from processes import wait_until

SCRIPT = """
import os, sys

def write(name, data, flags=0):
    file = os.open(name, os.O_WRONLY | os.O_CREAT | flags)
    os.write(file, data)
    return file

def sync(name):
    os.fsync(os.open(name, os.O_RDONLY))

os.chdir(sys.argv[1])
here = os.open(".", os.O_RDONLY)

# This is synced: files, and the folders that their names are in.
os.mkdir("kept")
inner = os.open("kept", os.O_RDONLY)
file = write("kept/written", b"one")
os.pwrite(file, b"wo", 2)
os.writev(file, [b"three", b"-four"])
os.pwritev(file, [b"five", b"-six"], 20)
os.fdatasync(file)
file = write("kept/short", b"123456789")
os.ftruncate(file, 4)
os.posix_fallocate(file, 0, 6)
os.fsync(file)
os.truncate("old", 3)
sync("old")
os.open("emptied", os.O_WRONLY | os.O_TRUNC)
sync("emptied")
os.fsync(write("appended", b"+more", os.O_APPEND))
file = write("renamed.tmp", b"new")
os.fsync(file)
os.rename("renamed.tmp", "renamed")
os.fsync(write("second", b"2"))
os.link("second", "kept/linked", src_dir_fd=here)
os.unlink("removed")
os.rmdir("empty")
os.fsync(here)
os.fsync(inner)

# This is not, or only a part of it.
os.pwrite(file, b"NEW", 0)
os.ftruncate(file, 100)
os.fsync(write("without a name", b"x"))
os.rename("stays", "moved", src_dir_fd=here, dst_dir_fd=here)
os.remove("also stays")
write("kept/named", b"x")
os.fsync(inner)
os.mkdir("new folder")
write("new folder/file", b"x")
"""

FILES = {
    "old": b"12345",
    "emptied": b"full",
    "appended": b"some",
    "renamed": b"old",
    "removed": b"",
    "stays": b"here",
    "also stays": b"",
}
SYNCED = {
    "kept": None,
    "kept/written": b"onwthree-four".ljust(20, b"\0") + b"five-six",
    "kept/short": b"1234\0\0",
    "kept/linked": b"2",
    "second": b"2",
    "old": b"123",
    "emptied": b"",
    "appended": b"some+more",
    "renamed": b"new",
    "stays": b"here",
    "also stays": b"",
    "kept/named": b"",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SOURCE, tmp_path_factory.mktemp("power"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    (folder / "empty").mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def start(library: Path, folder: Path, log: Log, script: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", script, folder]
    return subprocess.Popen(command, env=log.variables(library, folder))


@pytest.fixture
def used(library: Path, folder: Path, tmp_path: Path) -> Disk:
    """A disk after a program used it."""
    disk, log = Disk(folder), Log(tmp_path / "log")
    assert start(library, folder, log, SCRIPT).wait() == 0
    disk.replay(log)
    return disk


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


def test_a_disk_holds_what_was_synced(used: Disk, folder: Path) -> None:
    used.lose_power(Rest.LOST)
    used.write_to(folder)

    assert contents(folder) == SYNCED


def test_the_log_holds_all_that_was_done(used: Disk, folder: Path) -> None:
    done = contents(folder)
    used.lose_power(Rest.KEPT)
    used.write_to(folder)

    assert contents(folder) == done


def test_nothing_happens_after_the_cut(library: Path, folder: Path, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    script = "import sys; file = open(sys.argv[1] + '/old', 'wb', 0)\nwhile True: file.write(b'x')"
    process = start(library, folder, log, script)
    try:
        empty = log.end
        wait_until(lambda: log.end > empty, "a write")
        log.cut()
        wait_until(lambda: psutil.Process(process.pid).status() == "sleeping", "the cut")
        end, size = log.end, (folder / "old").stat().st_size
        time.sleep(0.05)

        assert (log.end, (folder / "old").stat().st_size) == (end, size)
    finally:
        process.kill()
        process.wait()


def record(position: int, kind: Kind, number: int, data: bytes = b"") -> Record:
    return Record(position, kind, "file", "", number, data)


def test_a_sync_covers_what_was_written_before_it_began() -> None:
    file = File(pending=[record(10, Kind.WRITE, 0, b"a"), record(30, Kind.WRITE, 1, b"b")])
    file.sync(20)
    file.settle(Rest.LOST)

    assert file.content == b"a"


def test_a_disk_may_hold_any_part_of_what_was_not_synced() -> None:
    found = set()
    for _ in range(500):
        file = File(bytearray(b"0" * 1024))
        file.pending = [record(1, Kind.WRITE, 0, b"1" * 1024)]
        file.pending += [record(2, Kind.WRITE, 0, b"2" * 512)]
        file.pending += [record(3, Kind.TRUNCATE, 1), record(4, Kind.WRITE, 1, b"3")]
        file.settle(Rest.SOME)
        found.add(bytes(file.content))

    whole = {bytes([first]) * 512 + bytes([second]) * 512 for first in b"012" for second in b"01"}
    assert found == whole | {b"0", b"1", b"2", b"23"}
