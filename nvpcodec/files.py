"""Whole files in, whole files out: a target is either untouched or complete.

Questions go to ``os.path``, which answers no where ``Path`` raises: names too long, loops of links.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nvpcodec.errors import InputError, OutputError, OutputExistsError

#: Ends the names of files that are not whole yet.
PART_SUFFIX = ".nvpcodec-part"


def read(path: Path) -> bytes:
    """All bytes of the file at ``path``.

    Raises
    ------
    InputError
        It is missing, a directory, or not readable.
    """
    if os.path.isdir(path):
        raise InputError(f"{path} is a directory; name a file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the name") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {_reason(error)}") from error


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse early what ``write`` would refuse late.

    Raises
    ------
    OutputExistsError
        The target exists and ``overwrite`` is false.
    OutputError
        The target is a directory, or its directory is missing or not writable.
    """
    if os.path.isdir(path):
        raise OutputError(f"{path} is a directory; name a file in it")
    if _is_special(path):
        return
    if os.path.exists(path) and not overwrite:
        raise OutputExistsError(
            f"{path} exists already; choose another name or allow it to be replaced (--force)"
        )
    real_path = os.path.realpath(path)
    if os.path.islink(real_path):
        raise OutputError(f"{path} cannot be written: its symbolic links lead in a circle; remove them")
    directory = os.path.dirname(real_path)
    if not os.path.isdir(directory):
        raise OutputError(f"{path} cannot be written: there is no directory {directory}; make it first")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no permission to write in {directory}")


def write(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write ``data`` beside ``path`` and rename it, so that no reader ever meets half a file.

    A symbolic link is followed; a file that is replaced passes on its permissions; a device or a pipe is
    written as it stands.

    Raises
    ------
    OutputExistsError, OutputError
        As for ``check_target``; OutputError also where writing fails (no space, for example).
    """
    check_target(path, overwrite=overwrite)
    try:
        if _is_special(path):
            path.write_bytes(data)
        else:
            with _renamed(Path(os.path.realpath(path))) as stream:
                stream.write(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}") from error


@contextmanager
def writing(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A stream beside ``path`` that becomes the file there when all of it has been written, or else vanishes.

    Raises
    ------
    OutputExistsError, OutputError
        As for ``write``; OutputError also for a device or a pipe. An OSError of the body counts as one of the
        stream.
    """
    check_target(path, overwrite=overwrite)
    if _is_special(path):
        raise OutputError(f"{path} is no regular file; choose another name")
    try:
        with _renamed(Path(os.path.realpath(path))) as stream:
            yield stream
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}") from error


@contextmanager
def changing(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path`` as a stream to read and write, for one program at a time.

    Raises
    ------
    InputError
        It is missing, or a directory.
    OutputError
        It cannot be written, or another program is changing it. An OSError of the body counts as one of the
        stream.
    """
    if os.path.isdir(path):
        raise InputError(f"{path} is a directory; name a file in it")
    try:
        with path.open("r+b") as stream:
            _lock(stream)
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the name") from error
    except BlockingIOError as error:
        raise OutputError(f"{path} is being changed by another program; wait for it") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}") from error


def _lock(stream: BinaryIO) -> None:
    """Take the file for this process until it is closed, where the system has such locks."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _renamed(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{secrets.token_hex(8)}{PART_SUFFIX}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            # Without this a crash soon after the rename could leave an empty file under the good name.
            os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_special(path: Path) -> bool:
    """Whether ``path`` is there and neither a file nor a directory: a device, a pipe, a socket."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _reason(error: Exception) -> str:
    """What went wrong, without the path that an OSError repeats."""
    return (getattr(error, "strerror", None) or str(error)).lower()
