"""The manifest of a bulk job: a JSON object a line, a line for each file that was coded or refused.

Lines are only ever added. The last line of an output is the one that holds. A line of success is written when
its output is in place, so what it says was true then; an output without a line is compared with its source.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from nvpcodec.errors import InputError, OutputError


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one file.

    ``name`` and ``output`` are relative to the two roots, with / between their parts. ``input_version``
    changes when the source does: its time of change in ns, or what a store gives for that; None where nothing
    is known of it, as ``input_bytes``. ``sha256`` is that of the output's bytes, ``pixels`` the crc32 of its
    samples as docs/format.md has it; both in hexadecimal digits. ``error`` is None or one line; what tells of
    an output is then None.
    """

    name: str
    output: str
    input_bytes: int | None
    input_version: str | None
    output_bytes: int | None = None
    sha256: str | None = None
    pixels: str | None = None
    verified: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> str:
        """One line of ASCII, without its end; names that are no UTF-8 keep their bytes as lone surrogates."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """Mirror image of ``to_json``.

        Raises
        ------
        ValueError
            It is no such line.
        """
        content = json.loads(line)
        if not isinstance(content, dict) or content.keys() != {one.name for one in fields(cls)}:
            raise ValueError("it has other fields")
        return cls(**{**content, "notes": tuple(content["notes"])})


class Manifest:
    """An open manifest: ``last`` has the last entry of each output, ``made`` all that ever succeeded."""

    def __init__(self, stream: BinaryIO, entries: list[Entry]) -> None:
        self._stream = stream
        self.last = {entry.output: entry for entry in entries}
        self.made = {entry.output for entry in entries if entry.error is None}

    def add(self, entry: Entry) -> None:
        """Write the line of ``entry``, at once.

        Raises
        ------
        OutputError
            The manifest cannot be written.
        """
        try:
            self._stream.write(entry.to_json().encode("ascii") + b"\n")
        except OSError as error:
            raise OutputError(f"the manifest cannot be written: {error.strerror}") from error


@contextmanager
def opened(path: Path) -> Iterator[Manifest]:
    """The manifest at ``path``, made if there is none, for one job at a time.

    Raises
    ------
    OutputError
        It cannot be written, or another job is writing it.
    InputError
        It has lines that are none of a manifest.
    """
    with _locked(path) as stream:
        yield Manifest(stream, _entries(path, _whole_lines(stream)))


@contextmanager
def read_only(path: Path) -> Iterator[Manifest]:
    """The manifest at ``path`` as it is now, to look at; empty if there is none.

    Raises
    ------
    InputError
        As for ``opened``, and where it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    with open(os.devnull, "wb") as stream:
        yield Manifest(stream, _entries(path, lines))


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path``, unbuffered, so that a line is written by one call."""
    try:
        stream = path.open("a+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    with stream:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(f"{path} is being written by another job; wait for its end") from error
        yield stream


def _whole_lines(stream: BinaryIO) -> list[bytes]:
    """All lines; half a line, which a crash of the machine may have left at the end, is cut off."""
    stream.seek(0)
    content = stream.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        stream.truncate(whole)
    return content[:whole].splitlines()


def _entries(path: Path, lines: list[bytes]) -> list[Entry]:
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry.from_json(line.decode("ascii")))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"line {number} of {path} is none of a manifest; move the file away, or name another"
            ) from error
    return entries
