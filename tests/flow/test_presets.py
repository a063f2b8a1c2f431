"""The published flows, made small: they go there and back, learn, and have the shape that the papers say."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from nvpcodec.flow import PRESETS, Coupling, Flow, flowpp, glow, nice, realnvp
from tests.flow.helpers import check_flow

SMALL: dict[str, Callable[[], Flow]] = {
    "nice": lambda: nice(dims=48, width=16, hidden=2),
    "realnvp": lambda: realnvp((3, 8, 8), scales=2, width=6, blocks=1),
    "glow": lambda: glow((3, 8, 8), scales=2, steps=2, width=8),
    "flowpp": lambda: flowpp(
        (3, 8, 8), width=8, blocks=1, components=4, noise_width=8, noise_blocks=1, heads=2
    ),
}


def pictures(flow: Flow) -> torch.Tensor:
    """Integers near one of two levels: far from uniform."""
    generator = torch.Generator().manual_seed(3)
    level = torch.randint(0, 2, (4, *[1] * len(flow.shape)), generator=generator)
    return 60 + 100 * level + torch.randint(0, 41, (4, *flow.shape), generator=generator)


@pytest.mark.parametrize("name", PRESETS)
def test_latents_go_back_to_the_very_integers(name: str) -> None:
    torch.manual_seed(1)
    flow = SMALL[name]()
    flow(pictures(flow))
    check_flow(flow.double().eval(), pictures(flow))


@pytest.mark.parametrize("name", PRESETS)
def test_training_lowers_the_bits(name: str) -> None:
    torch.manual_seed(1)
    flow = SMALL[name]()
    x = pictures(flow)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-3)
    found = []
    for _ in range(12):
        loss = flow.bits_per_dim(x).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        found.append(loss.item())
    assert found[-1] < found[0] - 0.01


@pytest.mark.parametrize("name", PRESETS)
def test_samples_are_integers_in_range(name: str) -> None:
    torch.manual_seed(1)
    flow = SMALL[name]().eval()
    samples = flow.sample(2, temperature=0.8)
    assert samples.shape == (2, *flow.shape)
    assert torch.equal(samples, samples.round().clamp(0, 255))


@pytest.mark.parametrize(
    ("flow", "couplings", "latents"),
    [
        (lambda: nice(width=2), 4, [(784,)]),
        (lambda: realnvp(width=2, blocks=1), 10, [(6, 16, 16), (6, 16, 16)]),
        (
            lambda: realnvp((3, 64, 64), scales=5, width=2, blocks=1),
            28,
            [(6, 32, 32), (12, 16, 16), (24, 8, 8), (48, 4, 4), (48, 4, 4)],
        ),
        (lambda: glow(width=2), 96, [(6, 16, 16), (12, 8, 8), (48, 4, 4)]),
        (lambda: flowpp(width=4, blocks=1), 9 + 4, [(12, 16, 16)]),
    ],
    ids=["nice", "realnvp", "realnvp 64", "glow", "flowpp"],
)
def test_published_shapes(flow: Callable[[], Flow], couplings: int, latents: list[tuple[int, ...]]) -> None:
    built = flow()
    assert sum(isinstance(module, Coupling) for module in built.modules()) == couplings
    assert built.latent_shapes == latents


def test_published_sizes_are_the_defaults() -> None:
    def defaults(preset: Callable[..., Flow]) -> dict[str, object]:
        return {name: p.default for name, p in inspect.signature(preset).parameters.items()}

    assert defaults(nice) == {"dims": 784, "width": 1000, "hidden": 5, "couplings": 4, "levels": 256}
    assert defaults(realnvp) == {
        "shape": (3, 32, 32), "scales": 2, "width": 64, "blocks": 8, "levels": 256,
    }  # fmt: skip
    assert defaults(glow) == {
        "shape": (3, 32, 32), "scales": 3, "steps": 32, "width": 512, "levels": 256,
    }  # fmt: skip


def test_the_library_loads_nothing_of_the_codec() -> None:
    program = """
import sys, nvpcodec
before = set(sys.modules)
import nvpcodec.flow
print(*[name for name in set(sys.modules) - before if name.startswith("nvpcodec.")])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "nvpcodec.flow.couplings" in loaded
    assert all(name.startswith("nvpcodec.flow") for name in loaded)
