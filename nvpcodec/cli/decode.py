"""``nvpcodec decode``: a .nvp file to a PNG file."""

from __future__ import annotations

import time

import click

from nvpcodec.cli.common import (
    choose_target,
    coding_options,
    input_argument,
    named,
    output_argument,
    progress_line,
    read_source,
    shown,
    write_target,
)
from nvpcodec.cli.summary import json_option, tell
from nvpcodec.options import Options

_LINE = (
    "{source} -> {target}: {source_bytes} -> {target_bytes} bytes, {width}x{height} {kind}, {seconds:.2f} s"
)


@click.command()
@input_argument
@output_argument
@coding_options
@json_option
def decode(
    source: str,
    target: str | None,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Decode a .nvp file to a PNG file.

    OUT is IN with the suffix .png if it is left out; - is stdin or stdout.
    Either may be a URL, such as s3://bucket/photo.nvp, if the extra fsspec or s3 is installed.
    The file names its model itself; --model is needed only for one that is not in the package.

    \b
    nvpcodec decode photo.nvp
    nvpcodec decode photo.nvp copy.png
    nvpcodec decode photo.nvp - | display
    """
    started = time.perf_counter()
    target = choose_target(source, target, suffix=".png", force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels)
    data = read_source(source)

    from nvpcodec import codec, png

    with named(source):
        image = codec.decode_image(data, options, progress_line(quiet))
    picture = png.write(image)
    write_target(target, picture, force=force)
    figures = {
        "source": shown(source, "stdin"),
        "target": shown(target, "stdout"),
        "source_bytes": len(data),
        "target_bytes": len(picture),
        "width": image.width,
        "height": image.height,
        "kind": image.kind.name.lower(),
        "seconds": time.perf_counter() - started,
    }
    tell(_LINE.format_map(figures), figures, target, as_json=as_json, quiet=quiet)
