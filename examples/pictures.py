"""What the examples share: their options, and how a figure becomes a small PNG."""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
IMAGES = ROOT / "docs" / "images"
#: Colours of a picture's palette.
COLOURS = 128


@dataclass(frozen=True)
class Options:
    """`steps` of training, `quick` for a run that only shows that all is well, and where the picture goes."""

    steps: int
    quick: bool
    out: Path


def options(
    name: str, description: str | None, arguments: Sequence[str] | None, steps: int, quick_steps: int
) -> Options:
    """Read the command line; `steps` is what a full run trains, `quick_steps` what a quick one does."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help=f"training steps (default {steps}; quick {quick_steps})")
    parser.add_argument("--quick", action="store_true", help="a short run, for tests")
    parser.add_argument(
        "-o", "--out", type=Path, default=IMAGES / f"{name}.png", help="the picture (default %(default)s)"
    )
    read = parser.parse_args(arguments)
    if read.steps is not None and read.steps < 1:
        parser.error("--steps must be 1 or more")
    torch.manual_seed(1)
    return Options(read.steps or (quick_steps if read.quick else steps), read.quick, read.out)


def save(figure: Figure, path: Path) -> None:
    """Write the figure with a palette, and say so."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path}")


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph of demo/, uint8 (H, W, 3)."""
    with Image.open(DEMO / name) as image:
        return np.asarray(image.convert("RGB"))


def bare(*axes: matplotlib.axes.Axes) -> None:
    """Axes without ticks."""
    for each in axes:
        each.set_xticks([])
        each.set_yticks([])
