"""A disk that loses power: what it may hold of the files that ``power.c`` recorded.

A write is on the disk once its file was synced, and a name once its folder was. Of what was not
synced, a disk may hold nothing or any part: of each sector any state it had since the last sync,
and of the changes of names the first ones, as with a journal.
"""

import mmap
import os
import random
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from pathlib import Path

SOURCE = Path(__file__).with_name("power.c")
LOG_SIZE = 1 << 30
"""Bytes; the file is sparse."""
HEADER = 65536
RECORD = struct.Struct("=IIIIQ")
SECTOR = 512


class Kind(IntEnum):
    """What happened; the same numbers as in ``power.c``."""

    CREATE = 1
    FOLDER = 2
    WRITE = 3
    TRUNCATE = 4
    RENAME = 5
    LINK = 6
    REMOVE = 7
    SYNC = 8


class Rest(Enum):
    """What becomes of the changes that were not synced."""

    LOST = auto()
    SOME = auto()
    """Any part of them is on the disk."""
    KEPT = auto()


@dataclass
class Record:
    """A change, or a sync."""

    position: int
    kind: Kind
    path: str
    other: str
    number: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        """Write to, or change the size of, what a file holds."""
        if self.kind is Kind.WRITE:
            write(content, self.number, self.data)
        elif self.number < len(content):
            del content[self.number :]
        else:
            content.extend(bytes(self.number - len(content)))


def write(content: bytearray, offset: int, data: bytes) -> None:
    """Write as into a file: a gap before *offset* is filled with zeros."""
    content.extend(bytes(max(offset - len(content), 0)))
    content[offset : offset + len(data)] = data


class Log:
    """The file to which all processes of a database write what they do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(LOG_SIZE)
            file.write(HEADER.to_bytes(8, "little"))
        path.chmod(0o666)

    def variables(self, library: Path, folder: Path) -> dict[str, str]:
        """Return what a process needs in its environment to be recorded."""
        return {
            "LD_PRELOAD": str(library),
            "POWER_FOLDER": str(folder.resolve()),
            "POWER_LOG": str(self.path),
        }

    def cut(self) -> None:
        """Stop every process as soon as it touches the disk."""
        with self.path.open("r+b", buffering=0) as file:
            file.seek(8)
            file.write((1).to_bytes(4, "little"))

    @property
    def end(self) -> int:
        """Where the next record will be."""
        with self.path.open("rb", buffering=0) as file:
            return int.from_bytes(file.read(8), "little")

    def records(self) -> Iterator[Record]:
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory,
        ):
            position, end = HEADER, self.end
            while position < end:
                kind, *sizes, number = RECORD.unpack_from(memory, position)
                start, parts = position + RECORD.size, []
                for size in sizes:
                    parts.append(memory[start : start + size])
                    start += size
                path, other, data = parts
                yield Record(position, Kind(kind), path.decode(), other.decode(), number, data)
                position = start


@dataclass
class File:
    """A file or a folder: its content on the disk, and the changes that are not synced."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[Record] = field(default_factory=list)
    is_folder: bool = False

    def sync(self, until: int) -> None:
        """Make durable what happened before a position of the log."""
        for record in self.pending:
            if record.position < until:
                record.apply(self.content)
        self.pending = [record for record in self.pending if record.position >= until]

    def settle(self, rest: Rest) -> None:
        """Decide what the disk holds of the pending changes."""
        if rest is Rest.KEPT:
            self.sync(self.pending[-1].position + 1 if self.pending else 0)
        elif rest is Rest.SOME:
            self._keep_some()
        self.pending = []

    def _keep_some(self) -> None:
        """Of each sector, keep the first few writes; of changes of the size, the first few too.

        If a change of the size is lost, all later changes are lost too, as with a journal.
        """
        resized = [index for index, one in enumerate(self.pending) if one.kind is Kind.TRUNCATE]
        kept = self.pending[: random.choice([*resized, len(self.pending)])]
        writes = [record for record in kept if record.kind is Kind.WRITE]
        count = Counter(sector for record in writes for sector in sectors(record))
        left = {sector: random.randint(0, number) for sector, number in count.items()}
        for record in kept:
            if record.kind is Kind.TRUNCATE:
                record.apply(self.content)
                continue
            for sector in sectors(record):
                left[sector] -= 1
                if left[sector] >= 0:
                    write(self.content, *part(record, sector))


