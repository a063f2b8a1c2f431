"""``nvpcodec ls``: what an archive holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from nvpcodec.archive import Archive
from nvpcodec.cli.common import InputPlace, existing, named
from nvpcodec.errors import FormatError


@click.command()
@click.argument("source", metavar="ARCHIVE", type=InputPlace())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ls(source: str, as_json: bool) -> None:
    """List the images of an archive.

    Each line has an image's share of the bytes of its block, its size in pixels, its kind and its name. The
    index alone is read and checked.

    \b
    nvpcodec ls icons.nvpa
    nvpcodec ls --json icons.nvpa
    """
    with named(source, (FormatError,)), existing(), Archive(source) as archive:
        if as_json:
            images = [asdict(archive.info(name)) for name in archive]
            click.echo(json.dumps({"file_bytes": archive.file_bytes, "images": images}))
            return
        for line in _lines(archive):
            click.echo(line)


def _lines(archive: Archive) -> Iterator[str]:
    for name in archive:
        info = archive.info(name)
        share = info.stored_bytes // info.sharing
        size = f"{info.width}x{info.height}"
        yield f"{share:>12}  {size:>11}  {info.kind}, {info.channels} x {info.bit_depth} bits  {info.name}"
    yield f"{archive.file_bytes:>12}  in all: {len(archive)} images"
