"""Every value comes back from its fraction, and fractions fall to values by their masses."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec import quantiles
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.tables import LEGAL, MASS_TOTAL, SCALES
from tests.models import small_model


@pytest.fixture(scope="module")
def table() -> BaseTable:
    return BaseTable(small_model().tensors["base"])


def distributions(low: int, high: int, count: int) -> Distribution:
    """Every scale index, with means all over the legal values, their ends included."""
    generator = np.random.default_rng(1)
    mean = generator.integers(16 * low, 16 * high + 1, count).astype(np.int32)
    mean[:2] = 16 * low, 16 * high
    return Distribution(mean, (np.arange(count) % SCALES).astype(np.int32), low, high)


@pytest.mark.parametrize(("low", "high"), [LEGAL[0], LEGAL[1], (0, (1 << 16) - 1)])
def test_values_come_back(table: BaseTable, low: int, high: int) -> None:
    d = distributions(low, high, 20_000)
    near = (d.mean >> 4) + np.random.default_rng(2).integers(-40, 41, len(d.mean))
    far = np.random.default_rng(3).integers(low, high + 1, len(d.mean))
    ends = np.where(np.arange(len(d.mean)) % 2, low, high)
    for x in (near.clip(low, high), far, ends):
        values = x.astype(np.int32)
        fractions = quantiles.to_fractions(table, d, values)
        assert np.array_equal(quantiles.from_fractions(table, d, fractions), values)


def test_all_fractions_are_values(table: BaseTable) -> None:
    low, high = LEGAL[1]
    d = distributions(low, high, 20_000)
    fractions = np.random.default_rng(4).integers(0, 1 << 32, len(d.mean), dtype=np.uint32)
    fractions[:200], fractions[-200:] = 0, (1 << 32) - 1
    x = quantiles.from_fractions(table, d, fractions)
    assert low <= x.min() <= x.max() <= high
    assert np.array_equal(quantiles.from_fractions(table, d, quantiles.to_fractions(table, d, x)), x)


@pytest.mark.parametrize("scale", [0, 20, 40, SCALES - 1])
def test_equally_spaced_fractions_give_masses(table: BaseTable, scale: int) -> None:
    """The middle of each 2^-16: as many of them give a value as its mass says."""
    d = Distribution(np.full(MASS_TOTAL, 1000, np.int32), np.full(MASS_TOTAL, scale, np.int32), *LEGAL[0])
    fractions = (np.arange(MASS_TOTAL, dtype=np.int64) * 65536 + 32768).astype(np.uint32)
    x = quantiles.from_fractions(table, d, fractions)
    assert (np.diff(x) >= 0).all()
    inside = np.arange(60, 65, dtype=np.int32)
    masses = table.masses(d[: len(inside)], inside)
    cells = table.cells(d[:1])
    certain = (inside >= cells.first) & (inside <= cells.last)
    assert certain.any()
    counts = np.array([(x == value).sum() for value in inside])
    assert np.array_equal(counts[certain], masses[certain])


def test_uniform_values_come_back() -> None:
    values = np.arange(-255, 256, dtype=np.int32)
    planes = np.stack([values.clip(0), values, values[::-1]])[:, None]
    fractions = quantiles.uniform_to_fractions(planes)
    assert np.array_equal(quantiles.uniform_from_fractions(fractions), planes)
    ends = np.array([[[0, (1 << 32) - 1]]] * 3, np.uint32)
    assert quantiles.uniform_from_fractions(ends).tolist() == [[[0, 255]], [[-255, 255]], [[-255, 255]]]
