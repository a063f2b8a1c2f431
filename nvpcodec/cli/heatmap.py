"""``nvpcodec heatmap``: a picture of what each pixel costs."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import click

from nvpcodec.cli.common import (
    InputPlace,
    choose_target,
    coding_options,
    effort_option,
    named,
    progress_line,
    read_source,
    shown,
    write_target,
)
from nvpcodec.options import Options

if TYPE_CHECKING:
    from nvpcodec.heatmap import Heatmap

#: Maps with fewer rows or columns show nothing.
_SMALLEST = 8


@click.command()
@click.argument("source", metavar="IN", type=InputPlace())
@click.option(
    "-o", "--out", metavar="OUT", required=True, type=click.Path(allow_dash=True), help="A .png file."
)
@click.option("--scales", is_flag=True, help="Show a map of each scale, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the bits of each scale as one JSON object.")
@coding_options
@effort_option
def heatmap(
    source: str,
    out: str,
    scales: bool,
    as_json: bool,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    effort: int,
) -> None:
    """Draw where in an image the bits go.

    OUT is a map of bits per pixel, with its legend: dark where a pixel costs little, light where it costs
    much. With --scales, a map for each scale is below it: scale k has every 2^k-th pixel, and its map shows
    what those cost that the next coarser scale does not have.

    \b
    nvpcodec heatmap photo.png -o map.png
    nvpcodec heatmap --scales photo.png -o map.png
    """
    if as_json and out == "-":
        raise click.UsageError("the picture and the JSON cannot both go to stdout; name OUT")
    out = choose_target(source, out, suffix=".png", force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels, effort=effort)
    data = read_source(source)

    from nvpcodec import heatmap as mapping
    from nvpcodec import imagefile

    with named(source):
        image = imagefile.read(data, max_pixels=max_pixels).image
    found = mapping.heatmap(image, options, progress_line(quiet))
    write_target(out, _picture(found, scales=scales), force=force)
    if as_json:
        click.echo(json.dumps(_figures(found)))
    elif not quiet:
        names = f"{shown(source, 'stdin')} -> {shown(out, 'stdout')}"
        click.echo(f"{names}: mean {float(found.bits.mean()):.2f} bits/pixel", err=True)


def _figures(found: Heatmap) -> dict[str, object]:
    return {
        "mean_bits_per_pixel": float(found.bits.mean()),
        "scale_bits": list(found.scale_bits),
        "shared_bits": found.shared_bits,
        "unplaced_bits": found.unplaced_bits,
    }


def _picture(found: Heatmap, *, scales: bool) -> bytes:
    """A PNG: the map, and those of the scales that are more than a few pixels."""
    from nvpcodec import heat_picture

    panels = [("bits per pixel", found.bits)]
    if scales:
        for number, bits in enumerate(found.scale_bits):
            part = found.scale(number)
            if min(part.shape) >= _SMALLEST:
                panels.append((f"scale {number}: {bits / 8:.0f} bytes", part))
    stream = io.BytesIO()
    heat_picture.sheet(panels, heat_picture.top_of([bits for _, bits in panels])).save(
        stream, "PNG", optimize=True
    )
    return stream.getvalue()
