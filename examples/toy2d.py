"""Three densities in the plane, and the maps that a flow of eight affine couplings learns for them.

    python examples/toy2d.py

A row a density: its points, the density that was learned, samples, and what the inverse makes of a grid of
latents. Where cells are small, the density is high: that is the change of variables.
"""

import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.flow import MLP, ActNorm, AffineHead, Bijection, Coupling, Flow, halves
from pictures import bare, options, save

Points = NDArray[np.float64]
COUPLINGS, WIDTH, BATCH, TEST_POINTS = 8, 48, 400, 5000
REACH = 3.2


def moons(rng: Generator, count: int) -> Points:
    angle = math.pi * rng.random(count)
    upper = rng.random(count) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    return 1.6 * np.stack([x, y], 1) + rng.normal(0, 0.1, (count, 2))


def rings(rng: Generator, count: int) -> Points:
    radius = rng.choice([0.9, 2.1], count, p=[0.3, 0.7]) + rng.normal(0, 0.1, count)
    angle = 2 * math.pi * rng.random(count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def pinwheel(rng: Generator, count: int) -> Points:
    along = 1.3 + 0.5 * rng.normal(size=count)
    across = 0.12 * rng.normal(size=count)
    turn = 2 * math.pi * rng.integers(5, size=count) / 5 + 0.6 * along
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * along - sin * across, sin * along + cos * across], 1)


DENSITIES: dict[str, Callable[[Generator, int], Points]] = {
    "two moons": moons,
    "rings": rings,
    "pinwheel": pinwheel,
}


def build() -> Flow:
    layers: list[Bijection] = []
    for i in range(COUPLINGS):
        network = MLP(1, AffineHead.outputs, WIDTH, hidden=2)
        layers += [ActNorm(2), Coupling(halves(2, i % 2), network, AffineHead(bound=2.0))]
    return Flow((2,), layers)


def train(draw: Callable[[Generator, int], Points], steps: int) -> Flow:
    rng, flow = np.random.default_rng(1), build()
    optimiser = torch.optim.Adam(flow.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = -flow.log_prob(tensor(draw(rng, BATCH))).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return flow.eval()


def tensor(points: Points) -> Tensor:
    return torch.from_numpy(points).float()


@torch.no_grad()
def draw_row(axes: Sequence[Axes], name: str, flow: Flow, points: Points) -> None:
    density, samples, warped = axes[1:]
    axes[0].scatter(points[:2000, 0], points[:2000, 1], s=1, color="black")
    axes[0].set_ylabel(name)
    side = torch.linspace(-REACH, REACH, 160)
    grid = torch.cartesian_prod(side, side)
    values = flow.log_prob(grid).exp().view(160, 160).T.numpy()
    density.imshow(values, origin="lower", extent=(-REACH, REACH, -REACH, REACH), cmap="magma")
    drawn = flow.sample(2000, generator=torch.Generator().manual_seed(1)).numpy()
    samples.scatter(drawn[:, 0], drawn[:, 1], s=1, color="tab:blue")
    lines, along = torch.linspace(-2.5, 2.5, 21), torch.linspace(-2.5, 2.5, 200)
    for fixed in lines:
        across = torch.stack([torch.full_like(along, fixed.item()), along], 1)
        for latents, colour in ((across, "tab:orange"), (across.flip(1), "tab:green")):
            warped.plot(*flow.inverse([latents]).T.numpy(), color=colour, linewidth=0.5)
    for each in axes:
        each.set_xlim(-REACH, REACH)
        each.set_ylim(-REACH, REACH)
        each.set_aspect("equal")


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options("toy2d", __doc__, arguments, steps=1500, quick_steps=12)
    figure, axes = plt.subplots(len(DENSITIES), 4, figsize=(9, 6.8), layout="constrained")
    print("density      held-out nats a point, before -> after   largest error of inverse(forward(x))")
    for row, (name, draw) in zip(axes, DENSITIES.items(), strict=True):
        test = draw(np.random.default_rng(2), TEST_POINTS)
        flow = train(draw, chosen.steps)
        with torch.no_grad():
            before = -Flow((2,), []).log_prob(tensor(test)).mean()
            after = -flow.log_prob(tensor(test)).mean()
            error = (flow.inverse(flow(tensor(test))[0]) - tensor(test)).abs().max()
        print(f"{name:12} {before:8.3f} -> {after:.3f} {error:28.1e}")
        draw_row(row, name, flow, test)
    for axis, title in zip(axes[0], ("data", "density", "samples", "a grid of latents"), strict=True):
        axis.set_title(title)
    bare(*axes.flat)
    save(figure, chosen.out)
    plt.close(figure)


if __name__ == "__main__":
    main()
