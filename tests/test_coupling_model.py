"""The float RealNVP against its definition: masks, identity at the start, Jacobian, inverse, base."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec.coupling_layout import (
    COUPLING_SCALES,
    TILE_UNIT,
    factored,
    latent_channels,
    masks,
    scale_channels,
)
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.float_layers import Conv
from nvpcodec.flow.squeeze import squeeze, unsqueeze
from nvpcodec.model import CouplingConfig
from nvpcodec.tables import MASS_TOTAL
from nvpcodec.train.base_table import base_table
from nvpcodec.train.coupling_model import START_SCALE, CouplingModel, centre
from nvpcodec.train.export_coupling import export_coupling, gaussian

SMALL = CouplingConfig(width=6, blocks=1, head_width=5)


def stirred(seed: int = 3) -> CouplingModel:
    """A model in double precision that is far from the identity."""
    torch.manual_seed(seed)
    model = CouplingModel(SMALL, dtype=torch.float64).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return model


def pictures(batch: int, size: int = TILE_UNIT) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return 30 * torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("scale", range(COUPLING_SCALES))
def test_masks_halve_the_channels_and_change_each_of_them(scale: int) -> None:
    channels = 4 * scale_channels(scale)
    changed: set[int] = set()
    for mask in masks(scale):
        assert sorted(mask.kept + mask.changed) == list(range(channels))
        assert len(mask.kept) == len(mask.changed)
        changed |= set(mask.changed)
    assert changed == set(range(channels))


def test_half_the_channels_leave_after_each_scale_but_the_last() -> None:
    shares = [len(factored(scale).changed) / (4 * scale_channels(scale)) for scale in range(COUPLING_SCALES)]
    assert shares == [0.5, 0.5, 1.0]
    assert len(list(latent_channels())) == 6 + 12 + 48


def test_squeeze_goes_phase_by_phase() -> None:
    x = torch.arange(2 * 4 * 6).view(1, 2, 4, 6)
    assert squeeze(x)[0, :, 0, 0].tolist() == [0, 24, 1, 25, 6, 30, 7, 31]
    assert torch.equal(unsqueeze(squeeze(x)), x)


def test_training_starts_from_the_identity() -> None:
    model = CouplingModel(SMALL).double()
    x = pictures(2)
    latents, log_det = model.latents(x)
    assert log_det.tolist() == [0, 0]
    assert torch.cat([z.flatten() for z in latents]).sort().values.equal(x.flatten().sort().values)
    standard = x / START_SCALE
    density = -0.5 * standard.square() - math.log(START_SCALE) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(model.log_prob(x), density.sum((1, 2, 3)), rtol=1e-6, atol=0)


def test_log_det_is_that_of_the_numerical_jacobian() -> None:
    model, x = stirred(), pictures(1)
    step = 1e-5
    with torch.no_grad():
        moves = step * torch.eye(x.numel(), dtype=torch.float64).view(-1, *x.shape[1:])
        above, below = (
            torch.cat([z.flatten(1) for z in model.latents(x + sign * moves)[0]], 1) for sign in (1, -1)
        )
        log_det = model.latents(x)[1]
    jacobian = (above - below) / (2 * step)
    sign, numerical = torch.linalg.slogdet(jacobian)
    assert sign.abs() == 1
    assert abs(log_det.item()) > 1
    torch.testing.assert_close(log_det[0], numerical, rtol=1e-5, atol=1e-4)


def test_inverse_undoes_latents() -> None:
    model, x = stirred(), pictures(2, 24)
    with torch.no_grad():
        latents, _ = model.latents(x)
        torch.testing.assert_close(model.inverse(latents), x, rtol=0, atol=1e-7)
        assert (latents[0] - x[:, :1, :12, :12]).abs().mean() > 1


@pytest.mark.parametrize("scale", range(COUPLING_SCALES))
def test_a_coupling_bounds_its_scale(scale: int) -> None:
    model = stirred()
    kept = 100 * pictures(1)[:, :1].expand(1, len(masks(scale)[0].kept), -1, -1)
    _, log_scale = model.coupling(scale, 0, kept)
    assert log_scale.abs().max() <= model.bound(scale, 0)


def test_rounding_changes_the_likelihood_a_little() -> None:
    model, x = stirred(), pictures(2, 16)
    with torch.no_grad():
        plain = model.log_prob(x)
        for module in model.modules():
            if isinstance(module, Conv):
                module.quantized = True
        rounded = model.log_prob(x)
    assert not torch.equal(plain, rounded)
    torch.testing.assert_close(plain, rounded, rtol=0.1, atol=0)


def test_forward_gives_nats_of_each_image() -> None:
    model = CouplingModel(SMALL)
    planes = torch.zeros(2, 3, 16, 16)
    assert bool((centre(planes)[:, 0] == -128).all())
    nats = model(planes)
    assert nats.shape == (2,)
    nats.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("index", [0, 30, 48, 71])
def test_masses_of_the_gaussian_base_sum_to_one(index: int) -> None:
    x = np.arange(-900, 901, dtype=np.int32)
    table = BaseTable(base_table(gaussian))
    d = Distribution(np.full(len(x), 32, np.int32), np.full(len(x), index, np.int32), -900, 900)
    cells, cell, _, masses = table.intervals(d, x)
    inside = (cell >= cells.first) & (cell <= cells.last)
    tails = [int(masses[~inside & (x < 0)].max(initial=0)), int(masses[~inside & (x > 0)].max(initial=0))]
    assert masses[inside].sum() + sum(tails) == MASS_TOTAL
    scale = 2 ** (index / 6 - 5)
    density = np.exp(-0.5 * ((x - 2) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
    if scale > 4:
        assert abs(masses[inside] / MASS_TOTAL - density[inside]).max() < 2e-3 / scale + 1e-4


def test_exported_tables_hold_scales_and_base() -> None:
    model = CouplingModel(SMALL)
    with torch.no_grad():
        model.base_mean[0] = 0.25  # 2.5 pixel steps
        model.bounds[0][1] = 0.5
    tensors = export_coupling(model, []).tensors
    assert tensors["base_mean"][0] == 16 * (4 * 2.5 - 0.5)
    assert (tensors["base_scale"] == round(6 * (math.log2(4 * START_SCALE) + 5))).all()
    assert tensors["scale_num"].shape == (16, 1024)
    assert tensors["scale_num"][1, [0, 512, 1023]].tolist() == [155, 256, 422]
