"""The float phase flow against the definitions: masses, inverse, triangular Jacobian, integer twin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec.model import Model, PhaseConfig
from nvpcodec.phase_coder import phase_coder
from nvpcodec.phase_model import Given, PhaseModel, Placement, log_mass
from nvpcodec.tables import LEGAL
from nvpcodec.train.base_table import base_table, logistic
from nvpcodec.train.quantize import integer_layer

TINY = PhaseConfig(levels=2, width=8, blocks=(1, 1), head_width=8, handed_width=4)
REFINED = replace(TINY, refinement_width=6)
either = pytest.mark.parametrize("config", [TINY, REFINED], ids=["plain", "refined"])


def model_with_live_heads(config: PhaseConfig = TINY, dtype: torch.dtype = torch.float64) -> PhaseModel:
    """Every zero-initialised layer gets small weights, so that shifts and scales depend on the context."""
    torch.manual_seed(3)
    model = PhaseModel(config, dtype=dtype).to(dtype)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def smooth_planes(size: int, seed: int) -> Tensor:
    """Integer planes (1, 3, size, size) like those of a photograph."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    rgb = [100 + 80 * np.sin(3 * x + i) + 40 * y + rng.normal(0, 4, (size, size)) for i in range(3)]
    red, green, blue = (np.clip(c, 0, 255).astype(int) for c in rgb)
    middle = blue + ((red - blue) >> 1)
    planes = np.stack([middle + ((green - middle) >> 1), red - blue, green - middle])
    return torch.from_numpy(planes).double()[None]


@pytest.mark.parametrize("mean", [-3.0, 0.2, 77.5, 254.9, 260.0])
@pytest.mark.parametrize("log2_scale", [-5.0, -1.0, 2.0, 6.8])
def test_the_masses_of_all_legal_values_sum_to_one(mean: float, log2_scale: float) -> None:
    x = torch.arange(256).double()
    masses = log_mass(x, x.new_tensor(mean), x.new_tensor(log2_scale), 0, 255).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-9)


def test_a_mass_is_the_difference_of_the_logistic_at_its_edges() -> None:
    x = torch.arange(-20, 21).double()
    rate = 2.0**-1.5
    expected = torch.sigmoid((x + 0.5 - 0.3) * rate) - torch.sigmoid((x - 0.5 - 0.3) * rate)
    assert torch.allclose(log_mass(x, x.new_tensor(0.3), x.new_tensor(1.5), -99, 99).exp(), expected)


@either
def test_inverse_gives_back_what_latents_came_from(config: PhaseConfig) -> None:
    model = model_with_live_heads(config)
    planes = smooth_planes(16, seed=1) + torch.rand(1, 3, 16, 16, dtype=torch.float64) - 0.5
    with torch.no_grad():
        coarsest, latents, _ = model.latents(planes)
        assert torch.allclose(model.inverse(coarsest, latents), planes, atol=1e-9)


@either
def test_the_log_determinant_is_that_of_the_numerical_jacobian(config: PhaseConfig) -> None:
    model = model_with_live_heads(config)
    planes = smooth_planes(8, seed=2) + 0.4 * torch.rand(1, 3, 8, 8, dtype=torch.float64)

    def flat(x: Tensor) -> Tensor:
        coarsest, latents, _ = model.latents(x)
        return torch.cat([coarsest.flatten(), *(z.flatten() for z in latents)])

    step = 1e-6
    with torch.no_grad():
        moves = step * torch.eye(planes.numel(), dtype=torch.float64).view(-1, 3, 8, 8)
        columns = [(flat(planes + move) - flat(planes - move)) / (2 * step) for move in moves]
        _, log_abs_det = torch.linalg.slogdet(torch.stack(columns, 1))
        claimed = model.latents(planes)[2]
    assert claimed.item() == pytest.approx(log_abs_det.item(), abs=1e-4)
    assert abs(claimed.item()) > 1


def test_later_values_do_not_move_earlier_latents() -> None:
    model = model_with_live_heads()
    planes = smooth_planes(16, seed=4)
    changed = planes.clone()
    changed[0, 2, 1, 2] += 9
    with torch.no_grad():
        _, before, _ = model.latents(planes)
        _, after, _ = model.latents(changed)
    moved = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if not torch.equal(a, b)]
    last_plane_of_the_last_coupling = len(before) - 1
    assert moved == [last_plane_of_the_last_coupling]
    assert (before[-1] != after[-1]).sum() == 1


def test_a_refinement_changes_likelihoods_and_walks_alike_either_way() -> None:
    """All passes at once, as trainings take them, and one after another."""
    model = model_with_live_heads(REFINED)
    planes = smooth_planes(16, seed=8) + 0.3
    pyramid = [planes, planes[..., ::2, ::2], planes[..., ::4, ::4]]
    placed: dict[tuple[int, int, int], Tensor] = {}
    passes = 0

    def note(at: Placement) -> Tensor:
        placed[at.level, at.phase, at.plane] = at.mean
        return at.pixels(pyramid[at.level])

    def compare(at: Placement) -> Tensor:
        nonlocal passes
        passes += 1
        whole = placed[at.level, at.phase, at.plane]
        assert torch.allclose(at.mean, whole[(..., *at.place)], atol=1e-9)
        return at.pixels(pyramid[at.level])

    with torch.no_grad():
        model.walk(pyramid[-1], 2, note, [Given(scale) for scale in pyramid])
        model.walk(pyramid[-1], 2, compare)
        assert passes == 2 * 9 * 4
        plain = PhaseModel(TINY, dtype=torch.float64).double()
        plain.load_state_dict({k: v for k, v in model.state_dict().items() if "refinement" not in k})
        assert plain.log_prob(planes) != model.log_prob(planes)


def test_untrained_couplings_depend_on_no_weight() -> None:
    planes = smooth_planes(16, seed=5).float()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(PhaseModel(TINY).log_prob(planes))
    assert torch.equal(*found)


def test_log_prob_counts_every_sample_once() -> None:
    model = model_with_live_heads()
    planes = smooth_planes(16, seed=6)
    with torch.no_grad():
        nats = model(planes)
        stored = 16 * sum(math.log(high - low + 1) for low, high in LEGAL)
        assert model.log_prob(planes).item() == pytest.approx(-nats.sum().item() - stored)
    assert nats.shape == (2, 3, 1)


@either
def test_the_integer_twin_costs_what_the_float_model_says(config: PhaseConfig) -> None:
    """Refined or not. Its smaller scales are not refined by the coder; so here they have no live heads."""
    model = model_with_live_heads(config, torch.float32)
    for name, parameter in model.named_parameters():
        if name.startswith("layers.level1/phase"):
            torch.nn.init.zeros_(parameter)
    planes = smooth_planes(32, seed=7).float()
    tensors = {"base": base_table(logistic)}
    for spec in config.layers():
        tensors |= integer_layer(spec.name, model.layer(spec.name))
    coder = phase_coder(Model("phase", config, tensors), torch.device("cpu"))
    accounts = coder.encode(planes[0].numpy().astype(np.int32))[1]
    with torch.no_grad():
        float_bits = -model.log_prob(planes).item() / math.log(2)
    assert accounts.theory_bits == pytest.approx(float_bits, rel=0.004)