def sectors(record: Record) -> range:
    """Return the numbers of the sectors that a write touches."""
    return range(record.number // SECTOR, -(-(record.number + len(record.data)) // SECTOR))


def part(record: Record, sector: int) -> tuple[int, bytes]:
    """Return the offset and the bytes of a write that are in a sector."""
    start = max(sector * SECTOR, record.number)
    end = (sector + 1) * SECTOR
    return start, record.data[start - record.number : end - record.number]


Names = dict[str, File]


class Disk:
    """The files below a folder: as programs see them by their log, and as they are on the disk."""

    def __init__(self, folder: Path) -> None:
        """Take what is in *folder* as durable."""
        self._durable: Names = {}
        self._pending: list[tuple[Record, File | None]] = []
        for path in sorted(folder.rglob("*")):
            content = b"" if path.is_dir() else path.read_bytes()
            file = File(bytearray(content), is_folder=path.is_dir())
            self._durable[str(path.relative_to(folder))] = file
        self._names = dict(self._durable)

    def replay(self, log: Log, *, until: int | None = None) -> None:
        """Do what the log says, up to a position of it."""
        for record in log.records():
            if until is not None and record.position >= until:
                break
            self._do(record)

    def _do(self, record: Record) -> None:
        if record.kind is Kind.SYNC:
            self._sync(record)
        elif record.kind in (Kind.WRITE, Kind.TRUNCATE):
            if record.path in self._names:
                self._names[record.path].pending.append(record)
        else:
            file: File | None = File(is_folder=record.kind is Kind.FOLDER)
            if record.kind in (Kind.RENAME, Kind.LINK):
                file = self._names.get(record.path)
                assert not (file and file.is_folder), "a folder's new name is not followed"
            change(self._names, record, file)
            self._pending.append((record, file))

    def _sync(self, record: Record) -> None:
        """Make a file durable, or the names in a folder; ignore files that stdio made."""
        file = self._names.get(record.path)
        if file is not None and not file.is_folder:
            file.sync(record.number)
            return
        pending, self._pending = self._pending, []
        for one, named in pending:
            path = one.other or one.path
            if path.rpartition("/")[0] == record.path and one.position < record.number:
                change(self._durable, one, named)
            else:
                self._pending.append((one, named))

    def lose_power(self, rest: Rest) -> None:
        """Decide what is left on the disk; programs see only that from now on."""
        kept = {Rest.LOST: 0, Rest.KEPT: len(self._pending)}.get(
            rest, random.randint(0, len(self._pending))
        )
        for record, file in self._pending[:kept]:
            change(self._durable, record, file)
        for file in self._durable.values():
            file.settle(rest)
        self._pending = []
        self._names = dict(self._durable)

    def after(self, log: Log, rest: Rest, *, until: int | None = None) -> "Disk":
        """Return what a disk may hold if the power goes at a position of a log."""
        other = deepcopy(self)
        other.replay(log, until=until)
        other.lose_power(rest)
        return other

    def write_to(self, folder: Path) -> None:
        """Replace what is in *folder*; the folder itself stays."""
        owner = folder.stat()
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, file in sorted(self._durable.items()):
            path = folder / name
            if not path.parent.is_dir():
                continue  # The folder itself was lost.
            if file.is_folder:
                path.mkdir(0o700)
            else:
                path.write_bytes(file.content)
                path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)


def change(names: Names, record: Record, file: File | None) -> None:
    """Add, move or remove a name; a file that nobody saw appear stays unseen."""
    if record.kind in (Kind.REMOVE, Kind.RENAME):
        names.pop(record.path, None)
    if record.kind is not Kind.REMOVE and file is not None:
        names[record.other or record.path] = file
