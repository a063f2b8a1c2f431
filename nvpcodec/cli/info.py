"""``nvpcodec info``: where every byte of a .nvp file went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from nvpcodec.cli.common import STANDARD, InputPlace, existing, named, read_source, shown
from nvpcodec.errors import FormatError

if TYPE_CHECKING:
    from nvpcodec.fileinfo import FileInfo


@click.command()
@click.argument("source", metavar="FILE", type=InputPlace())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(source: str, as_json: bool) -> None:
    """Show what a .nvp file holds and where its bytes went.

    FILE may be - for stdin, or a URL such as s3://bucket/photo.nvp. Checksums of the coded bytes are
    compared; pixels are not decoded. Of a large object at a URL only the head is fetched and checked.

    \b
    nvpcodec info photo.nvp
    nvpcodec info --json photo.nvp
    """
    from nvpcodec import api

    with named(source, (FormatError,)), existing():
        described = api.info(read_source(source) if source == STANDARD else source)
    if as_json:
        click.echo(json.dumps(asdict(described)))
    else:
        click.echo("\n".join(_lines(shown(source, "stdin"), described)))


def _lines(name: str, described: FileInfo) -> Iterator[str]:
    yield (
        f"{name}: {described.width}x{described.height} {described.kind}, {described.channels} x"
        f" {described.bit_depth} bits a pixel, {described.bits_per_dim:.3f} bits/dim"
    )
    if described.model_id is not None:
        yield f"model {described.model or 'not in this package'} ({described.model_id})"
    held = ", ".join(f"{label} {size}" for label, size in described.side_data)
    yield f"{described.file_bytes:>12} bytes in all"
    yield f"{described.header_bytes:>12} header"
    yield f"{described.side_data_bytes:>12} side data" + (f" (before deflate: {held})" if held else "")
    yield f"{described.payload_bytes:>12} regions: {len(described.regions)}"
    for region in described.regions:
        place = f"{region.width}x{region.height} at {region.left},{region.top}"
        yield f"{region.payload_bytes:>12}   {region.mode}, {place}"
    yield f"{described.checksum_bytes:>12} checksums"
