"""``nvpcodec latents``: an image to its latents, or back."""

from __future__ import annotations

from pathlib import Path

import click

from nvpcodec.cli.common import choose_target, coding_options, named, read_source, shown, write_target
from nvpcodec.options import Options

_SUFFIX = ".npz"


@click.command()
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "-o", "--out", metavar="OUT", type=click.Path(allow_dash=True), help="Otherwise beside IN: .npz, or .png."
)
@coding_options
def latents(
    source: str, out: str | None, model: str, device: str, max_pixels: int, force: bool, quiet: bool
) -> None:
    """Turn an image into its latents, or latents into their image.

    If IN is an .npz file, OUT is the image that it was made of, exactly; else IN is an image file and OUT an
    .npz file. Grey and RGB images of 8 bits have latents, up to two megapixels; metadata are left out.
    The arrays are described in docs/scores.md. A program may change them: samples of the image that
    would be out of range are clipped.

    \b
    nvpcodec latents photo.png -o z.npz
    nvpcodec latents z.npz -o again.png
    """
    inverting = Path(source).suffix.lower() == _SUFFIX
    target = choose_target(source, out, suffix=".png" if inverting else _SUFFIX, force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels)
    convert = _to_image if inverting else _to_latents
    with named(source):
        data, told = convert(read_source(source), options)
    write_target(target, data, force=force)
    if not quiet:
        click.echo(f"{source} -> {shown(target, 'stdout')}: {told}", err=True)


def _to_latents(data: bytes, options: Options) -> tuple[bytes, str]:
    """The .npz file of an image file, and what is in it."""
    from nvpcodec import imagefile
    from nvpcodec import latents as transform

    found = transform.forward(imagefile.read(data, max_pixels=options.max_pixels).image, options)
    told = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in found.arrays.items())
    return transform.to_bytes(found), told


def _to_image(data: bytes, options: Options) -> tuple[bytes, str]:
    """The .png file of an .npz file, and its size."""
    from nvpcodec import latents as transform
    from nvpcodec import png

    image = transform.inverse(transform.from_bytes(data), options)
    return png.write(image), f"{image.width}x{image.height}, {image.kind.name.lower()}"
