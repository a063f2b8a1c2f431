"""Regions cover an image once, and are few and about equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvpcodec.regions import MIXED_SIDE, REGION_SIDE, SIDE_MULTIPLE, Region, cut, region_size

SIDES = st.one_of(st.integers(1, 3000), st.integers(1, 2**31 - 1))


@pytest.mark.parametrize(
    ("size", "cell"),
    [
        ((1, 1), (1, 1)),
        ((1024, 1024), (1024, 1024)),
        ((1025, 1024), (576, 1024)),
        ((1000, 3000), (1000, 1024)),
        ((2**20, 1), (2**20, 1)),
        ((1, 2**20 + 1), (1, 2**19 + 64)),
        ((4000, 6000), (1024, 1024)),
    ],
)
def test_literal_sizes(size: tuple[int, int], cell: tuple[int, int]) -> None:
    assert region_size(*size) == cell


def test_smaller_cells_on_demand() -> None:
    assert region_size(420, 560, MIXED_SIDE) == (256, 192)
    assert region_size(100, 200, MIXED_SIDE) == (100, 200)


@given(SIDES, SIDES)
def test_no_region_is_too_large(height: int, width: int) -> None:
    tall, wide = region_size(height, width)
    assert 1 <= tall <= height
    assert 1 <= wide <= width
    assert tall * wide <= REGION_SIDE**2


@given(SIDES, SIDES)
def test_cut_sides_are_multiples(height: int, width: int) -> None:
    tall, wide = region_size(height, width)
    assert tall == height or tall % SIDE_MULTIPLE == 0
    assert wide == width or wide % SIDE_MULTIPLE == 0


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 45), st.integers(1, 45))
def test_every_pixel_is_in_one_region(height: int, width: int, tall: int, wide: int) -> None:
    regions = list(cut(height, width, tall, wide))
    pixels = [(y, x) for r in regions for y in range(r.top, r.bottom) for x in range(r.left, r.right)]
    assert sorted(pixels) == [(y, x) for y in range(height) for x in range(width)]
    assert regions == sorted(regions, key=lambda r: (r.top, r.left))
    assert all(r.shape[0] <= tall and r.shape[1] <= wide for r in regions)


def test_windows() -> None:
    assert Region(1, 2, 4, 8).shape == (3, 6)
    assert Region(1, 2, 4, 8).window == (slice(1, 4), slice(2, 8))
