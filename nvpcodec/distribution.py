"""Where symbols lie in [0, 2^16): distributions, and the base table that their edges are read off.

A symbol x owns the integers [c(x), c(x) + f(x)). The edges c come from the base table of the symbol's scale,
shifted to its mean. The table covers a window around the mean; one cell on each side, a tail, stands for
everything beyond.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nvpcodec.fixedpoint import cost_table
from nvpcodec.stack import Ints
from nvpcodec.tables import MASS_BITS, MASS_TOTAL, SCALE_FINENESS, SCALE_RADIUS, SHIFT_UNIT, base_lengths

GUESS_BITS = 8


@dataclass(frozen=True)
class Distribution:
    """Distributions of n symbols: int32 `mean` (n,) in sixteenths, `scale` (n,) indices, legal values low ...
    high.
    """

    mean: Ints
    scale: Ints
    low: int
    high: int

    def __getitem__(self, chosen: Any) -> "Distribution":
        return Distribution(self.mean[chosen], self.scale[chosen], self.low, self.high)

    @property
    def mode(self) -> Ints:
        nearest: Ints = (self.mean + SHIFT_UNIT // 2) // SHIFT_UNIT
        return np.clip(nearest, self.low, self.high)


@dataclass(frozen=True)
class Cells:
    """Where the cells of n symbols lie in the base table.

    The lower edge of value x is entry `zero + (x << fineness)`. Cells `first` ... `last` are values, the ones
    beside them are tails.
    """

    zero: Ints
    fineness: Ints
    first: Ints
    last: Ints
    low: int
    high: int

    def __getitem__(self, chosen: Any) -> "Cells":
        return Cells(
            self.zero[chosen],
            self.fineness[chosen],
            self.first[chosen],
            self.last[chosen],
            self.low,
            self.high,
        )


class BaseTable:
    """The base distribution: for each scale index its cumulative function at the edges of a grid, as
    integers.
    """

    def __init__(self, base: NDArray[np.int32]) -> None:
        self._edges = base
        lengths = np.array(base_lengths())
        self._starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
        self._lengths = lengths.astype(np.int32)
        self._fineness = np.array(SCALE_FINENESS, np.int32)
        self._radius = np.array(SCALE_RADIUS, np.int32)
        bins = np.arange(1 << GUESS_BITS) << (MASS_BITS - GUESS_BITS)
        tables = np.split(base, self._starts[1:])
        self._guesses = np.concatenate(
            [np.searchsorted(t, bins, "right") - 1 + s for t, s in zip(tables, self._starts, strict=True)]
        ).astype(np.int32)

    @cached_property
    def costs(self) -> NDArray[np.int64]:
        """Cost of a mass in 1/256 bit."""
        return cost_table(MASS_BITS)

    def cells(self, d: Distribution) -> Cells:
        fineness, start = self._fineness[d.scale], self._starts[d.scale]
        edge = SHIFT_UNIT * self._radius[d.scale] - SHIFT_UNIT // 2 - d.mean
        offset = edge >> (4 - fineness)
        first = -(offset >> fineness)
        last = ((self._lengths[d.scale] - 1 - offset) >> fineness) - 1
        np.maximum(first, d.low, out=first)
        np.minimum(last, d.high, out=last)
        return Cells(start + offset, fineness, first, last, d.low, d.high)

    def lower(self, cells: Cells, cell: Ints) -> Ints:
        """First integer that a cell owns."""
        inside = (cell >= cells.first) & (cell > cells.low)
        entry = np.clip(cell, cells.first, cells.last + 1) << cells.fineness
        return np.where(inside, self._edges[np.where(inside, cells.zero + entry, 0)], 0)

    def upper(self, cells: Cells, cell: Ints) -> Ints:
        """One beyond the last integer that a cell owns."""
        inside = (cell <= cells.last) & (cell < cells.high)
        entry = np.clip(cell + 1, cells.first, cells.last + 1) << cells.fineness
        return np.where(inside, self._edges[np.where(inside, cells.zero + entry, 0)], MASS_TOTAL)

    def intervals(self, d: Distribution, x: Ints) -> tuple[Cells, Ints, Ints, Ints]:
        """Cells, the cell of each x, c(x) and f(x)."""
        cells = self.cells(d)
        cell = np.clip(x, cells.first - 1, cells.last + 1)
        start = self.lower(cells, cell)
        return cells, cell, start, self.upper(cells, cell) - start

    def masses(self, d: Distribution, x: Ints) -> Ints:
        return self.intervals(d, x)[3]

    def find(self, d: Distribution, cells: Cells, target: Ints) -> tuple[Ints, Ints, Ints]:
        """The cell that owns each target in [0, 2^16), with its c and f."""
        guess = self._guesses[(d.scale << GUESS_BITS) + (target >> (MASS_BITS - GUESS_BITS))]
        cell = (guess - cells.zero) >> cells.fineness
        np.clip(cell, np.maximum(cells.first - 1, d.low), np.minimum(cells.last + 1, d.high), out=cell)
        end = self.upper(cells, cell)
        behind = np.flatnonzero(end <= target)
        while len(behind):
            cell[behind] += 1
            end[behind] = self.upper(cells[behind], cell[behind])
            behind = behind[end[behind] <= target[behind]]
        start = self.lower(cells, cell)
        return cell, start, end - start
