"""What a coupling sees: literal values on small grids, and int64 at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nvpcodec import layout
from nvpcodec.context import (
    activity_index,
    brightness,
    context_inputs,
    neighbourhood,
    normalise,
    pad_phase,
)
from nvpcodec.layout import BELOW, DIAGONAL, KEPT, RIGHT
from nvpcodec.tables import ACTIVITY_RECIPROCAL, ACTIVITY_THRESHOLDS, LEGAL

Values = NDArray[np.int64]


def phases_of(image: Values) -> dict[int, torch.Tensor]:
    """Padded phases of (P, H, W), both sides even."""
    phases = {p: torch.from_numpy(image[None, :, p // 2 :: 2, p % 2 :: 2]).float() for p in range(4)}
    return {p: pad_phase(x) for p, x in phases.items()}


def surroundings_in_int64(image: Values, phase: int) -> tuple[Values, Values, Values]:
    """base4, differences, activity, from offsets in pixels; for the phase's pixels away from the border."""
    offsets = [
        (2 * t.down + t.phase // 2 - phase // 2, 2 * t.right + t.phase % 2 - phase % 2)
        for t in layout.NEIGHBOURHOOD[phase]
    ]
    grid = image[:, phase // 2 :: 2, phase % 2 :: 2]
    taps = np.empty((16, *grid.shape), np.int64)
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="wrap")
    for k, (dy, dx) in enumerate(offsets):
        moved = padded[:, 4 + dy : 4 + dy + image.shape[1], 4 + dx : 4 + dx + image.shape[2]]
        taps[k] = moved[:, phase // 2 :: 2, phase % 2 :: 2]
    base4 = taps[:4].sum(0)
    differences = 4 * taps - base4
    activity = np.searchsorted(ACTIVITY_THRESHOLDS, np.abs(differences).sum(0), side="right")
    return base4, differences, activity


@pytest.mark.parametrize("phase", [DIAGONAL, RIGHT, BELOW])
@pytest.mark.parametrize("extreme", [False, True])
def test_against_int64(phase: int, extreme: bool) -> None:
    generator = np.random.default_rng(phase)
    planes = [
        generator.choice(ends, (16, 18)) if extreme else generator.integers(ends[0], ends[1] + 1, (16, 18))
        for ends in LEGAL
    ]
    image = np.stack(planes).astype(np.int64)
    got = neighbourhood(phase, phases_of(image))
    base4, differences, activity = surroundings_in_int64(image, phase)
    inner = (..., slice(2, -2), slice(2, -2))
    assert np.array_equal(got.base4[0].numpy().astype(np.int64)[inner], base4[inner])
    assert np.array_equal(got.differences[0].numpy().astype(np.int64)[inner], differences[inner])
    assert np.array_equal(got.activity[0].numpy()[inner], activity[inner])
    reciprocal = np.array(ACTIVITY_RECIPROCAL)[activity]
    scaled = differences * reciprocal + 128
    assert np.abs(scaled[inner]).max() < 1 << 24
    normalised = np.clip(scaled >> 8, -512, 511)
    got_normalised = got.normalised()[0].numpy().astype(np.int64).reshape(differences.shape)
    assert np.array_equal(got_normalised[inner], normalised[inner])


def test_the_largest_operand_is_exact() -> None:
    """A difference of 2040 quarter steps at each activity, though its activity could not be that small."""
    for sign in (-1, 1):
        for m, reciprocal in enumerate(ACTIVITY_RECIPROCAL):
            product = sign * 2040 * reciprocal + 128
            assert abs(product) < 1 << 24
            got = normalise(torch.tensor([sign * 2040.0]), torch.tensor([m]))
            assert got.tolist() == [min(511, max(-512, product >> 8))]


@pytest.mark.parametrize(
    ("phase", "nearest"),
    [
        (DIAGONAL, [0, 2, 8, 10]),
        (RIGHT, [0, 2, 1, 5]),
        (BELOW, [4, 5, 0, 8]),
    ],
)
def test_literal_neighbours(phase: int, nearest: list[int]) -> None:
    """A 4x4 image of the numbers 0 ... 15; the four around the first pixel of each phase."""
    image = np.arange(16).reshape(1, 4, 4)
    got = neighbourhood(phase, phases_of(image))
    if phase == DIAGONAL:
        assert got.base4[0, 0, 0, 0] == sum(nearest)
        assert (got.differences[0, :4, 0, 0, 0] / 4 + sum(nearest) / 4).tolist() == nearest
    elif phase == RIGHT:  # above the border, the diagonal phase repeats its first row
        assert got.base4[0, 0, 0, 0] == 0 + 2 + 5 + 5
    else:  # left of the border it repeats its first column
        assert got.base4[0, 0, 0, 0] == 5 + 5 + 0 + 8


def test_borders_repeat() -> None:
    padded = pad_phase(torch.tensor([[1.0, 2], [3, 4]]).view(1, 1, 2, 2))
    assert padded[0, 0].tolist() == [
        [1, 1, 1, 2, 2, 2],
        [1, 1, 1, 2, 2, 2],
        [1, 1, 1, 2, 2, 2],
        [3, 3, 3, 4, 4, 4],
        [3, 3, 3, 4, 4, 4],
        [3, 3, 3, 4, 4, 4],
    ]
    single = pad_phase(torch.full((1, 1, 1, 1), 7.0))
    assert single.shape == (1, 1, 5, 5)
    assert (single == 7).all()


def test_activity_at_each_threshold() -> None:
    for m, threshold in enumerate(ACTIVITY_THRESHOLDS):
        totals = torch.tensor([threshold - 1.0, threshold])
        assert activity_index(totals).tolist() == [m, m + 1]
    assert activity_index(torch.tensor([0.0, 16 * 2040])).tolist() == [0, 20]


def test_literal_normalisation() -> None:
    differences = torch.tensor([0.0, 1, -1, 4, 16, -16, 100])
    assert normalise(differences, torch.zeros(7, dtype=torch.int64)).tolist() == [
        0,
        32,
        -32,
        128,
        511,
        -512,
        511,
    ]
    assert normalise(differences, torch.full((7,), 8)).tolist() == [0, 2, -2, 8, 32, -32, 200]
    assert normalise(differences, torch.full((7,), 20)).tolist() == [0, 0, 0, 0, 1, 0, 3]


def test_literal_brightness() -> None:
    base4 = torch.tensor([[0.0, -1020, 1020], [1020, 7, -7]]).T.reshape(1, 3, 2, 1)
    assert brightness(base4).reshape(3, 2).tolist() == [[-128, 127], [-128, 0], [127, -1]]


def test_order_of_inputs() -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, 8, 8))
    padded = phases_of(image)
    around = [neighbourhood(phase, padded) for phase in (RIGHT, BELOW)]
    inputs = context_inputs(around)
    assert inputs.shape == (1, 108, 4, 4)
    for i, s in enumerate(around):
        part = inputs[:, 54 * i : 54 * (i + 1)]
        for tap in (0, 5, 15):
            for plane in range(3):
                expected = normalise(s.differences[:, tap, plane], s.activity[:, plane])
                assert torch.equal(part[:, 3 * tap + plane], expected)
        assert torch.equal(part[:, 48:51], (s.activity - 8) * 8)
        assert torch.equal(part[:, 51:], brightness(s.base4))
    assert inputs.abs().max() <= 512


def test_a_flat_image_is_quiet() -> None:
    image = np.full((3, 6, 6), 100)
    around = neighbourhood(DIAGONAL, {KEPT: phases_of(image)[KEPT]})
    assert (around.differences == 0).all()
    assert (around.activity == 0).all()
    assert (around.base4 == 400).all()
