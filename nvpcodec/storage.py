"""Whole files and objects, by path or by URL, with the same calls for both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from nvpcodec import files, urls

Place: TypeAlias = str | os.PathLike[str]


def locate(place: Place) -> Path | urls.StoredObject:
    """The path of a local file, by path or file:// URL, or else the object that a URL names.

    Raises
    ------
    InputError
        As for ``urls.locate``.
    """
    return urls.locate(str(place)) if urls.is_url(place) else Path(place)


def read(place: Place) -> bytes:
    """All bytes at ``place``.

    Raises
    ------
    InputError
        It is missing or cannot be read.
    """
    located = locate(place)
    return files.read(located) if isinstance(located, Path) else urls.read(located)


def check_target(place: Place, *, overwrite: bool) -> None:
    """Refuse early what ``write`` would refuse late, as far as that can be known.

    Raises
    ------
    OutputExistsError, OutputError, InputError
        As for ``write``.
    """
    located = locate(place)
    if isinstance(located, Path):
        files.check_target(located, overwrite=overwrite)
    else:
        urls.check_target(located, overwrite=overwrite)


def write(place: Place, data: bytes, *, overwrite: bool) -> None:
    """Put ``data`` at ``place``, whole.

    Raises
    ------
    OutputExistsError
        Something is there and ``overwrite`` is false.
    OutputError
        It cannot be written.
    InputError
        ``place`` is a URL that cannot be used.
    """
    located = locate(place)
    if isinstance(located, Path):
        files.write(located, data, overwrite=overwrite)
    else:
        urls.write(located, data, overwrite=overwrite)
