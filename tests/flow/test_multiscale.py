"""A whole flow: latents by scale, density, sampling, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from nvpcodec.errors import InputError
from nvpcodec.flow import (
    MLP,
    ActNorm,
    AffineHead,
    Bijection,
    Channels,
    Coupling,
    DiagonalScale,
    FactorOut,
    Flow,
    InvertibleConv,
    Rescale,
    Squeeze,
    StandardLogistic,
    UniformDequantization,
    halves,
)
from tests.flow.helpers import batch, check_flow, stirred


def small() -> Flow:
    torch.manual_seed(1)
    layers: list[Bijection | FactorOut] = [Squeeze(), InvertibleConv(8), FactorOut(8)]
    layers += [Squeeze(), ActNorm(16), FactorOut(16)]
    return stirred(Flow((2, 8, 4), layers))


def test_latents_leave_scale_by_scale() -> None:
    flow, x = small(), batch(3, 2, 8, 4)
    assert flow.latent_shapes == [(4, 4, 2), (8, 2, 1), (8, 2, 1)]
    check_flow(flow, x)


def test_factored_channels_are_chosen_by_number() -> None:
    flow = Flow((4,), [FactorOut(4, Channels((0, 2), (1, 3)))])
    latents, _ = flow(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert [z.tolist() for z in latents] == [[[2, 4]], [[1, 3]]]


def test_log_prob_is_that_of_the_change_of_variables() -> None:
    flow, x = small(), batch(1, 2, 8, 4)

    def flat(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([z.flatten() for z in flow(values.view(1, 2, 8, 4))[0]])

    rows = torch.autograd.functional.jacobian(flat, x.flatten())  # type: ignore[no-untyped-call]
    z = flat(x)
    expected = -0.5 * z.square().sum() - 32 * math.log(2 * math.pi) + torch.linalg.slogdet(rows).logabsdet
    torch.testing.assert_close(flow.log_prob(x)[0], expected, rtol=1e-9, atol=0)


def test_bits_per_dim_of_a_known_density() -> None:
    scale = DiagonalScale((3,))
    torch.nn.init.constant_(scale.log_scale, math.log(4))
    flow = Flow((3,), [scale])  # a normal distribution of standard deviation 1/4
    at_the_mean = math.log2(math.sqrt(2 * math.pi) / 4)
    assert flow.bits_per_dim(torch.zeros(2, 3)).tolist() == pytest.approx([at_the_mean] * 2)
    half = flow.bits_per_dim(torch.full((1, 3), 0.25)).item()
    assert half == pytest.approx(at_the_mean + 0.5 / math.log(2), rel=1e-5)


def test_uniform_pixels_cost_eight_bits_under_a_uniform_density() -> None:
    class Uniform(StandardLogistic):
        """On a range of 1."""

        def log_prob(self, z: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(z))

    flow = Flow((5,), [UniformDequantization(), Rescale()], Uniform())
    assert flow.bits_per_dim(torch.randint(0, 256, (4, 5))).tolist() == pytest.approx([8] * 4)


def test_the_density_of_a_flow_integrates_to_one() -> None:
    torch.manual_seed(5)
    layers = [Coupling(halves(2, i), MLP(1, 2, 8, 1), AffineHead()) for i in (1, 0)]
    flow = stirred(Flow((2,), layers), by=0.5)
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    with torch.no_grad():
        density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=1e-4)


def test_samples_are_seeded_and_follow_the_temperature() -> None:
    flow = small()
    first, again = (flow.sample(4, 0.7, torch.Generator().manual_seed(9)) for _ in range(2))
    other = flow.sample(4, 0.7, torch.Generator().manual_seed(8))
    assert first.shape == (4, 2, 8, 4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    cold = flow.sample(4, 0.0)
    assert torch.equal(cold, cold[:1].expand_as(cold))


def test_samples_of_a_narrow_density_are_narrow() -> None:
    scale = DiagonalScale((2,))
    torch.nn.init.constant_(scale.log_scale, math.log(10))
    samples = Flow((2,), [scale]).sample(4000, generator=torch.Generator().manual_seed(1))
    assert samples.std().item() == pytest.approx(0.1, rel=0.05)


def test_shapes_that_do_not_fit_are_refused() -> None:
    flow = small()
    with pytest.raises(InputError, match="for items of shape"):
        flow(batch(3, 2, 4, 8))
    with pytest.raises(InputError, match="not those given"):
        flow.inverse([batch(3, 4, 4, 2)])
    with pytest.raises(InputError, match="cannot be squeezed"):
        Flow((1, 6, 2), [Squeeze(), Squeeze()])
    with pytest.raises(InputError, match="cannot be parted"):
        Flow((3, 2, 2), [FactorOut(4)])
