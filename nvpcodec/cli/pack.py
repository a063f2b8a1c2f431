"""``nvpcodec pack``: image files into one archive."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nvpcodec import files, storage, urls
from nvpcodec.cli.common import coding_options, named, progress_line
from nvpcodec.errors import NvpError
from nvpcodec.options import Options

if TYPE_CHECKING:
    from nvpcodec.pixels import Image

_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm")
)


@click.command()
@click.argument(
    "sources", metavar="IN...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.argument("target", metavar="OUT")
@coding_options
@click.option("--append", is_flag=True, help="Add to OUT if it exists.")
def pack(
    sources: tuple[Path, ...],
    target: str,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    append: bool,
) -> None:
    """Pack image files into one archive.

    IN are image files and folders; OUT is a .nvpa file, or a URL. Of a folder all image files are taken,
    those in its folders too, and called by their path below it; others are called by their name. Small images
    of a kind are coded together, which is smaller than a file for each.

    With --append the archive stays as it is until all that is new has been written.

    \b
    nvpcodec pack icons/ icons.nvpa
    nvpcodec pack --append new.png icons.nvpa
    nvpcodec ls icons.nvpa
    """
    started = time.perf_counter()
    options = Options(model=model, device=device, max_pixels=max_pixels)
    _check_target(target, force=force, append=append)
    found = [pair for source in sources for pair in _files_in(source)]
    if not found:
        raise click.UsageError("there is no image file in that folder")
    reading, size_before = _Reading(found, options, quiet), _size(target) if append else 0

    from nvpcodec import archive

    archive.pack(target, reading.images(), options=options, overwrite=force, append=append)
    if not quiet:
        reading.tell_notes()
        click.echo(
            f"{reading.count} images -> {urls.shown(target)}: {reading.file_bytes} ->"
            f" {_size(target) - size_before} bytes, {time.perf_counter() - started:.2f} s",
            err=True,
        )


class _Reading:
    """Reads image files one after another, and remembers what was to be said of them."""

    def __init__(self, found: list[tuple[str, Path]], options: Options, quiet: bool) -> None:
        self._found = found
        self._options = options
        self._progress = progress_line(quiet, "images")
        self._notes: Counter[str] = Counter()
        self.count = self.file_bytes = 0

    def images(self) -> Iterator[tuple[str, Image]]:
        """Name and image of each file."""
        from nvpcodec import imagefile

        for name, path in self._found:
            with named(str(path)):
                data = files.read(path)
                opened = imagefile.read(data, max_pixels=self._options.max_pixels)
            self._notes.update(opened.notes)
            self.file_bytes += len(data)
            yield name, opened.image
            self.count += 1
            self._progress(self.count, len(self._found))

    def tell_notes(self) -> None:
        """Each thing once that is not kept, and of how many files that is true."""
        for note, count in self._notes.items():
            click.echo(f"nvpcodec: note: {count} of {self.count}: {note}", err=True)


def _size(target: str) -> int:
    """Bytes of the archive; 0 if there is none."""
    located = storage.locate(target)
    if isinstance(located, Path):
        return os.path.getsize(located) if os.path.exists(located) else 0
    return urls.size(located) or 0


def _check_target(target: str, *, force: bool, append: bool) -> None:
    if os.path.splitext(target)[1].lower() != ".nvpa":
        raise click.UsageError(f"OUT must be a .nvpa file; {urls.shown(target)} is none")
    if force and append:
        raise click.UsageError("--force replaces OUT, --append adds to it; choose one")
    storage.check_target(target, overwrite=force or append)


def _files_in(source: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of a file, or of all image files below a folder, in the order of their names."""
    if not source.is_dir():
        yield source.name, source
        return

    def refuse(error: OSError) -> None:
        raise NvpError(f"{error.filename} cannot be read: {error.strerror}") from error

    for folder, below, names in os.walk(source, onerror=refuse):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix.lower() in _SUFFIXES:
                yield path.relative_to(source).as_posix(), path
