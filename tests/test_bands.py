"""Bands cover a grid once, and what is made by bands is what is made at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec import bands
from nvpcodec.bands import Band, by_bands

CPU = torch.device("cpu")
PLACES = [1, 7, 40, 1 << 14]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (9, 14), (23, 5)])
def test_every_row_is_in_one_band(size: tuple[int, int], places: int) -> None:
    cut = bands.bands(*size, 2, places)
    assert [row for band in cut for row in range(size[0])[band.rows]] == list(range(size[0]))
    for band in cut:
        assert band.first == max(0, band.top - 2)
        assert band.last == min(size[0], band.bottom + 2)
        assert range(size[0])[band.seen][band.kept] == range(size[0])[band.rows]


def test_bands_are_about_as_large_as_wanted() -> None:
    cut = bands.bands(512, 384, 3, 16000)
    assert {15000 < (band.bottom - band.top) * 384 < 17000 for band in cut} == {True}
    assert len(bands.bands(128, 125, 3, 16000)) == 1


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_two_convolutions_by_bands(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, places: int
) -> None:
    """The zeros around the grid are those of its first and last bands alone."""
    monkeypatch.setitem(bands.BAND_PLACES, "cpu", places)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(-9, 9, (1, 3, 19, 8), generator=generator).float().contiguous(memory_format=layout)
    weight = torch.randint(-9, 9, (3, 3, 3, 3), generator=generator).float()

    def make(rows: Tensor) -> list[Tensor]:
        twice = F.conv2d(F.conv2d(rows, weight, padding=1), weight, padding=1)
        return [twice, rows[:, :1, None].long()]

    def of_band(band: Band) -> list[Tensor]:
        return make(x[..., band.seen, :])

    for found, expected in zip(by_bands(CPU, (19, 8), 2, of_band), make(x), strict=True):
        assert torch.equal(found, expected)
        assert found.dtype == expected.dtype


def test_the_layout_of_the_parts_is_kept() -> None:
    x = torch.ones(1, 4, 6, 5).contiguous(memory_format=torch.channels_last)
    (found,) = by_bands(CPU, (6, 5), 0, lambda band: [x[..., band.seen, :]])
    assert found.is_contiguous(memory_format=torch.channels_last)
