"""Trees of files: local folders and what lies below a URL, by the same calls.

A root is an absolute path or a URL; a name is relative to it, with / between its parts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nvpcodec import files, storage, urls
from nvpcodec.errors import InputError, OutputError


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder that could not be read, which its ``problem`` says.

    ``version`` changes when the file does: its time of change in ns, or what a store gives for that.
    """

    name: str
    bytes: int | None = None
    version: str | None = None
    problem: str | None = None


def root_of(place: str) -> str:
    """``place`` as a root: a local folder by its absolute path, or the URL.

    Raises
    ------
    InputError
        The URL cannot be used, or is none to which names can be added.
    """
    located = storage.locate(place)
    if isinstance(located, Path):
        return os.path.abspath(located)
    if "::" in place or "?" in place:
        raise InputError(f"{urls.shown(place)} cannot be a tree: names cannot be added to such a URL")
    return place.rstrip("/")


def place_of(root: str, name: str) -> str:
    """Path or URL of the file ``name`` below ``root``."""
    return f"{root}/{name}" if urls.is_url(root) else os.path.join(root, *name.split("/"))


def files_below(root: str) -> Iterator[Found]:
    """Every file below ``root``. Links to files count, links to folders are not entered.

    Raises
    ------
    InputError
        A URL's store cannot list it.
    """
    located = storage.locate(root)
    if isinstance(located, Path):
        yield from _local_files(located)
        return
    for name, (size, version) in urls.files_below(located).items():
        yield Found(name, size, version)


def _local_files(root: Path) -> Iterator[Found]:
    refused: list[OSError] = []
    for folder, below, names in os.walk(root, onerror=refused.append):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if (found := _local_file(path, path.relative_to(root).as_posix())) is not None:
                yield found
    for error in refused:
        name = Path(error.filename).relative_to(root).as_posix()
        yield Found(name, problem=f"the folder cannot be read: {(error.strerror or str(error)).lower()}")


def _local_file(path: Path, name: str) -> Found | None:
    """The file at ``path``; None for pipes, sockets and devices, which may never end."""
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere or in a circle: reading will say so
        return Found(name)
    if stat.S_ISREG(status.st_mode):
        return Found(name, status.st_size, str(status.st_mtime_ns))
    return Found(name) if stat.S_ISDIR(status.st_mode) else None


def sizes(root: str, names: Iterable[str]) -> dict[str, int | None]:
    """Bytes of those of ``names`` that are there.

    Raises
    ------
    InputError
        As for ``files_below``.
    """
    if urls.is_url(root):
        there = {found.name: found.bytes for found in files_below(root)}
        return {name: there[name] for name in names if name in there}
    found: dict[str, int | None] = {}
    for name in names:
        with suppress(OSError):
            found[name] = os.path.getsize(place_of(root, name))
    return found


def make_folder_of(place: str) -> None:
    """Make the folder that the file at ``place`` will stand in; stores need none.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    if urls.is_url(place):
        return
    folder = os.path.dirname(place)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}") from error


def unfinished(root: str, names: Iterable[str]) -> list[str]:
    """Paths of what killed programs left, half-written, in the local folders that ``names`` stand in."""
    if urls.is_url(root):
        return []
    found = []
    for folder in sorted({os.path.dirname(place_of(root, name)) for name in names}):
        with suppress(OSError), os.scandir(folder) as entries:
            found += [entry.path for entry in entries if entry.name.endswith(files.PART_SUFFIX)]
    return found


def remove(paths: Iterable[str]) -> None:
    """Remove these files, as far as they can be."""
    for path in paths:
        with suppress(OSError):
            os.unlink(path)
