"""Networks begin as zero and take any size of grid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nvpcodec.flow import MLP, ConvAttention, ResNet, ThreeConvs

GRID_NETWORKS: dict[str, nn.Module] = {
    "residual": ResNet(3, 8, width=4, blocks=2),
    "three convolutions": ThreeConvs(3, 8, width=4),
    "attention": ConvAttention(3, 8, width=4, blocks=2, heads=2),
}


@pytest.mark.parametrize("name", GRID_NETWORKS)
def test_networks_of_grids_begin_as_zero_and_learn(name: str) -> None:
    network = GRID_NETWORKS[name]
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    out = network(x)
    assert out.shape == (2, 8, 4, 6)
    assert not out.any()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    network(x).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


def test_attention_sees_every_position() -> None:
    torch.manual_seed(1)
    network = ConvAttention(1, 1, width=4, blocks=1, heads=2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(1, 1, 9, 9).requires_grad_()
    network(x)[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert x.grad[0, 0].abs().min() > 0


def test_a_perceptron_has_as_many_layers_as_asked_for() -> None:
    network = MLP(3, 2, width=5, hidden=4)
    assert [tuple(p.shape) for p in network.parameters() if p.dim() == 2] == [
        (5, 3), (5, 5), (5, 5), (5, 5), (2, 5),
    ]  # fmt: skip
    assert not network(torch.ones(1, 3)).any()
