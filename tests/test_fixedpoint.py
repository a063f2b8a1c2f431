"""Bounds and costs in integers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nvpcodec.fixedpoint import COST_UNIT, accumulator_bounds, cost_table
from nvpcodec.tables import MASS_BITS


def test_no_cost_is_near_a_rounding_boundary() -> None:
    """`cost_table` promises this: another platform's logarithm cannot change an entry."""
    masses = np.arange(1, (1 << MASS_BITS) + 1, dtype=np.float64)
    exact = COST_UNIT * (MASS_BITS - np.log2(masses))
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-7


def test_literal_costs() -> None:
    costs = cost_table(MASS_BITS)
    assert costs.dtype == np.int64
    assert len(costs) == 65537
    assert costs[[0, 1, 2, 3, 32768, 65535, 65536]].tolist() == [4352, 4096, 3840, 3690, 256, 0, 0]
    assert costs[3] == round(256 * (16 - math.log2(3)))
    assert (np.diff(costs) <= 0).all()


def test_literal_bounds() -> None:
    weight = np.array([[[[3]], [[-4]]], [[[0]], [[1]]]], np.int8)
    bias = np.array([-5, 7], np.int32)
    assert accumulator_bounds([weight], bias, 512).tolist() == [5 + 7 * 512, 7 + 512]
    assert accumulator_bounds([weight, weight], bias, 512).tolist() == [5 + 14 * 512, 7 + 1024]


def test_bounds_of_the_lowest_values_do_not_wrap() -> None:
    weight = np.full((1, 1, 1, 1), -128, np.int8)
    assert accumulator_bounds([weight], np.array([-(2**31)], np.int32), 512).tolist() == [2**31 + 128 * 512]


@given(st.integers(0, 2**32 - 1))
def test_no_input_exceeds_the_bound(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.integers(-128, 128, (2, 3, 3, 3)).astype(np.int8)
    bias = generator.integers(-(2**20), 2**20, 2).astype(np.int32)
    bounds = accumulator_bounds([weight], bias, 512)
    worst = np.where(weight >= 0, 512, -512) * np.where(bias >= 0, 1, -1)[:, None, None, None]
    sums = (worst * weight.astype(np.int64)).sum((1, 2, 3)) + bias
    assert np.abs(sums).tolist() == bounds.tolist(), "the bound is reached"
    x = generator.integers(-512, 512, weight.shape)
    assert (np.abs((x * weight).sum((1, 2, 3)) + bias) <= bounds).all()
