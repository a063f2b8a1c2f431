"""``nvpcodec sample``: pictures that a model draws."""

from __future__ import annotations

import click

from nvpcodec.cli.common import STANDARD, choose_target, coding_options, shown, write_target
from nvpcodec.options import Options

_COUNT = click.IntRange(min=1)


@click.command()
@click.option("-n", "--number", type=_COUNT, default=16, show_default=True, help="How many samples.")
@click.option("--size", type=_COUNT, default=64, show_default=True, help="Pixels of a side.")
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, help="Below 1: closer to what is likely."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Other seeds, other samples."
)
@click.option(
    "-o", "--out", metavar="OUT", required=True, type=click.Path(allow_dash=True), help="A .png file."
)
@coding_options
def sample(
    number: int,
    size: int,
    temperature: float,
    seed: int,
    out: str,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
) -> None:
    """Draw samples of a model into one picture.

    Decoding random bits is sampling, and that is what this does. The same seed gives the same pixels on every
    machine. The models know what photographs are like from pixel to pixel, and not what is on them.

    \b
    nvpcodec sample -o grid.png
    nvpcodec sample -n 4 --size 128 --temperature 0.8 --model realnvp -o grid.png
    """
    out = choose_target(STANDARD, out, suffix=".png", force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels)

    from nvpcodec import arrays, png, sampling

    samples = sampling.draw(number, size, size, temperature, seed, options)
    write_target(out, png.write(arrays.to_image(sampling.grid(samples))), force=force)
    if not quiet:
        click.echo(f"{number} samples of {size}x{size}, seed {seed} -> {shown(out, 'stdout')}", err=True)
