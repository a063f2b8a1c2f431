"""Muon: updates are orthogonal, matrices of one shape do not disturb each other, and it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nvpcodec.train.muon import UPDATE_RMS, Muon, orthogonalised


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 24, 24), (3, 8, 40), (2, 40, 8)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    matrices = random(*shape)
    found = orthogonalised(matrices)
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.3
    assert values.median() > 0.6
    for before, after in zip(matrices, found, strict=True):
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        turned = u.T @ after @ v.T
        assert torch.allclose(turned, torch.diag(turned.diagonal()), atol=1e-4)
        assert turned.diagonal().min() > 0


def test_the_size_of_an_update_does_not_depend_on_the_gradients() -> None:
    changes = []
    for factor in (1e-4, 1e4):
        weight = nn.Parameter(torch.zeros(16, 4, 3, 3))
        weight.grad = factor * random(16, 4, 3, 3)
        Muon([weight], lr=0.1).step()
        changes.append(weight.detach().clone())
    assert torch.allclose(changes[0], changes[1], atol=1e-4)
    assert 0.5 < changes[0].square().mean().sqrt() / (0.1 * UPDATE_RMS) < 1.3


def test_matrices_of_one_shape_are_updated_each_by_itself() -> None:
    together = [nn.Parameter(random(6, 10, seed=s)) for s in (1, 2)]
    alone = [nn.Parameter(p.detach().clone()) for p in together]
    for group in (together, alone):
        for seed, p in enumerate(group):
            p.grad = random(6, 10, seed=10 + seed)
    Muon(together, lr=0.1).step()
    for p in alone:
        Muon([p], lr=0.1).step()
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_it_solves_a_linear_problem() -> None:
    wanted, inputs = random(5, 7), random(7, 64, seed=2)
    weight = nn.Parameter(torch.zeros(5, 7))
    optimiser = Muon([weight], lr=0.1)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimiser.zero_grad()
        loss = ((weight - wanted) @ inputs).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss < 1e-2 * (wanted @ inputs).square().mean()


def test_weight_decay_shrinks() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, torch.full((4, 4), 0.95))
