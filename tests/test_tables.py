"""The shared integers are what their definitions say."""

from __future__ import annotations

import math
from fractions import Fraction

from nvpcodec import tables


def test_activity_thresholds() -> None:
    assert len(tables.ACTIVITY_THRESHOLDS) == tables.ACTIVITIES - 1
    for m, threshold in enumerate(tables.ACTIVITY_THRESHOLDS, 1):
        # threshold >= 2^(4 + (m - 1/2) / 2) > threshold - 1, both to the fourth power
        edge = Fraction(2) ** (16 + 2 * m - 1)
        assert Fraction(threshold) ** 4 >= edge > Fraction(threshold - 1) ** 4


def test_activity_reciprocals_and_factors() -> None:
    for m in range(tables.ACTIVITIES):
        assert tables.ACTIVITY_RECIPROCAL[m] == math.floor(2 ** (13 - m / 2) + 0.5)
        assert tables.ACTIVITY_FACTOR[m] == math.floor(2 ** (4 + m / 2) + 0.5)
    assert len(tables.ACTIVITY_RECIPROCAL) == len(tables.ACTIVITY_FACTOR) == tables.ACTIVITIES


def test_factors_of_innovations_and_refinements() -> None:
    for i in range(tables.SCALES):
        assert tables.INNOVATION_FACTOR[i] == math.floor(2 ** (16 - i / 6) + 0.5)
        assert tables.REFINEMENT_FACTOR[i] == math.floor(2 ** (6 + i / 6) + 0.5)
    assert len(tables.INNOVATION_FACTOR) == len(tables.REFINEMENT_FACTOR) == tables.SCALES


def test_operands_stay_exact() -> None:
    exact = 1 << 24
    assert 2040 * max(tables.ACTIVITY_RECIPROCAL) + 128 < exact
    assert -tables.ACTIVATION_MIN * max(tables.ACTIVITY_FACTOR) + 64 < exact


def test_scales() -> None:
    assert len(tables.SCALE_RADIUS) == len(tables.SCALE_FINENESS) == tables.SCALES
    assert tables.SCALE_INDEX_OF_ACTIVITY[0] == 12
    assert tables.SCALE_INDEX_OF_ACTIVITY[-1] == tables.SCALES
    assert tables.base_lengths()[0] == 2 * 2 * 16 + 1
    assert tables.base_lengths()[-1] == 2 * 510 + 1
    assert max(tables.SCALE_FINENESS) == 4, "sixteenths are as fine as means are"
    widths = [high - low for low, high in tables.LEGAL]
    assert max(widths) == max(tables.SCALE_RADIUS), "the widest table reaches every value from any mean"
