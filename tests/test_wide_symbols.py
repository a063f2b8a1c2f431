"""Wide symbols: tables that every machine makes alike, pops that mirror pushes, costs near the truth."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec import wide_symbols
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import COST_UNIT
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Stack
from nvpcodec.tables import MASS_TOTAL, SCALE_FINENESS, SCALES, base_lengths
from nvpcodec.wide_symbols import REACH, WIDE_SCALES, Wide, WideDistribution


def a_mixture(
    seed: int = 1, count: int = 3000, low: int = -65535, high: int = 65535
) -> tuple[WideDistribution, Wide]:
    """Distributions of every scale, and values of which some are far off."""
    generator = np.random.default_rng(seed)
    scale = generator.integers(0, WIDE_SCALES, count)
    mean = generator.integers(16 * low, 16 * high, count, endpoint=True)
    spread = 2.0 ** (scale / 6 - 5) * np.where(generator.random(count) < 0.05, 300, 1)
    x = np.rint(mean / 16 + spread * generator.logistic(size=count)).astype(np.int64)
    return WideDistribution(mean, scale, low, high), np.clip(x, low, high)


def coded(d: WideDistribution, x: Wide, growth: int = 16) -> Stack:
    recorder = Recorder(wide_symbols.logistic_table().costs)
    wide_symbols.push_wide(recorder, d, x, 0)
    stack = Stack()
    recorder.play(stack, growth)
    return stack


def test_the_table_does_not_depend_on_the_platform() -> None:
    """No share of an edge lies near a rounding boundary."""
    for index in range(SCALES):
        masses = wide_symbols.logistic_masses(index)
        assert np.abs(masses - np.floor(masses) - 0.5).min() > 1e-7


@pytest.mark.parametrize("index", range(SCALES))
def test_every_step_of_the_table_has_its_least_mass(index: int) -> None:
    edges = wide_symbols._edges(index)
    step = 1 << SCALE_FINENESS[index]
    assert len(edges) == base_lengths()[index]
    assert min(edges[0], MASS_TOTAL - edges[-1], (edges[step:] - edges[:-step]).min()) >= 2
    assert (np.diff(edges) >= 0).all()


def test_thresholds_are_half_way_between_the_scales_they_part() -> None:
    thresholds = wide_symbols.scale_thresholds()
    assert thresholds.tolist() == np.ceil(2.0 ** (9 + (np.arange(1, 128) - 0.5) / 6)).tolist()
    scales = np.array([-5, 0, 512, *thresholds, 1 << 40])
    assert wide_symbols.scale_index(scales).tolist() == [0, 0, 0, *range(1, 128), 127]


@pytest.mark.parametrize("growth", [0, 16, 255])
@pytest.mark.parametrize(("low", "high"), [(-65535, 65535), (0, 65535), (0, 0), (0, 3)])
def test_pop_mirrors_push(low: int, high: int, growth: int) -> None:
    d, x = a_mixture(low=low, high=high)
    stack = coded(d, x, growth)
    np.testing.assert_array_equal(wide_symbols.pop_wide(stack, d, 0, growth), x)
    stack.require_empty()


def test_values_further_than_a_symbol_reaches_come_back() -> None:
    mean = np.full(4, 16 * 1000)
    x = np.array([0, 1000 - REACH, 1000 + REACH, 65535])
    d = WideDistribution(mean, np.zeros(4, np.int64), 0, 65535)
    np.testing.assert_array_equal(wide_symbols.pop_wide(coded(d, x), d, 0, 16), x)


def test_costs_are_near_what_is_paid() -> None:
    d, x = a_mixture(count=20000)
    expected = int(wide_symbols.costs(d, x).sum()) / COST_UNIT
    assert coded(d, x).ledger.content_bits == pytest.approx(expected, rel=0.02)


def test_a_value_beyond_the_legal_ones_is_damage() -> None:
    wider = WideDistribution(np.full(200, 16 * 9), np.full(200, 40), 0, 1000)
    narrower = WideDistribution(np.full(200, 16 * 9), np.full(200, 40), 0, 10)
    stack = coded(wider, np.full(200, 40))
    with pytest.raises(DamagedFileError, match="out of range"):
        wide_symbols.pop_wide(stack, narrower, 0, 16)


def test_no_room_beyond_the_reach_is_damage() -> None:
    wider = WideDistribution(np.full(9, 16 * 9), np.zeros(9, np.int64), 0, 1000)
    narrower = WideDistribution(np.full(9, 16 * 9), np.zeros(9, np.int64), 0, 10)
    stack = coded(wider, np.full(9, 900))
    with pytest.raises(DamagedFileError, match="out of range"):
        wide_symbols.pop_wide(stack, narrower, 0, 16)
