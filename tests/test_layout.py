"""Which pixel is which: literal values on small grids."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec.layout import (
    BELOW,
    COUPLINGS,
    DIAGONAL,
    KEPT,
    NEAREST,
    NEIGHBOURHOOD,
    REACH,
    RIGHT,
    TAPS,
    Tap,
    coarser,
    phase_size,
    scale_sizes,
)

NEAREST_TAPS = {
    DIAGONAL: (Tap(KEPT, 0, 0), Tap(KEPT, 0, 1), Tap(KEPT, 1, 0), Tap(KEPT, 1, 1)),
    RIGHT: (Tap(KEPT, 0, 0), Tap(KEPT, 0, 1), Tap(DIAGONAL, -1, 0), Tap(DIAGONAL, 0, 0)),
    BELOW: (Tap(DIAGONAL, 0, -1), Tap(DIAGONAL, 0, 0), Tap(KEPT, 0, 0), Tap(KEPT, 1, 0)),
}
#: Offsets in pixels, in order.
OFFSETS = {
    DIAGONAL: [
        (-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -3), (-1, 3), (1, -3), (1, 3),
        (-3, -1), (-3, 1), (3, -1), (3, 1), (-3, -3), (-3, 3), (3, -3), (3, 3),
    ],
    RIGHT: [
        (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2),
        (-2, -1), (-2, 1), (2, -1), (2, 1), (0, -3), (0, 3), (-3, 0), (3, 0),
    ],
}  # fmt: skip
OFFSETS[BELOW] = OFFSETS[RIGHT]


@pytest.mark.parametrize("phase", NEIGHBOURHOOD)
def test_taps_in_order(phase: int) -> None:
    taps = NEIGHBOURHOOD[phase]
    assert taps[:NEAREST] == NEAREST_TAPS[phase]
    assert len(set(taps)) == TAPS
    offsets = [(2 * t.down + t.phase // 2 - phase // 2, 2 * t.right + t.phase % 2 - phase % 2) for t in taps]
    assert offsets == OFFSETS[phase]


def test_only_earlier_phases_are_read() -> None:
    known = {KEPT}
    for changed in COUPLINGS:
        for phase in changed:
            assert {t.phase for t in NEIGHBOURHOOD[phase]} <= known
        known |= set(changed)
    assert known == {0, 1, 2, 3}


def test_reach() -> None:
    assert REACH == 2


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((1, 1), [(1, 1)]),
        ((4, 4), [(4, 4)]),
        ((4, 5), [(4, 5), (2, 3)]),
        ((1, 17), [(1, 17), (1, 9)]),
        ((37, 1), [(37, 1), (19, 1), (10, 1)]),
        ((33, 48), [(33, 48), (17, 24), (9, 12), (5, 6), (3, 3)]),
    ],
)
def test_scale_sizes(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    assert scale_sizes(*size) == sizes


@pytest.mark.parametrize("height", range(1, 8))
@pytest.mark.parametrize("width", range(1, 8))
def test_phases_tile_every_image(height: int, width: int) -> None:
    image = np.zeros((height, width))
    for phase in range(4):
        view = image[phase // 2 :: 2, phase % 2 :: 2]
        assert view.shape == phase_size(phase, height, width)
        view += 1
    assert (image == 1).all()
    assert coarser(height, width) == phase_size(KEPT, height, width)
