"""From one photograph to another: through pixels, and through the latents of the trained RealNVP.

    python examples/interpolate.py

The flow is the float twin of the shipped model `realnvp`. Each row is a way from the left picture to the
right one in equal steps. Above, pixels are mixed. In the middle, latents are, along a straight line. Below,
they are mixed so that their size stays what the base expects, a quarter of a circle instead of its chord: for
latents around their mean, a cos φ + b sin φ.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from nvpcodec.flow.layer import column
from nvpcodec.train.coupling_model import CouplingModel, centre
from nvpcodec.train.data import rgb_to_planes
from pictures import bare, options, photograph, save
from scales import image, load

STEPS = 7
#: What two lists of tensors become at a place from 0 to 1.
Mix = Callable[[list[Tensor], list[Tensor], float], list[Tensor]]


def planes_of(name: str, top: int, left: int, side: int) -> Tensor:
    """Centred planes (1, 3, side, side) of a part of a photograph of demo/, made continuous by noise."""
    pixels = photograph(name)[top : top + side, left : left + side]
    planes = rgb_to_planes(torch.from_numpy(pixels.copy()).permute(2, 0, 1))[None]
    return centre(planes + torch.rand(planes.shape, generator=torch.Generator().manual_seed(1)))


def straight(first: list[Tensor], second: list[Tensor], place: float) -> list[Tensor]:
    return [(1 - place) * a + place * b for a, b in zip(first, second, strict=True)]


def around(means: list[Tensor]) -> Mix:
    """A quarter of a circle around the means of the base."""

    def mix(first: list[Tensor], second: list[Tensor], place: float) -> list[Tensor]:
        cosine, sine = math.cos(place * math.pi / 2), math.sin(place * math.pi / 2)
        return [m + cosine * (a - m) + sine * (b - m) for a, b, m in zip(first, second, means, strict=True)]

    return mix


def means_of(model: CouplingModel, latents: list[Tensor]) -> list[Tensor]:
    sizes = [z.shape[1] for z in latents]
    return [column(m, z) for m, z in zip(torch.split(model.means, sizes), latents, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options("interpolate", __doc__, arguments, steps=1, quick_steps=1)
    side = 32 if chosen.quick else 128
    ends = [planes_of("chelsea.png", 60, 130, side), planes_of("coffee.png", 60, 190, side)]
    model = load()
    with torch.no_grad():
        latents = [model.latents(x)[0] for x in ends]
        means = means_of(model, latents[0])
        error = max(float((model.inverse(z) - x).abs().max()) for z, x in zip(latents, ends, strict=True))
        ways: list[tuple[str, Callable[[float], Tensor]]] = [
            ("pixels", lambda t: straight([ends[0]], [ends[1]], t)[0]),
            ("latents, straight", lambda t: model.inverse(straight(latents[0], latents[1], t))),
            ("latents, in a circle", lambda t: model.inverse(around(means)(latents[0], latents[1], t))),
        ]
        print("bits/dim under the model on the way, from picture to picture")
        strips = []
        for name, way in ways:
            strips.append((name, [way(i / (STEPS - 1)) for i in range(STEPS)]))
            print(f"{name:22}", *(f"{bits_per_dim(model, x):7.3f}" for x in strips[-1][1]))
        print(f"largest error of the inverse {error:.1e} of a pixel step")
        draw(strips, chosen.out)


def bits_per_dim(model: CouplingModel, x: Tensor) -> float:
    """-log2 p of centred planes (1, 3, H, W), per sample."""
    return float(-model.log_prob(x)) / math.log(2) / x.numel()


def draw(strips: list[tuple[str, list[Tensor]]], out: Path) -> None:
    figure, axes = plt.subplots(len(strips), STEPS, figsize=(9, 4.2), layout="constrained")
    for row, (name, strip) in zip(axes, strips, strict=True):
        row[0].set_ylabel(name, fontsize=8)
        for cell, x in zip(row, strip, strict=True):
            cell.imshow(image(x))
    bare(*axes.flat)
    save(figure, out)
    plt.close(figure)


if __name__ == "__main__":
    main()
