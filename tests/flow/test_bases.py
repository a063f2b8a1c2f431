"""Densities integrate to one, masses sum to one, samples have the moments of their distribution."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nvpcodec.flow import Base, StandardLogistic, StandardNormal, bits_per_dim, logistic_log_mass

BASES: dict[str, Base] = {"normal": StandardNormal(), "logistic": StandardLogistic()}


def moments(name: str) -> float:
    return {"normal": 1.0, "logistic": math.pi**2 / 3}[name]


@pytest.mark.parametrize("name", BASES)
def test_densities_integrate_to_one(name: str) -> None:
    z = torch.linspace(-40, 40, 80001, dtype=torch.float64)[:, None]
    density = BASES[name].log_prob(z).exp()
    assert torch.trapezoid(density, dx=1e-3).item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", BASES)
def test_samples_are_seeded_and_have_the_right_variance(name: str) -> None:
    like = torch.zeros((), dtype=torch.float64)
    first, again = (BASES[name].sample((50000,), like, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.mean().item() == pytest.approx(0, abs=0.03)
    assert first.var().item() == pytest.approx(moments(name), rel=0.03)


def test_log_prob_is_a_sum_over_elements() -> None:
    z = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    expected = [-math.log(2 * math.pi) - 0.5 * (0.25 + 1), -math.log(2 * math.pi) - 0.5 * 4]
    assert StandardNormal().log_prob(z).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("mean", [-3.0, 77.5, 254.9])
@pytest.mark.parametrize("rate", [0.01, 1.0, 30.0])
def test_masses_of_all_values_sum_to_one(mean: float, rate: float) -> None:
    x = torch.arange(256, dtype=torch.float64)
    masses = logistic_log_mass(x, x.new_tensor(mean), x.new_tensor(rate), 0, 255).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-9)


def test_a_mass_is_a_difference_of_cumulatives() -> None:
    x = torch.arange(-8.0, 9.0, dtype=torch.float64)

    def cumulative(edge: Tensor) -> Tensor:
        return torch.sigmoid((edge - 0.3) * 0.7)

    masses = logistic_log_mass(x, x.new_tensor(0.3), x.new_tensor(0.7), -99, 99).exp()
    torch.testing.assert_close(masses, cumulative(x + 0.5) - cumulative(x - 0.5))


def test_bits_per_dim() -> None:
    assert bits_per_dim(8 * math.log(2), 4) == pytest.approx(2)
    assert bits_per_dim(torch.tensor([math.log(256)]), 1).item() == pytest.approx(8)
