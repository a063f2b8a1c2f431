"""The walk over deep samples: every pixel once, from what was known before it, as many rows as promised."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec.deep_walk import Place, walk
from nvpcodec.layout import scale_sizes
from nvpcodec.wide_symbols import Wide

SIZES = [(1, 17), (17, 1), (5, 4), (9, 14), (16, 16), (23, 31)]


def walked(planes: Wide, seen: list[tuple[int, int, Place]]) -> Wide:
    """The walk over known planes, which notes each place; errors are a tenth of the values."""
    scales = [planes]
    for _ in scale_sizes(*planes.shape[1:])[1:]:
        scales.append(scales[-1][:, ::2, ::2])

    def code(level: int, phase: int, place: Place) -> tuple[Wide, Wide]:
        seen.append((level, phase, place))
        x = scales[level][place.plane, phase // 2 :: 2, phase % 2 :: 2]
        return x, 16 * x - x // 10

    return walk(planes.shape[1], planes.shape[2], scales[-1], code)


def picture(planes: int, height: int, width: int) -> Wide:
    return np.random.default_rng(1).integers(0, 65536, (planes, height, width))


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_pixel_is_asked_once(size: tuple[int, int], planes: int) -> None:
    known = picture(planes, *size)
    seen: list[tuple[int, int, Place]] = []
    np.testing.assert_array_equal(walked(known, seen), known)
    rows, columns = scale_sizes(*size)[-1]
    assert sum(place.base4.size for _, _, place in seen) == planes * (size[0] * size[1] - rows * columns)
    assert seen[-1][2].remaining == 0


@pytest.mark.parametrize("planes", [1, 3])
def test_there_are_as_many_rows_as_promised(planes: int) -> None:
    def check(level: int, phase: int, place: Place) -> tuple[Wide, Wide]:
        regressors, magnitudes = list(place.regressors()), list(place.magnitudes())
        assert (len(regressors), len(magnitudes)) == place.counts
        assert {row.shape for row in regressors + magnitudes} == {place.base4.shape}
        return np.zeros_like(place.base4), np.zeros_like(place.base4)

    walk(9, 14, np.zeros((planes, 3, 4), np.int64), check)


def test_a_flat_picture_has_nothing_but_its_base() -> None:
    seen: list[tuple[int, int, Place]] = []
    flat = np.full((3, 8, 9), 100, np.int64)

    def code(level: int, phase: int, place: Place) -> tuple[Wide, Wide]:
        assert (place.base4 == 400).all()
        assert not any(row.any() for row in place.regressors())
        constant, brightness, *others = place.magnitudes()
        assert (constant == 1024).all()
        assert (brightness == 1600).all()
        assert not any(row.any() for row in others)
        seen.append((level, phase, place))
        return np.full_like(place.base4, 100), np.full_like(place.base4, 1600)

    walk(8, 9, flat[:, :2, :3], code)
    assert {phase for _, phase, _ in seen} == {1, 2, 3}
