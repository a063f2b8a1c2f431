"""Noise stays within its cell; both kinds of dequantization give a bound, and the learned one is tighter."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nvpcodec.flow import (
    MLP,
    AffineHead,
    Coupling,
    StandardLogistic,
    UniformDequantization,
    VariationalDequantization,
    alternating,
)
from nvpcodec.flow.layer import Bijection
from nvpcodec.flow.partitions import Masked


def variational(levels: int) -> VariationalDequantization:
    torch.manual_seed(1)
    couplings = [Coupling(Masked(alternating(2, i)), MLP(4, 4, 16, 1), AffineHead()) for i in range(2)]
    return VariationalDequantization(nn.Linear(2, 2), couplings, levels)


def test_noise_fills_the_cell_and_is_dropped() -> None:
    torch.manual_seed(2)
    x = torch.randint(0, 256, (20000, 2))
    for layer in (UniformDequantization(256), variational(256)):
        with torch.no_grad():
            filled, _ = layer(x)
        noise = filled - x
        assert 0 <= noise.min() < 0.03
        assert 0.97 < noise.max() < 1
        assert torch.equal(layer.inverse(filled)[0], x.float())


def test_what_lies_beyond_the_levels_is_brought_back() -> None:
    z = torch.tensor([[-0.5, 3.0, 4.2, 99.0]])
    assert UniformDequantization(4).inverse(z)[0].tolist() == [[0, 3, 3, 3]]


def log_probability(x: Tensor) -> Tensor:
    """Of pairs of integers whose x + u - 3/2 are logistic with scale 1/3, exactly."""
    edges = 3 * (x.double() - 1.5)
    return torch.log(torch.sigmoid(edges + 3) - torch.sigmoid(edges)).sum(1)


def bound(layer: Bijection, x: Tensor) -> Tensor:
    """One estimate of the bound for each pair."""
    z, log_det = layer(x)
    total: Tensor = StandardLogistic().log_prob(3 * (z - 1.5)) + 2 * math.log(3) + log_det
    return total


def test_the_bound_holds_and_training_tightens_it() -> None:
    layer = variational(3)
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    x = pairs.repeat(50, 1)
    exact = log_probability(pairs).mean()

    def gap(of: Bijection) -> float:
        torch.manual_seed(3)
        with torch.no_grad():
            return float(exact - bound(of, x.repeat(100, 1)).mean())

    uniform = gap(UniformDequantization(3))
    assert uniform > 0.05
    optimiser = torch.optim.Adam(layer.parameters(), 0.03)
    for _ in range(120):
        optimiser.zero_grad()
        loss = -bound(layer, x).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert 0 < gap(layer) < uniform / 2
