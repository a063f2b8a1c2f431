"""Turning an image: phases stay phases, nothing is lost."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec.layout import DIAGONAL, PASSES, PHASES, RIGHT, known_around, seen_before
from nvpcodec.model import UNTRANSPOSED
from nvpcodec.orientation import ORIENTATIONS, Orientation, Views, orientations, reversals


def phases_of(image: Tensor) -> list[Tensor]:
    """The phases of an image with an odd number of rows and columns, filled with -1."""
    padded = F.pad(image, (0, 1, 0, 1), value=-1.0)
    return [padded[..., p // 2 :: 2, p % 2 :: 2] for p in range(PHASES)]


def turned_image(image: Tensor, orientation: Orientation) -> Tensor:
    image = image.transpose(-1, -2) if orientation.transposed else image
    reversed_axes = [d for d, reversal in ((-2, orientation.down), (-1, orientation.across)) if reversal]
    return image.flip(reversed_axes)


def test_there_are_eight() -> None:
    assert {n: len(orientations(n, Views.UPRIGHT)) for n in (1, 2, 4, 8)} == UNTRANSPOSED
    for views in (Views.ONE, Views.BESIDE):
        assert {orientations(n, views) for n in (1, 2, 4, 8)} == {ORIENTATIONS[:1]}
    assert len(set(ORIENTATIONS)) == 8
    assert ORIENTATIONS[0] == Orientation()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turned_phases_are_those_of_the_turned_image(orientation: Orientation) -> None:
    image = torch.arange(9.0 * 13).view(9, 13)
    phases = phases_of(image)
    for p, expected in enumerate(phases_of(turned_image(image, orientation))):
        phase = orientation.phase(p)
        assert orientation.phase(phase) == p
        found = orientation.turn(phases[phase], phase)
        found = found[int(orientation.down) :, int(orientation.across) :]
        assert torch.equal(found[expected >= 0], expected[expected >= 0])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (2, 3, 4, 6)])
def test_turning_back_restores(orientation: Orientation, shape: tuple[int, ...]) -> None:
    x = torch.from_numpy(np.random.default_rng(1).random(shape))
    for phase in range(PHASES):
        turned = orientation.turn(x, phase)
        assert turned.numel() >= x.numel()
        assert torch.equal(orientation.turn_back(turned, phase), x)


@pytest.mark.parametrize("orientation", reversals(4))
def test_reversed_offsets_lead_to_the_reversed_pixels(orientation: Orientation) -> None:
    """From a pixel, an offset on the turned grid leads to what its reversed one leads to on the other."""
    rows, columns = 9, 13
    image = torch.arange(float(rows * columns)).view(rows, columns)
    turned = turned_image(image, orientation)
    for phase in range(RIGHT, PHASES):
        for plane in (0, 2):
            for other, _, offsets in seen_before(phase, plane):
                reversed_offsets = orientation.reversed_offsets(offsets, phase, other)
                for offset, reverse in zip(offsets, reversed_offsets, strict=True):
                    there = at(
                        turned, place(turned, image[4 + phase // 2, 6 + phase % 2]), phase, other, offset
                    )
                    here = at(image, (4 + phase // 2, 6 + phase % 2), phase, other, reverse)
                    assert here == there


def place(image: Tensor, value: Tensor) -> tuple[int, int]:
    row, column = (image == value).nonzero()[0].tolist()
    return row, column


def at(image: Tensor, pixel: tuple[int, int], phase: int, other: int, offset: tuple[int, int]) -> float:
    """What is so many blocks from a pixel of one phase, as a pixel of another."""
    row = pixel[0] + 2 * offset[0] + other // 2 - phase // 2
    column = pixel[1] + 2 * offset[1] + other % 2 - phase % 2
    return float(image[row, column])


@pytest.mark.parametrize("orientation", reversals(4))
def test_reversals_see_what_is_known(orientation: Orientation) -> None:
    assert not orientation.transposed
    for number in range(len(PASSES)):
        known = known_around(number)
        assert set(orientation.reversed_offsets(known, DIAGONAL, DIAGONAL)) == set(known)
    for phase in range(RIGHT, PHASES):
        for other, _, offsets in seen_before(phase, 2):
            assert set(orientation.reversed_offsets(offsets, phase, other)) == set(offsets)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("grid", [(4, 6), (5, 6), (3, 7), (1, 1)])
def test_features_are_handed_to_the_blocks_that_they_are_of(
    orientation: Orientation, grid: tuple[int, int]
) -> None:
    """Pixels of a coarser scale, which are the blocks of this one, taken apart and turned as features are."""
    rows, columns = ((n + 1) // 2 for n in grid)
    blocks = torch.arange(1.0, grid[0] * grid[1] + 1).view(1, 1, *grid)
    padded = F.pad(blocks, (0, 2 * columns - grid[1], 0, 2 * rows - grid[0]))
    parts = {p: padded[..., p // 2 :: 2, p % 2 :: 2] for p in range(PHASES)}
    turned = {orientation.phase(p): orientation.turn(x, p) for p, x in parts.items()}
    features = F.pixel_shuffle(torch.cat([turned[p] for p in range(PHASES)], 1), 2)
    found = orientation.on_grid(features, grid)
    expected = orientation.turn(blocks, 0)
    inside = (..., slice(int(orientation.down), None), slice(int(orientation.across), None))
    assert found.shape == expected.shape
    assert torch.equal(found[inside], expected[inside])
