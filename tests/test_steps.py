"""Distributions in integers: every legal value has its place, and symbols come back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.recorder import GROWTHS, Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import CERTAIN_SCALE, GROUP, MISS_MASSES, pop_symbols, push_symbols
from nvpcodec.tables import LEGAL, MASS_MIN, MASS_TOTAL, SCALE_FINENESS, SCALE_RADIUS, SCALES, base_lengths
from nvpcodec.train.base_table import base_table, logistic

TABLE = BaseTable(base_table(logistic))
RANGES = sorted(set(LEGAL))
TARGETS = np.arange(MASS_TOTAL, dtype=np.int32)
SOME_SCALES = [0, 7, 14, 35, 36, 41, 42, 47, 48, 53, 54, 66, 67, 71]


def same(count: int, mean: int, scale: int, legal: tuple[int, int]) -> Distribution:
    return Distribution(np.full(count, mean, np.int32), np.full(count, scale, np.int32), *legal)


def some_means(low: int, high: int) -> list[int]:
    """Both ends and what lies beside them, in sixteenths, and some between."""
    ends = [16 * low + i for i in (0, 1, 7, 8, 9, 16)] + [16 * high - i for i in (0, 1, 7, 8, 9, 16)]
    return ends + [int(m) for m in np.random.default_rng(1).integers(16 * low, 16 * high + 1, 4)]


@pytest.mark.parametrize("legal", RANGES)
def test_every_legal_value_has_a_mass(legal: tuple[int, int]) -> None:
    """At least MASS_MIN each, shares of the tails included; together all of 2^16."""
    x = np.arange(legal[0], legal[1] + 1, dtype=np.int32)
    for scale in range(SCALES):
        for mean in some_means(*legal):
            cells, cell, start, mass = TABLE.intervals(same(len(x), mean, scale, legal), x)
            places, first = np.unique(cell, return_index=True)
            assert int(mass[first].sum()) == MASS_TOTAL
            assert start[first].tolist() == [0, *np.cumsum(mass[first])[:-1].tolist()]
            assert mass.min() >= MASS_MIN
            below, above = int(cells.first[0]) - legal[0], legal[1] - int(cells.last[0])
            assert len(places) == len(x) - max(0, below - 1) - max(0, above - 1)


@pytest.mark.parametrize("scale", SOME_SCALES)
@pytest.mark.parametrize("legal", RANGES)
def test_find_is_the_inverse_of_intervals(scale: int, legal: tuple[int, int]) -> None:
    for mean in (16 * legal[0], 16 * legal[0] + 9, 16 * legal[1] - 7, 16 * legal[1], 5 * scale):
        d = same(MASS_TOTAL, mean, scale, legal)
        cells = TABLE.cells(d)
        cell, start, mass = TABLE.find(d, cells, TARGETS)
        assert (start <= TARGETS).all()
        assert (start + mass > TARGETS).all()
        x = np.clip(cell, *legal)
        again, again_cell, again_start, again_mass = TABLE.intervals(d, x)
        assert np.array_equal(again_cell, cell)
        assert np.array_equal(again_start, start)
        assert np.array_equal(again_mass, mass)
        assert np.array_equal(again.first, cells.first)


def test_the_table_is_read_where_the_definition_says() -> None:
    """The cell of x: table entries at (x - 1/2 - mean + radius) grid steps and one pixel step further."""
    base = base_table(logistic)
    starts = np.concatenate([[0], np.cumsum(base_lengths())])
    generator = np.random.default_rng(5)
    for scale in range(SCALES):
        table = base[starts[scale] : starts[scale + 1]]
        fineness, radius = SCALE_FINENESS[scale], SCALE_RADIUS[scale]
        for mean in generator.integers(16 * 100, 16 * 150, 5).tolist():
            x = (mean + 8) // 16
            entry = (16 * (x + radius) - 8 - mean) >> (4 - fineness)
            expected = (int(table[entry]), int(table[entry + (1 << fineness)] - table[entry]))
            _, _, start, mass = TABLE.intervals(same(1, mean, scale, (-255, 255)), np.array([x], np.int32))
            if scale < 60:  # wider tables reach beyond the legal values, whose ends take what is left
                assert (int(start[0]), int(mass[0])) == expected


def test_mode() -> None:
    mean = np.array([-9, -8, 0, 7, 8, 255 * 16, 255 * 16 + 8], np.int32)
    d = Distribution(mean, np.zeros(7, np.int32), 0, 255)
    assert d.mode.tolist() == [0, 0, 0, 0, 1, 255, 255]


def coded(d: Distribution, x: Ints, before: int = 0, growth: int = 16) -> tuple[Ints, Stack, Stack]:
    """x after push and pop, the stack before and after; some words lie below."""
    recorder = Recorder(TABLE.costs)
    push_symbols(recorder, TABLE, d, x, before)
    stack, untouched = Stack(), Stack()
    for s in (stack, untouched):
        s.push(np.random.default_rng(2).integers(0, 65536, 40).astype(np.int32), 65536)
    recorder.play(stack, growth)
    return pop_symbols(stack, TABLE, d, before, growth), untouched, stack


def assert_comes_back(d: Distribution, x: Ints, **how: int) -> None:
    again, untouched, stack = coded(d, x, **how)
    assert np.array_equal(again, x)
    assert np.array_equal(stack.words(), untouched.words())


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 300),
    st.sampled_from(RANGES),
    st.sampled_from(GROWTHS),
    st.integers(0, 500),
)
@settings(deadline=None, max_examples=60)
def test_any_values_come_back(
    seed: int, count: int, legal: tuple[int, int], growth: int, before: int
) -> None:
    generator = np.random.default_rng(seed)
    d = Distribution(
        generator.integers(16 * legal[0], 16 * legal[1] + 1, count).astype(np.int32),
        generator.integers(0, SCALES, count).astype(np.int32),
        *legal,
    )
    x = np.where(generator.random(count) < 0.5, d.mode, generator.integers(legal[0], legal[1] + 1, count))
    assert_comes_back(d, x.astype(np.int32), growth=growth, before=before)


@pytest.mark.parametrize("scale", SOME_SCALES)
@pytest.mark.parametrize("legal", RANGES)
def test_tails_come_back(scale: int, legal: tuple[int, int]) -> None:
    x = np.arange(legal[0], legal[1] + 1, dtype=np.int32)
    for mean in (16 * legal[0], 16 * legal[1], 1000):
        assert_comes_back(same(len(x), mean, scale, legal), x)


@pytest.mark.parametrize("count", [0, 1, GROUP - 1, GROUP, GROUP + 1, 5 * GROUP + 3])
@pytest.mark.parametrize("strays", [0, 1, 7, 1000])
def test_certain_groups_come_back(count: int, strays: int) -> None:
    generator = np.random.default_rng(count)
    d = same(count, 1600, 0, (0, 255))
    x = d.mode.copy()
    x[generator.integers(0, count, strays if count else 0)] = 37
    assert_comes_back(d, x)


def test_certain_groups_cost_next_to_nothing() -> None:
    count = GROUP * 1000
    recorder = Recorder(TABLE.costs)
    push_symbols(recorder, TABLE, same(count, 1600, 0, (0, 255)), np.full(count, 100, np.int32), 0)
    stack = Stack()
    recorder.play(stack, 16)
    assert stack.ledger.content_bits < 10


def test_uncertain_symbols_are_not_grouped() -> None:
    """Means between two pixels, and scales above the limit, are coded one by one; the two kinds mix."""
    generator = np.random.default_rng(3)
    count = 1000
    mean = np.where(generator.random(count) < 0.5, 1600, 1608).astype(np.int32)
    scale = np.where(generator.random(count) < 0.8, 0, CERTAIN_SCALE + 1).astype(np.int32)
    d = Distribution(mean, scale, 0, 255)
    x = (d.mode - (generator.random(count) < 0.02)).astype(np.int32)
    assert_comes_back(d, x)


def test_literal_miss_masses() -> None:
    assert MISS_MASSES[:5] == (55109, 46341, 38968, 32768, 27554)
    assert MISS_MASSES[-1] == 2
    assert len(MISS_MASSES) == 60
    assert all(a >= b for a, b in pairwise(MISS_MASSES))


def test_the_growth_wastes_little_and_is_the_same_each_time() -> None:
    def recorder(count: int) -> Recorder:
        tape = Recorder(TABLE.costs)
        x = np.random.default_rng(1).integers(90, 110, count).astype(np.int32)
        for start in range(0, count, 500):
            push_symbols(
                tape, TABLE, same(500, 1600, 40, (0, 255)), x[start : start + 500], count - start - 500
            )
        return tape

    few, many = recorder(500).best_growth(), recorder(20000).best_growth()
    assert few in GROWTHS
    assert many in GROWTHS
    assert recorder(20000).best_growth() == many
    waste = {}
    for growth in GROWTHS:
        stack = Stack()
        recorder(20000).play(stack, growth)
        waste[growth] = stack.ledger.initial_bits
    assert waste[many] <= min(waste.values()) + 48


def test_entries_are_only_read_inside_the_table() -> None:
    """Garbage around each table would show: a table of its own for each scale gives the same intervals."""
    base = base_table(logistic)
    starts = np.concatenate([[0], np.cumsum(base_lengths())])
    for scale in SOME_SCALES:
        poisoned: Any = np.full_like(base, -(10**6))
        poisoned[starts[scale] : starts[scale + 1]] = base[starts[scale] : starts[scale + 1]]
        other = BaseTable.__new__(BaseTable)
        other.__dict__.update(TABLE.__dict__)
        other._edges = poisoned
        for low, high in RANGES:
            x = np.arange(low, high + 1, dtype=np.int32)
            for mean in some_means(low, high):
                d = same(len(x), mean, scale, (low, high))
                assert np.array_equal(other.intervals(d, x)[3], TABLE.intervals(d, x)[3])
