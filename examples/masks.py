"""Which half should a coupling change? Six masks at equal budget on small photographs.

    python examples/masks.py

Crops of 16x16 pixels, squeezed to 12 channels on 8x8, go through six couplings that use a mask and its
opposite in turn. Networks, their number, steps and batches are the same for all masks. The number that counts
is bits/dim of crops from parts of the photographs that training does not see.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from nvpcodec.flow import (
    AffineHead,
    BatchNorm,
    Bijection,
    Coupling,
    Flow,
    Learned,
    Logit,
    Masked,
    Opposite,
    Squeeze,
    ThreeConvs,
    UniformDequantization,
    channelwise,
    checkerboard,
    random_mask,
    squeeze,
    unsqueeze,
)
from pictures import bare, options, photograph, save

SIDE, COUPLINGS, WIDTH, BATCH, TEST_CROPS = 16, 6, 32, 32, 512
GRID = (12, SIDE // 2, SIDE // 2)
#: Steps whose losses become one point of a curve.
SMOOTHED = 10


def make_masks() -> dict[str, Masked]:
    """All for the squeezed grid, whose channel 3 p + c is colour c of phase p."""
    pixels = checkerboard(SIDE, SIDE).expand(1, 3, SIDE, SIDE)
    return {
        "checkerboard of pixels": Masked(squeeze(pixels)[0]),
        "checkerboard of blocks": Masked(checkerboard(*GRID[1:]).expand(GRID).clone()),
        "channels": Masked(channelwise(12).expand(GRID).clone()),
        "random values": Masked(random_mask(GRID, torch.Generator().manual_seed(1))),
        "random channels": Masked(random_mask((GRID[0], 1, 1), torch.Generator().manual_seed(1))),
        "learned": Learned(GRID),
    }


def build(mask: Masked) -> Flow:
    torch.manual_seed(1)
    layers: list[Bijection] = [UniformDequantization(), Logit(), Squeeze()]
    for i in range(COUPLINGS):
        partition = Opposite(mask) if i % 2 else mask
        network = ThreeConvs(12, AffineHead.outputs * 12, WIDTH)
        layers += [Coupling(partition, network, AffineHead()), BatchNorm(12)]
    return Flow((3, SIDE, SIDE), layers)


class Crops:
    """Crops from the upper part of each photograph to train on, from the lower part to test on."""

    def __init__(self) -> None:
        photographs = [photograph(name) for name in ("coffee.png", "chelsea.png")]
        cuts = [len(p) * 3 // 4 for p in photographs]
        self.training = [p[:cut] for p, cut in zip(photographs, cuts, strict=True)]
        self.testing = [p[cut:] for p, cut in zip(photographs, cuts, strict=True)]

    def draw(self, count: int, seed: int, test: bool = False) -> Tensor:
        """Integers (count, 3, SIDE, SIDE)."""
        rng, crops = np.random.default_rng(seed), []
        for i in range(count):
            image = (self.testing if test else self.training)[i % 2]
            top, left = (int(rng.integers(n - SIDE + 1)) for n in image.shape[:2])
            crops.append(image[top : top + SIDE, left : left + SIDE])
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def train(flow: Flow, crops: Crops, steps: int) -> list[float]:
    """Bits/dim of each step."""
    torch.manual_seed(2)
    optimiser = torch.optim.Adam(flow.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for step in range(steps):
        loss = flow.bits_per_dim(crops.draw(BATCH, step)).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options("masks", __doc__, arguments, steps=250, quick_steps=3)
    crops, masks = Crops(), make_masks()
    test = crops.draw(32 if chosen.quick else TEST_CROPS, seed=10**6, test=True)
    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    grid = figure.add_gridspec(2, 7)
    curves = figure.add_subplot(grid[:, :4])
    places = [figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (4, 5, 6)]
    print(f"{'mask':24} bits/dim, held out    (training, last steps)")
    for place, (name, mask) in zip(places, masks.items(), strict=True):
        flow = build(mask)
        losses = train(flow, crops, chosen.steps)
        torch.manual_seed(3)
        with torch.no_grad():
            held_out = flow.eval().bits_per_dim(test).mean().item()
            shown = unsqueeze(mask.weights().float().expand(GRID)[None])[0].permute(1, 2, 0).numpy()
        print(f"{name:24} {held_out:18.3f}    {np.mean(losses[-SMOOTHED:]):10.3f}")
        smooth = np.convolve(losses, np.full(SMOOTHED, 1 / SMOOTHED), "valid")
        curves.plot(smooth, label=f"{name}: {held_out:.2f}")
        place.imshow(shown)
        place.set_title(name, fontsize=8)
    curves.set(xlabel="steps", ylabel="bits/dim in training", ylim=(None, 8))
    curves.legend(title="bits/dim, held out")
    bare(*places)
    save(figure, chosen.out)
    plt.close(figure)


if __name__ == "__main__":
    main()
