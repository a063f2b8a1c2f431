"""What the latents of each scale hold: a photograph through the trained RealNVP, scale by scale.

    python examples/scales.py

The flow is the float twin of the shipped model `realnvp`. Above: how large the
standardised latents are. Below: what the inverse makes of a photograph's coarse latents when the finer ones
are replaced by the mean of their distribution, or drawn anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.colour import rgb
from nvpcodec.coupling_layout import COUPLING_SCALES, factored, masks
from nvpcodec.flow import couple, normal_log_density, squeeze
from nvpcodec.flow.layer import column
from nvpcodec.model import CouplingConfig
from nvpcodec.train.config import read_config
from nvpcodec.train.coupling_model import MID_GREY, CouplingModel, centre, channels
from nvpcodec.train.data import rgb_to_planes
from pictures import ROOT, bare, options, photograph, save

STATE = ROOT / "benchmarks" / "training" / "realnvp" / "state.pt"


@dataclass(frozen=True)
class Scale:
    """Latents (1, c, h, w) that leave after a scale, and the bits of that scale: -log2 of their density, and
    less log2 |det| of its couplings.
    """

    latents: Tensor
    mean: Tensor
    deviation: Tensor
    base_bits: float
    coupling_bits: float


def load() -> CouplingModel:
    model = CouplingModel(CouplingConfig(**read_config("realnvp").model))
    model.load_state_dict(torch.load(STATE, map_location="cpu", weights_only=True)["ema"])
    return model.eval()


def analyse(model: CouplingModel, x: Tensor) -> list[Scale]:
    found, first = [], 0
    for scale in range(COUPLING_SCALES):
        x, log_det = squeeze(x), x.new_zeros(1)
        for coupling, mask in enumerate(masks(scale)):
            x, change = couple(x, channels(mask), model.conditioner(scale, coupling))
            log_det = log_det + change
        x, latents = channels(factored(scale)).split(x)
        own = slice(first, first + latents.shape[1])
        first = own.stop
        mean, deviation = column(model.means[own], latents), column(model.log_scales[own], latents).exp()
        density = normal_log_density((latents - mean) / deviation) - deviation.log()
        bits = [-float(nats.sum()) / math.log(2) for nats in (density, log_det)]
        found.append(Scale(latents, mean, deviation, *bits))
    return found


def without_fine(
    scales: list[Scale], kept: int, temperature: float, generator: torch.Generator
) -> list[Tensor]:
    """Latents of the `kept` coarsest scales; the finer ones drawn from the base, at that temperature."""
    replaced = len(scales) - kept
    drawn = [
        s.mean + temperature * s.deviation * torch.randn(s.latents.shape, generator=generator)
        for s in scales[:replaced]
    ]
    return drawn + [s.latents for s in scales[replaced:]]


def image(planes: Tensor) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of centred planes (1, 3, H, W)."""
    whole = planes[0].round().to(torch.int32)
    colours = torch.stack(rgb(whole[0] + MID_GREY, whole[1], whole[2]), -1)
    return colours.clamp(0, 255).to(torch.uint8).numpy()


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options("scales", __doc__, arguments, steps=1, quick_steps=1)
    side = 64 if chosen.quick else 256
    pixels = photograph("coffee.png")[60 : 60 + side, 150 : 150 + side]
    planes = rgb_to_planes(torch.from_numpy(pixels.copy()).permute(2, 0, 1))[None]
    model = load()
    with torch.no_grad():
        x = centre(planes + torch.rand(planes.shape, generator=torch.Generator().manual_seed(1)))
        scales = analyse(model, x)
        error = (model.inverse([s.latents for s in scales]) - x).abs().max()
        dims = planes.numel()
        print("scale   latents   share   bits/dim of the image: base + couplings = together")
        for i, s in enumerate(scales):
            share = s.latents.numel() / dims
            base, moved = s.base_bits / dims, s.coupling_bits / dims
            print(
                f"{i:5} {s.latents.numel():9} {share:7.3f} {base:27.3f} {moved:+11.3f} {base + moved:10.3f}"
            )
        total = sum(s.base_bits + s.coupling_bits for s in scales) / dims
        print(f"all together {total:.3f} bits/dim; largest error of the inverse {error:.1e} of a pixel step")
        draw(model, scales, pixels, chosen.out)


def draw(model: CouplingModel, scales: list[Scale], pixels: NDArray[np.uint8], out: Path) -> None:
    figure, axes = plt.subplots(3, COUPLING_SCALES + 1, figsize=(9, 7), layout="constrained")
    axes[0, 0].imshow(pixels)
    axes[0, 0].set_title("photograph", fontsize=9)
    for i, s in enumerate(scales):
        luma = ((s.latents - s.mean) / s.deviation)[0, ::3]
        axes[0, i + 1].imshow(luma.square().mean(0).sqrt().numpy(), cmap="magma", vmin=0, vmax=2)
        axes[0, i + 1].set_title(f"latents of scale {i}, |z| of luma", fontsize=9)
    for row, temperature, label in ((1, 0.0, "at their mean"), (2, 0.7, "drawn, T = 0.7")):
        for replaced in range(COUPLING_SCALES + 1):
            generator = torch.Generator().manual_seed(4)
            latents = without_fine(scales, COUPLING_SCALES - replaced, temperature, generator)
            axes[row, replaced].imshow(image(model.inverse(latents)))
            title = f"{replaced} finest {label}" if replaced else "all latents kept"
            axes[row, replaced].set_title(title, fontsize=9)
    bare(*axes.flat)
    save(figure, out)
    plt.close(figure)


if __name__ == "__main__":
    main()
