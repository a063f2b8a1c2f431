"""The walk: what it asks for, in which order, and that it never looks at what is not decoded yet."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec import bands, exact
from nvpcodec.exact import Lowering, direct, gemm
from nvpcodec.layout import BELOW, RIGHT, phase_size, scale_sizes
from nvpcodec.phase_flow import PhaseFlow, Prediction
from nvpcodec.stack import Ints
from nvpcodec.tables import LEGAL, SCALES
from tests.models import CONFIG, small_model

CPU = torch.device("cpu")


def walker(lowering: Lowering, orientations: int = 1) -> PhaseFlow:
    layers = exact.layers(small_model(), CPU, lowering)
    return PhaseFlow(replace(CONFIG, orientations=orientations), layers)


@cache
def flow(orientations: int = 1) -> PhaseFlow:
    return walker(direct, orientations)


def planes(count: int, height: int, width: int, seed: int = 1) -> Ints:
    generator = np.random.default_rng(seed)
    ends = [(low // 4, high // 4) for low, high in LEGAL[:count]]
    x = [generator.integers(low, high + 1, (height, width)) for low, high in ends]
    return np.stack(x).astype(np.int32)


def predictions(x: Ints, walk: PhaseFlow | None = None) -> tuple[list[Prediction], list[Tensor], Tensor]:
    """All predictions of one walk over x, their regressors, and the walk's result."""
    count, height, width = x.shape
    scales = [torch.from_numpy(x)[None].float()]
    for _ in scale_sizes(height, width)[1:]:
        scales.append(scales[-1][..., ::2, ::2])
    seen: list[Prediction] = []
    regressors: list[Tensor] = []

    def code(p: Prediction) -> tuple[Tensor, Tensor]:
        seen.append(p)
        regressors.append(p.regressors().rows())
        low, high = p.legal
        known = scales[p.level][0, p.plane, p.phase // 2 :: 2, p.phase % 2 :: 2]
        return known, p.mean.clamp(16 * low, 16 * high)

    with torch.inference_mode():
        result = (walk or flow()).walk(height, width, count, scales[-1], code)
    return seen, regressors, result


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(1, 17), (17, 1), (5, 4), (9, 14), (16, 16), (33, 20)])
def test_order_and_sizes(count: int, size: tuple[int, int]) -> None:
    seen, _, result = predictions(planes(count, *size))
    sizes = scale_sizes(*size)
    expected = [
        (level, phase, plane)
        for level in reversed(range(len(sizes) - 1))
        for changed in ((3,), (1, 2))
        for plane in range(count)
        for phase in changed
        if all(phase_size(phase, *sizes[level]))
    ]
    assert [(p.level, p.phase, p.plane) for p in seen] == expected
    remaining = count * (size[0] * size[1] - sizes[-1][0] * sizes[-1][1])
    for p in seen:
        assert p.mean.shape == p.scale.shape == phase_size(p.phase, *sizes[p.level])
        remaining -= p.mean.numel()
        assert p.remaining == remaining
        assert p.legal == LEGAL[p.plane]
        assert 0 <= p.scale.min() <= p.scale.max() < SCALES
    assert remaining == 0
    assert np.array_equal(result[0].numpy().astype(np.int32), planes(count, *size))


def test_shifts_and_scales_vary() -> None:
    """Otherwise the tests below would show little."""
    seen, _, _ = predictions(planes(3, 40, 40))
    assert all(len(torch.unique(p.mean)) > 3 for p in seen if p.mean.numel() > 100)
    assert len(torch.unique(torch.cat([p.scale.flatten() for p in seen]))) > 20


