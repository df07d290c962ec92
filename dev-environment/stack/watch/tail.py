"""A file of lines as it grows: through rotation, removal and truncation each line is read once, and half a line not yet."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from libs.observability.files import rotated

CHUNK_BYTES = 256 * 1024
LONGEST_LINE = 16 * 1024 * 1024
TOO_DEEP = "(left out, since the fields are nested too deep)"


class Place(NamedTuple):
    """Where a line is: the number of its file, which it keeps when it is renamed, and its first byte."""

    inode: int
    offset: int


class Tail:
    """Reads a file, and those that were renamed before it, in their order.

    A file is known by its number while it is open, and by its name once it is renamed and read: the number of a removed
    file is given to the next one.
    """

    def __init__(self, path: Path, *, with_rotated: bool = False, longest: int = LONGEST_LINE) -> None:
        """Begin at the start of the present file, or of the oldest. Lines of more than `longest` bytes are left out."""
        self._path = path
        self._longest = longest
        self._read = set[Path]() if with_rotated else set(rotated(path))
        self._open: dict[int, _File] = {}
        self._look()

    def lines(self) -> list[tuple[Place, bytes]]:
        """The complete lines of the next part, without their ends; none once all is read."""
        current = self._look()
        for inode, opened in list(self._open.items()):
            found = opened.lines(self._longest)
            if inode != current and opened.is_read:
                opened.file.close()
                del self._open[inode]
                self._read.update(path for path in rotated(self._path) if _inode(path) == inode)
            if found:
                return [(Place(inode, offset), line) for offset, line in found]
        return []

    def behind(self) -> int:
        """How many bytes are not read yet."""
        self._look()
        return sum(opened.left() for opened in self._open.values())

    def skip(self, most_behind: int, counting: bytes) -> int:
        """Leave out what is more than `most_behind` bytes before the end; returns how often `counting` is in it."""
        count, excess = 0, self.behind() - most_behind
        for opened in self._open.values():
            if (skipped := min(excess, opened.left())) > 0:
                count += opened.skip(skipped, counting)
                excess -= skipped
        return count

    def close(self) -> None:
        """Close what is open."""
        for opened in self._open.values():
            opened.file.close()

    def _look(self) -> int | None:
        """Open what is new; returns the number of the file that is written to."""
        renamed = rotated(self._path)
        self._read.intersection_update(renamed)
        current = None
        for path in (*(each for each in renamed if each not in self._read), self._path):
            current = _inode(path)
            if current not in self._open:
                try:
                    file = path.open("rb")
                except OSError:  # renamed or removed in the meantime
                    current = None
                    continue
                current = os.fstat(file.fileno()).st_ino
                self._open[current] = _File(file)
        return current


def lines_with(path: Path, wanted: bytes) -> Iterator[bytes]:
    """The lines of a file, and of those that were renamed before it, that have this in them."""
    for file in [*rotated(path), path]:
        with suppress(FileNotFoundError), file.open("rb") as opened:
            rest = b""
            while data := opened.read(CHUNK_BYTES):
                whole, _, rest = (rest + data).rpartition(b"\n")
                if wanted in whole:
                    yield from (line for line in whole.split(b"\n") if wanted in line)
                if len(rest) > LONGEST_LINE:
                    rest = b""
            if wanted in rest:
                yield rest


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.is_read = False
        self._position = 0
        self._is_torn = False  # whether the beginning of the line at this position was left out

    def left(self) -> int:
        """How many bytes come after those that were read; fewer than none of a file that was truncated."""
        return os.fstat(self.file.fileno()).st_size - self._position

    def lines(self, longest: int) -> list[tuple[int, bytes]]:
        """The complete lines of the next part, each with its first byte; `is_read` then says whether it was the last."""
        if self.left() < 0:
            self._position, self._is_torn = 0, False
        self.file.seek(self._position)
        data = self._chunk()
        while b"\n" not in data and not self.is_read:
            if len(data) > longest:
                self._position, self._is_torn, data = self._position + len(data), True, b""
            data += self._chunk()
        lines: list[tuple[int, bytes]] = []
        for line in data.split(b"\n")[:-1]:
            if len(line) <= longest and not self._is_torn:
                lines.append((self._position, line))
            self._position, self._is_torn = self._position + len(line) + 1, False
        return lines

    def skip(self, size: int, counting: bytes) -> int:
        """Leave out so many bytes, and the rest of the line in which they end."""
        self.file.seek(self._position)
        end, count, before = self._position + size, 0, b""
        while data := self.file.read(min(CHUNK_BYTES, end - self.file.tell())):
            data = before + data
            count += data.count(counting)
            before = data[max(0, len(data) + 1 - len(counting)) :]
        self.file.seek(end - 1)
        rest = self.file.readline(LONGEST_LINE)
        self._position, self._is_torn = self.file.tell(), not rest.endswith(b"\n")
        return count + (before + rest[1:]).count(counting)

    def _chunk(self) -> bytes:
        data = self.file.read(CHUNK_BYTES)
        self.is_read = len(data) < CHUNK_BYTES
        return data


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def shallow(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of JSON; where their nesting is too deep for Python, which shows some hundred levels, no nested ones."""
    try:
        orjson.dumps(fields)  # at most 254 levels, while orjson reads 1,024
    except TypeError:
        return {name: TOO_DEEP if isinstance(value, dict | list) else value for name, value in fields.items()}
    return fields
