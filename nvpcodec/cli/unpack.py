"""``nvpcodec unpack``: images of an archive to PNG files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nvpcodec import files, urls
from nvpcodec.cli.common import InputPlace, coding_options, existing, named, progress_line
from nvpcodec.errors import FormatError, InputError, OutputError
from nvpcodec.options import Options

if TYPE_CHECKING:
    from nvpcodec.archive import Archive


@click.command()
@click.argument("source", metavar="ARCHIVE", type=InputPlace())
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", metavar="[NAME...]", nargs=-1)
@coding_options
def unpack(
    source: str,
    folder: Path | None,
    names: tuple[str, ...],
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
) -> None:
    """Unpack images of an archive as PNG files.

    DIR is made if it is not there; left out, it is ARCHIVE without its suffix. Without NAMEs all images are
    unpacked. Names that do not end in .png get that suffix. Nothing is written if any of the files exists.

    \b
    nvpcodec unpack icons.nvpa
    nvpcodec unpack icons.nvpa out arrows/left.png
    """
    started = time.perf_counter()
    options = Options(model=model, device=device, max_pixels=max_pixels)

    from nvpcodec.archive import Archive

    with named(source, (FormatError, InputError)), existing(), Archive(source, options=options) as archive:
        chosen = _choose(archive, names)
        targets = _targets(chosen, _folder_for(source) if folder is None else folder, force=force)
        tell = progress_line(quiet, "images")
        for done, (name, target) in enumerate(targets.items(), 1):
            _write(archive, name, target, force=force)
            tell(done, len(targets))
    if not quiet:
        click.echo(
            f"{urls.shown(source)}: {len(targets)} of {len(archive)} images,"
            f" {time.perf_counter() - started:.2f} s",
            err=True,
        )


def _choose(archive: Archive, names: tuple[str, ...]) -> Sequence[str]:
    """The names asked for, in the order in which they are stored; all if none is."""
    for name in names:
        if name not in archive:
            raise click.UsageError(f"the archive has no image {name!r}; nvpcodec ls lists its names")
    return [name for name in archive if not names or name in names]


def _folder_for(source: str) -> Path:
    if source == "-" or urls.is_url(source):
        raise click.UsageError(f"{urls.shown(source)} does not say where the images should go; name DIR")
    folder = Path(source).with_suffix("")
    if folder == Path(source):
        raise click.UsageError(f"{source} has no suffix to leave out; name DIR")
    return folder


def _targets(names: Sequence[str], folder: Path, *, force: bool) -> dict[str, Path]:
    """Where each image goes, refused now if one of them could not be written."""
    targets = {name: folder / (name if name.lower().endswith(".png") else f"{name}.png") for name in names}
    if len(set(targets.values())) < len(targets):
        raise click.UsageError("two images would go into one file; name those that you want, one at a time")
    for target in targets.values():
        if target.parent.is_dir():
            files.check_target(target, overwrite=force)
    return targets


def _write(archive: Archive, name: str, target: Path, *, force: bool) -> None:
    from nvpcodec import png

    picture = png.write(archive.image(name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target.parent} cannot be made: {error.strerror}") from error
    files.write(target, picture, overwrite=force)