@pytest.mark.parametrize("size", [(9, 14), (16, 17), (23, 22)])
@pytest.mark.parametrize(("count", "orientations"), [(1, 1), (3, 1), (3, 8)])
def test_no_prediction_depends_on_what_is_not_decoded(
    size: tuple[int, int], count: int, orientations: int
) -> None:
    """The Jacobian is triangular: change one array's values, and no prediction up to its own changes."""
    x = planes(count, *size)
    before, regressors, _ = predictions(x, flow(orientations))
    changes = 0
    for position, p in enumerate(before):
        other = x.copy()
        step = 1 << p.level
        view = other[p.plane, (p.phase // 2) * step :: 2 * step, (p.phase % 2) * step :: 2 * step]
        assert view.shape == p.mean.shape
        view += np.random.default_rng(position).integers(1, 60, view.shape).astype(np.int32)
        after, other_regressors, _ = predictions(other, flow(orientations))
        for i in range(position + 1):
            assert torch.equal(before[i].mean, after[i].mean)
            assert torch.equal(before[i].scale, after[i].scale)
            assert torch.equal(regressors[i], other_regressors[i])
        changes += any(not torch.equal(a.mean, b.mean) for a, b in zip(before, after, strict=True))
    assert changes > len(before) // 2, "later predictions do depend on it"


def test_predictions_of_extreme_pixels_are_whole_numbers() -> None:
    """With extreme pixels all that a prediction holds is whole numbers below 2^24."""
    generator = np.random.default_rng(3)
    x = np.stack([generator.choice(ends, (24, 21)) for ends in LEGAL]).astype(np.int32)
    first, regressors, _ = predictions(x)
    for p, r in zip(first, regressors, strict=True):
        assert torch.equal(p.mean, p.mean.round())
        assert torch.equal(p.scale, p.scale.round())
        assert torch.equal(r, r.round())
        assert p.mean.abs().max() < 1 << 24


def test_regressors_are_as_large_as_fits_allow() -> None:
    generator = np.random.default_rng(3)
    x = np.stack([generator.choice(ends, (24, 21)) for ends in LEGAL]).astype(np.int32)
    for p, r in zip(*predictions(x)[:2], strict=True):
        assert r.abs().max() <= 2040, (p.level, p.phase, p.plane)


@pytest.mark.parametrize("orientations", [1, 8])
def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch, orientations: int) -> None:
    x = planes(3, 45, 38)
    expected = predictions(x, flow(orientations))
    monkeypatch.setitem(bands.BAND_PLACES, "cpu", 50)
    seen, regressors, result = predictions(x, flow(orientations))
    assert torch.equal(result, expected[2])
    for found, wanted in zip(seen, expected[0], strict=True):
        assert torch.equal(found.mean, wanted.mean)
        assert torch.equal(found.scale, wanted.scale)
    assert all(map(torch.equal, regressors, expected[1]))


def test_both_lowerings_walk_alike() -> None:
    x = planes(3, 21, 18)
    first, _, _ = predictions(x)
    second, _, _ = predictions(x, walker(gemm))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.mean, b.mean)
        assert torch.equal(a.scale, b.scale)


@pytest.mark.parametrize("orientations", [4, 8])
@pytest.mark.parametrize("size", [(21, 18), (16, 35)])
def test_a_transposed_image_has_transposed_predictions(orientations: int, size: tuple[int, int]) -> None:
    """These orientations change places when the image is transposed."""
    x = planes(3, *size)
    transposed = np.ascontiguousarray(x.swapaxes(1, 2))
    first = {(p.level, p.phase, p.plane): p for p in predictions(x, flow(orientations))[0]}
    alone = predictions(transposed)[0]
    together = predictions(transposed, flow(orientations))[0]
    for p in together:
        other = first[p.level, {RIGHT: BELOW, BELOW: RIGHT}.get(p.phase, p.phase), p.plane]
        assert torch.equal(p.mean, other.mean.T)
        assert torch.equal(p.scale, other.scale.T)
    assert any(not torch.equal(p.mean, q.mean) for p, q in zip(together, alone, strict=True))


def test_grey_is_colour_without_chroma() -> None:
    """The luma of a grey image is predicted as that of an image whose chroma is zero."""
    grey = planes(1, 18, 15)
    colour = np.concatenate([grey, np.zeros((2, 18, 15), np.int32)])
    luma = [p for p in predictions(colour)[0] if p.plane == 0]
    for a, b in zip(predictions(grey)[0], luma, strict=True):
        assert torch.equal(a.mean, b.mean)
        assert torch.equal(a.scale, b.scale)
