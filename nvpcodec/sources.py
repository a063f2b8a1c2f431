"""Ranges of bytes of whatever holds a file: bytes, a path, a URL, an open binary file that can seek."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TypeAlias

from nvpcodec import storage, urls
from nvpcodec.errors import DamagedFileError, InputError

Readable: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class Source:
    """``read(start, stop)`` gives these bytes of the ``size`` that there are, and raises InputError."""

    read: Callable[[int, int], bytes]
    size: int


@contextmanager
def opened(place: Readable) -> Iterator[Source]:
    """The bytes at ``place``; an open file is left open, at any position.

    Raises
    ------
    InputError
        There is nothing to read, or ``place`` is nothing of the kinds above.
    """
    if isinstance(place, bytes | bytearray | memoryview):
        yield _of_bytes(bytes(place))
    elif isinstance(place, str | os.PathLike):
        located = storage.locate(place)
        if isinstance(located, Path):
            with _file(located) as stream:
                yield of_stream(stream)
        else:
            yield _of_object(located)
    elif hasattr(place, "seek") and hasattr(place, "read"):
        yield of_stream(place)
    else:
        raise InputError(f"{type(place).__name__} cannot be read; give bytes, a path or an open binary file")


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    try:
        # Unbuffered, as no more than what was asked for is to be read.
        stream = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the name") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    with stream:
        yield stream


def _of_bytes(data: bytes) -> Source:
    return Source(lambda start, stop: _whole(data[start:stop], stop - start), len(data))


def _of_object(stored: urls.StoredObject) -> Source:
    size = urls.size(stored)
    if size is None:
        return _of_bytes(urls.read(stored))
    return Source(
        lambda start, stop: _whole(urls.read_range(stored, start, stop), stop - start),
        size,
    )


def of_stream(stream: IO[bytes]) -> Source:
    """An open file that can seek, from its beginning; else InputError."""

    def read(start: int, stop: int) -> bytes:
        try:
            stream.seek(start)
            return _whole(stream.read(stop - start), stop - start)
        except (OSError, ValueError) as error:
            raise InputError(f"the file cannot be read: {error}") from error

    try:
        size = stream.seek(0, os.SEEK_END)
    except (OSError, ValueError) as error:
        raise InputError(f"the file cannot seek: {error}; give its bytes") from error
    return Source(read, size)


def _whole(data: bytes, count: int) -> bytes:
    if not isinstance(data, bytes):
        raise InputError("the file gives no bytes; open it in binary mode")
    if len(data) != count:
        raise DamagedFileError(
            f"{len(data)} bytes are where {count} should be; get a complete copy of the file"
        )
    return data
