"""Objects in stores, by any URL that fsspec knows: s3://bucket/a.nvp, memory://a.nvp, file:///srv/a.nvp.

fsspec (the extra ``fsspec``; ``s3`` brings s3fs as well) is imported when the first URL is met.  Credentials
and endpoints are those that fsspec and the store's own library find: environment, configuration files.

An object is written by one put, so a store that shows whole objects only (S3, memory) never shows half of
one.  A file:// URL is a path, and written as files are.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvpcodec.errors import InputError, NvpError, OutputError, OutputExistsError

#: One scheme, or several as fsspec chains them: zip::s3://bucket/a.zip.
_URL = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")


@dataclass(frozen=True)
class StoredObject:
    """An object, there or not: its URL for messages, its store (an fsspec file system), its path in it."""

    url: str = field(compare=False)
    store: Any
    path: str


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether ``place`` is a URL; path objects never are."""
    return isinstance(place, str) and _URL.match(place) is not None


def shown(place: str) -> str:
    """``place`` for a message: without the password that a URL may hold."""
    return _PASSWORD.sub(r"\1:***@", place)


def locate(url: str) -> StoredObject | Path:
    """What ``url`` names: an object, or the path of a local file.

    Raises
    ------
    InputError
        The scheme is unknown, a package for it is missing, or its store cannot be opened.
    """
    name = shown(url)
    try:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem
    except ImportError as error:
        raise InputError(f"{name} needs fsspec: pip install 'nvpcodec[fsspec]'") from error
    try:
        store, path = url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{name} needs another package: {_package_for(url, error)}") from error
    # Stores raise what their libraries do: botocore's, aiohttp's and other errors have no common type.
    except Exception as error:
        raise InputError(
            f"{name} cannot be used: {_reason(error)}; use s3://, file://, memory:// or another URL of fsspec"
        ) from error
    return Path(path) if isinstance(store, LocalFileSystem) else StoredObject(name, store, path)


def read(stored: StoredObject) -> bytes:
    """All bytes of the object.

    Raises
    ------
    InputError
        It is missing or cannot be read.
    """
    with _reading(stored):
        return bytes(stored.store.cat_file(stored.path))


def read_head(stored: StoredObject, count: int) -> bytes:
    """The first ``count`` bytes of the object, or all that it has; a store that can fetches no others.

    Raises
    ------
    InputError
        As for ``read``.
    """
    return read_range(stored, 0, count)


def read_range(stored: StoredObject, start: int, stop: int) -> bytes:
    """The bytes from ``start`` up to ``stop``, as far as the object has them.

    Raises
    ------
    InputError
        As for ``read``.
    """
    if start == stop:  # some stores take an empty range for the whole object
        return b""
    with _reading(stored):
        return bytes(stored.store.cat_file(stored.path, start=start, end=stop))[: stop - start]


def size(stored: StoredObject) -> int | None:
    """How many bytes the object has; None where its store does not say.

    Raises
    ------
    InputError
        As for ``read``.
    """
    with _reading(stored):
        stored.store.invalidate_cache()
        found: int | None = stored.store.info(stored.path)["size"]
        return found


def files_below(stored: StoredObject) -> dict[str, tuple[int | None, str | None]]:
    """Every object below ``stored``, by its name from there: bytes, and what changes when the object does.

    Both are None where the store does not say.  Where nothing is, there is nothing below.

    Raises
    ------
    InputError
        The store cannot list it.
    """
    with _reading(stored):
        stored.store.invalidate_cache()
        found = stored.store.find(stored.path, detail=True)
    prefix = stored.path.rstrip("/") + "/"
    versions = ("ETag", "LastModified", "mtime", "created")
    return {
        path.removeprefix(prefix): (
            about.get("size"),
            next((str(about[name]) for name in versions if about.get(name)), None),
        )
        for path, about in sorted(found.items())
        if path.startswith(prefix)
    }


def check_target(stored: StoredObject, *, overwrite: bool) -> None:
    """Refuse early what ``write`` would refuse late.

    Raises
    ------
    OutputExistsError
        The object exists and ``overwrite`` is false.
    OutputError
        It is a directory, or the store does not answer.
    """
    if overwrite:
        return
    with _writing(stored):
        # Listings that were read before may have grown old.
        stored.store.invalidate_cache()
        try:
            found = stored.store.info(stored.path)
        except FileNotFoundError:
            return
        if found["type"] == "directory":
            raise OutputError(f"{stored.url} is a directory; name an object in it")
        raise FileExistsError(stored.path)


def write(stored: StoredObject, data: bytes, *, overwrite: bool) -> None:
    """Put ``data`` into the object, whole, by one call.

    Raises
    ------
    OutputExistsError
        The object exists and ``overwrite`` is false.  S3 looks and writes in one step; most other stores
        look first, and may overwrite what another program writes in between.
    OutputError
        It cannot be written.
    """
    if not overwrite and _create(stored, data):
        return
    check_target(stored, overwrite=overwrite)
    with _writing(stored):
        stored.store.pipe_file(stored.path, data)


def _create(stored: StoredObject, data: bytes) -> bool:
    """Put ``data`` only where nothing is; False if the store cannot do that in one call."""
    if "mode" not in inspect.signature(stored.store.pipe_file).parameters:
        return False
    with _writing(stored):
        try:
            stored.store.pipe_file(stored.path, data, mode="create")
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            return False
    return True


@contextmanager
def _reading(stored: StoredObject) -> Iterator[None]:
    """Say of whatever goes wrong that the object cannot be read."""
    try:
        yield
    except (NvpError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{stored.url} does not exist; check the name") from error
    except Exception as error:
        raise InputError(f"{stored.url} cannot be read: {_reason(error)}") from error


@contextmanager
def _writing(stored: StoredObject) -> Iterator[None]:
    """Say of whatever goes wrong that the object cannot be written."""
    try:
        yield
    except (NvpError, MemoryError):
        raise
    except FileExistsError as error:
        raise OutputExistsError(
            f"{stored.url} exists already; choose another name or allow it to be replaced (--force)"
        ) from error
    except Exception as error:
        raise OutputError(f"{stored.url} cannot be written: {_reason(error)}") from error


def _package_for(url: str, error: ImportError) -> str:
    """The command that installs what ``url`` needs, or what fsspec says about that."""
    if re.split(r"::|://", url.lower())[0] in ("s3", "s3a"):
        return "pip install 'nvpcodec[s3]'"
    return _reason(error)


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
