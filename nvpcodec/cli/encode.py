"""``nvpcodec encode``: an image file to a .nvp file."""

from __future__ import annotations

import time

import click

from nvpcodec.cli.common import (
    choose_target,
    coding_options,
    effort_option,
    input_argument,
    named,
    output_argument,
    progress_line,
    read_source,
    shown,
    write_target,
)
from nvpcodec.cli.summary import json_option, tell
from nvpcodec.errors import NvpError
from nvpcodec.options import Options

_LINE = (
    "{source} -> {target}: {source_bytes} -> {target_bytes} bytes ({share_of_source:.1%}),"
    " {bits_per_dim:.3f} bits/dim, {raw_to_target:.2f}:1 of raw, {seconds:.2f} s"
)


@click.command()
@input_argument
@output_argument
@coding_options
@effort_option
@json_option
@click.option("--verify", is_flag=True, help="Decode again and compare before anything is written.")
def encode(
    source: str,
    target: str | None,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    effort: int,
    as_json: bool,
    verify: bool,
) -> None:
    """Encode an image file.

    OUT is IN with the suffix .nvp if it is left out; - is stdin or stdout.
    Either may be a URL, such as s3://bucket/photo.nvp, if the extra fsspec or s3 is installed.

    PNG comes back whole: kind and depth, palette, transparency, colour profile, EXIF, XMP, density and texts.
    JPEG, WebP, TIFF, BMP, GIF and PPM are kept as the pixels they decode to here (a JPEG file's own bytes
    are not kept), with profile, EXIF, XMP and density.

    \b
    nvpcodec encode photo.png
    nvpcodec encode --effort 9 photo.png small.nvp
    nvpcodec encode --verify scan.tif archive/scan.nvp
    curl -s https://example.org/a.png | nvpcodec encode - a.nvp
    """
    started = time.perf_counter()
    target = choose_target(source, target, suffix=".nvp", force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels, effort=effort)
    data = read_source(source)

    from nvpcodec import codec, imagefile

    with named(source):
        opened = imagefile.read(data, max_pixels=max_pixels)
    coded = codec.encode_image(opened.image, options, progress_line(quiet))
    if verify and not codec.decode_image(coded, options).equals(opened.image):
        raise NvpError(
            "the file decodes to another image; nothing was written: this is a bug, please report it"
        )
    write_target(target, coded, force=force)
    figures = {
        "source": shown(source, "stdin"),
        "target": shown(target, "stdout"),
        "source_bytes": len(data),
        "target_bytes": len(coded),
        "width": opened.image.width,
        "height": opened.image.height,
        "kind": opened.image.kind.name.lower(),
        "bits_per_dim": 8 * len(coded) / opened.image.samples.size,
        "share_of_source": len(coded) / len(data),
        "raw_to_target": opened.image.samples.nbytes / len(coded),
        "seconds": time.perf_counter() - started,
        "notes": list(opened.notes),
    }
    if not (quiet or as_json):
        for note in opened.notes:
            click.echo(f"nvpcodec: note: {shown(source, 'stdin')}: {note}", err=True)
    tell(_LINE.format_map(figures), figures, target, as_json=as_json, quiet=quiet)
