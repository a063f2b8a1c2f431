"""Symbols whose distributions may be wider than the base tables: what is left of them is uniform bits.

A scale index runs from 0 to 127 and stands for a logistic distribution of 2^(s/6 - 5) steps. Where it is
48 or more, the value is shifted right by so many bits that the index of what remains lies from 42 to 47; the
bits that fall out are as good as uniform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import COST_UNIT
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_symbols, push_symbols
from nvpcodec.tables import (
    MASS_MIN,
    MASS_TOTAL,
    SCALE_FINENESS,
    SCALE_MIN_LOG2,
    SCALE_RADIUS,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
    SHIFT_UNIT,
    base_lengths,
)

Wide = NDArray[np.int64]

WIDE_SCALES = 128
#: Values of this scale index and above lose bits, until it is below this and at most an octave lower.
WIDEST = 48
#: Values at least so far from the mode, in steps of what is left of them, share a symbol at each side.
REACH = 127
#: What a place in a tail costs, and one at `REACH` or more, roughly.
_TAIL_COST, _FAR_COST = 7 * COST_UNIT, 10 * COST_UNIT
#: Scales are given in 2^-14 steps; index 0 is 2^-5 of a step.
SCALE_UNIT_BITS = 14


@cache
def logistic_table() -> BaseTable:
    """The base table of the logistic distribution, the same on every machine.

    The exponential is the platform's; no entry lies within 1e-7 of a rounding boundary (tested), thousands of
    times further than exponentials differ.
    """
    return BaseTable(np.concatenate([_edges(index) for index in range(SCALES)]))


def logistic_masses(index: int) -> NDArray[np.float64]:
    """What belongs to below each edge of a scale index, before it is rounded and every step has its least."""
    radius, fineness = SCALE_RADIUS[index], SCALE_FINENESS[index]
    steps = np.arange(base_lengths()[index]) / 2**fineness - radius
    spare = MASS_TOTAL - 2 * MASS_MIN - 2 * radius * MASS_MIN
    share = 1 / (1 + np.exp(-steps / 2 ** (index / SCALE_STEPS_PER_OCTAVE + SCALE_MIN_LOG2)))
    return np.asarray(spare * share)


def _edges(index: int) -> NDArray[np.int32]:
    masses = np.rint(logistic_masses(index)).astype(np.int32)
    least = MASS_MIN * (np.arange(len(masses), dtype=np.int32) >> SCALE_FINENESS[index])
    edges: NDArray[np.int32] = masses + least + MASS_MIN
    return edges


@cache
def scale_thresholds() -> Wide:
    """Where the scale indices 1 to 127 begin, in 2^-14 steps: 2^(9 + (i - 1/2) / 6), rounded up, by integers
    alone.
    """
    found = []
    for index in range(1, WIDE_SCALES):
        power = 2 * SCALE_STEPS_PER_OCTAVE
        bound = 1 << (power * (SCALE_UNIT_BITS + SCALE_MIN_LOG2) + 2 * index - 1)
        high = 1 << (-(-bound.bit_length() // power))
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if middle**power >= bound else (middle, high)
        found.append(high)
    return np.array(found, np.int64)


def scale_index(scale: Wide) -> Wide:
    """Index 0 to 127 of scales in 2^-14 steps."""
    return np.searchsorted(scale_thresholds(), scale, "right").astype(np.int64)


@dataclass(frozen=True)
class WideDistribution:
    """Distributions of n values low to high: `mean` (n,) in sixteenths, `scale` (n,) from 0 to 127."""

    mean: Wide
    scale: Wide
    low: int
    high: int

    def parts(self) -> Iterator[Part]:
        """By bits that are split off, fewest first."""
        bits = np.maximum((self.scale - (WIDEST - SCALE_STEPS_PER_OCTAVE)) // SCALE_STEPS_PER_OCTAVE, 0)
        for count in np.flatnonzero(np.bincount(bits)).tolist():
            places = np.flatnonzero(bits == count)
            low, high = self.low >> count, self.high >> count
            middle = self.mean[places] - SHIFT_UNIT // 2 * ((1 << count) - 1)
            mean = np.clip(middle >> count, SHIFT_UNIT * low, SHIFT_UNIT * high)
            mode = (mean + SHIFT_UNIT // 2) // SHIFT_UNIT
            scale = (self.scale[places] - SCALE_STEPS_PER_OCTAVE * count).astype(np.int32)
            around = Distribution((mean - SHIFT_UNIT * mode).astype(np.int32), scale, -REACH, REACH)
            yield Part(count, places, mode, around, low, high)


@dataclass(frozen=True)
class Part:
    """The values at `places` (m,), from which `bits` bits are split off.

    What is left lies from low to high. Coded is how far it is from `mode` (m,), by the distributions
    `around`; where that is REACH or more, its place beyond follows.
    """

    bits: int
    places: Wide
    mode: Wide
    around: Distribution
    low: int
    high: int

    def distances(self, x: Wide) -> Ints:
        """How far x (m,) are from their modes, at most REACH."""
        distances: Ints = np.clip((x >> self.bits) - self.mode, -REACH, REACH).astype(np.int32)
        return distances

    def beyond(self, distances: Ints) -> tuple[Wide, Wide, Wide]:
        """The indices of those that are REACH or more away; the nearest that they may be, and how many there
        are from there on.
        """
        found = np.flatnonzero(np.abs(distances) == REACH)
        nearest = self.mode[found] + distances[found]
        counts = np.where(distances[found] < 0, nearest - self.low, self.high - nearest) + 1
        return found, nearest, counts


def push_wide(recorder: Recorder, d: WideDistribution, x: Wide, before: int) -> None:
    """Code x (n,) under d; `before` symbols of the region are pushed earlier."""
    before += len(x)
    for part in d.parts():
        before -= len(part.places)
        values = x[part.places]
        distances = part.distances(values)
        push_symbols(recorder, logistic_table(), part.around, distances, before)
        found, nearest, counts = part.beyond(distances)
        away = np.abs((values[found] >> part.bits) - nearest)
        recorder.push_each(away.astype(np.int32), counts.astype(np.int32))
        recorder.push((values & ((1 << part.bits) - 1)).astype(np.int32), 1 << part.bits)


def pop_wide(stack: Stack, d: WideDistribution, before: int, growth: int) -> Wide:
    """Mirror image of `push_wide`.

    Raises
    ------
    DamagedFileError
        A value is none of the legal ones.
    """
    x = np.empty(len(d.mean), np.int64)
    before += len(x)
    for part in d.parts():
        before -= len(part.places)
        distances = pop_symbols(stack, logistic_table(), part.around, before, growth)
        found, nearest, counts = part.beyond(distances)
        if len(counts) and counts.min() < 1:
            raise _illegal()
        values = part.mode + distances
        values[found] = nearest + np.sign(distances[found]) * stack.pop_each(counts.astype(np.int32))
        x[part.places] = (values << part.bits) + stack.pop(len(values), 1 << part.bits)
    if x.min() < d.low or x.max() > d.high:
        raise _illegal()
    return x


def _illegal() -> DamagedFileError:
    return DamagedFileError("a decoded sample is out of range; get a good copy of the file")


def costs(d: WideDistribution, x: Wide) -> Wide:
    """About what each of x (n,) costs under d in 1/256 bit."""
    table = logistic_table()
    found = np.empty(len(x), np.int64)
    for part in d.parts():
        distances = part.distances(x[part.places])
        cells, cell, _, masses = table.intervals(part.around, distances)
        tail = np.where((cell < cells.first) | (cell > cells.last), _TAIL_COST, 0)
        far = np.where(np.abs(distances) == REACH, _FAR_COST, 0)
        found[part.places] = table.costs[masses] + part.bits * COST_UNIT + tail + far
    return found
