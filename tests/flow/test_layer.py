"""The contract holds for every layer: exact inverse, log-determinant of the numerical Jacobian, shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nvpcodec.flow import (
    MLP,
    ActNorm,
    AdditiveHead,
    AffineHead,
    BatchNorm,
    Bijection,
    Chain,
    Channels,
    ConvAttention,
    Coupling,
    DiagonalScale,
    InvertibleConv,
    Learned,
    Logit,
    Masked,
    MixtureHead,
    Opposite,
    Rescale,
    ResNet,
    Squeeze,
    ThreeConvs,
    alternating,
    channelwise,
    checkerboard,
    halves,
    random_mask,
)
from tests.flow.helpers import batch, check_bijection, jacobian, stirred

GRID = (4, 2, 4)
VECTOR = (6,)


def convolutions(inputs: int, outputs: int) -> ThreeConvs:
    return ThreeConvs(inputs, outputs, width=5)


def learned_pair() -> Chain:
    mask = Learned(GRID)
    return Chain([Coupling(p, convolutions(4, 8), AffineHead()) for p in (mask, Opposite(mask))])


GRID_LAYERS: dict[str, Callable[[], Bijection]] = {
    "affine, checkerboard": lambda: Coupling(Masked(checkerboard(2, 4)), convolutions(4, 8), AffineHead()),
    "additive, channel mask": lambda: Coupling(Masked(channelwise(4)), convolutions(4, 4), AdditiveHead()),
    "mixture, halves": lambda: Coupling(halves(4), convolutions(2, 2 * 11), MixtureHead(3)),
    "mixture, random mask": lambda: Coupling(
        Masked(random_mask(GRID)), convolutions(4, 4 * 8), MixtureHead(2)
    ),
    "affine, learned masks": learned_pair,
    "affine, residual network": lambda: Coupling(halves(4, 0), ResNet(2, 4, width=4, blocks=1), AffineHead()),
    "affine, attention": lambda: Coupling(
        halves(4), ConvAttention(2, 4, width=4, blocks=1, heads=2), AffineHead()
    ),
    "squeeze": Squeeze,
    "batch norm": lambda: BatchNorm(4),
    "actnorm": lambda: ActNorm(4),
    "1x1 convolution": lambda: InvertibleConv(4),
    "scale of each element": lambda: DiagonalScale(GRID),
    "rescale": Rescale,
    "chain": lambda: Chain([Squeeze(), InvertibleConv(16), ActNorm(16)]),
}

VECTOR_LAYERS: dict[str, Callable[[], Bijection]] = {
    "affine, alternating": lambda: Coupling(Masked(alternating(6)), MLP(6, 12, 8, 2), AffineHead()),
    "additive, channels": lambda: Coupling(Channels((0, 3, 4), (1, 2, 5)), MLP(3, 3, 8, 1), AdditiveHead()),
    "mixture": lambda: Coupling(halves(6), MLP(3, 3 * 14, 8, 1), MixtureHead(4)),
    "batch norm": lambda: BatchNorm(6),
    "actnorm": lambda: ActNorm(6),
    "mix": lambda: InvertibleConv(6),
}


@pytest.mark.parametrize("name", GRID_LAYERS)
def test_layers_of_grids(name: str) -> None:
    torch.manual_seed(4)
    check_bijection(stirred(GRID_LAYERS[name]()), batch(2, *GRID))


@pytest.mark.parametrize("name", VECTOR_LAYERS)
def test_layers_of_vectors(name: str) -> None:
    torch.manual_seed(4)
    check_bijection(stirred(VECTOR_LAYERS[name]()), batch(3, *VECTOR))


def test_the_logit_of_pixels() -> None:
    pixels = torch.rand(2, 5, dtype=torch.float64) * 256
    check_bijection(Logit(), pixels)
    middle, _ = Logit()(torch.tensor([[0.0, 128.0]]))
    torch.testing.assert_close(middle, torch.tensor([[-2.94444, 0.0]]), rtol=0, atol=1e-4)


def test_a_coupling_moves_changed_values_only_and_its_jacobian_is_triangular() -> None:
    torch.manual_seed(1)
    layer = stirred(Coupling(halves(6), MLP(3, 6, 8, 1), AffineHead()))
    x = batch(1, 6)[0]
    rows = jacobian(layer, x)
    assert torch.equal(rows[:3], torch.eye(6, dtype=torch.float64)[:3])
    assert torch.equal(rows[3:, 3:], torch.diag(rows[3:, 3:].diagonal()))
    assert rows[3:, :3].abs().min() > 0


def test_log_dets_of_a_chain_add_up() -> None:
    first, second = stirred(ActNorm(4)), stirred(DiagonalScale(GRID), seed=5)
    x = batch(2, *GRID)
    both: Tensor = Chain([first, second])(x)[1]
    middle, one = first(x)
    torch.testing.assert_close(both, one + second(middle)[1])


def test_couplings_begin_as_the_identity() -> None:
    x = batch(2, *GRID).float()
    for head in (AdditiveHead(), AffineHead(), MixtureHead(1)):
        z, log_det = Coupling(halves(4), convolutions(2, 2 * head.outputs), head)(x)
        torch.testing.assert_close(z, x)
        torch.testing.assert_close(log_det, torch.zeros(2), rtol=0, atol=1e-5)
