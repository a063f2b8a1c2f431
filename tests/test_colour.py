"""YCoCg-R: reversible, within its ranges, and refused beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec.colour import from_planes, to_planes
from nvpcodec.errors import DamagedFileError
from nvpcodec.tables import LEGAL


def test_every_extreme_comes_back() -> None:
    values = np.array([0, 1, 2, 127, 128, 253, 254, 255], np.uint8)
    samples = np.stack(np.meshgrid(values, values, values), -1).reshape(64, 8, 3)
    planes = to_planes(samples)
    for plane, (low, high) in zip(planes, LEGAL, strict=True):
        assert (plane.min(), plane.max()) == (low, high)
    assert np.array_equal(from_planes(planes), samples)


def test_random_colours_come_back() -> None:
    samples = np.random.default_rng(1).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    assert np.array_equal(from_planes(to_planes(samples)), samples)


@pytest.mark.parametrize(
    ("rgb", "planes"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (255, 0, 0)),
        ((255, 0, 0), (63, 255, -127)),
        ((0, 255, 0), (127, 0, 255)),
        ((0, 0, 255), (63, -255, -127)),
        ((10, 20, 31), (20, -21, 0)),
    ],
)
def test_literal_colours(rgb: tuple[int, ...], planes: tuple[int, ...]) -> None:
    assert to_planes(np.array([[rgb]], np.uint8)).reshape(3).tolist() == list(planes)


def test_grey_is_itself() -> None:
    samples = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    planes = to_planes(samples)
    assert planes.dtype == np.int32
    assert planes.shape == (1, 16, 16)
    assert np.array_equal(from_planes(planes), samples)


@pytest.mark.parametrize("planes", [(255, 255, 255), (0, 255, 0), (0, 0, 2), (255, 0, -255), (-1, 0, 0)])
def test_planes_of_no_image_are_refused(planes: tuple[int, ...]) -> None:
    with pytest.raises(DamagedFileError, match="colour"):
        from_planes(np.array(planes, np.int32).reshape(3, 1, 1))


@pytest.mark.parametrize("value", [-1, 256])
def test_grey_beyond_its_range_is_refused(value: int) -> None:
    with pytest.raises(DamagedFileError, match="colour"):
        from_planes(np.full((1, 1, 1), value, np.int32))
