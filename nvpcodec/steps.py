"""Symbols as exchanges with the stack: where distributions meet bits.

A symbol x of a factored-out phase owns the integers [c(x), c(x) + f(x)) of [0, 2^16). Coding it is one
exchange: r, popped from [0, f(x)), dequantizes it; c(x) + r is pushed. The cost is 16 - log2 f(x), the
discretized -log2 p(x).

The edges c are read off the base table of the symbol's scale, shifted to its mean. The table covers a window
around the mean; one symbol on each side stands for everything beyond, and the value then follows as a uniform
integer. Runs of nearly certain symbols are coded by one flag for sixty-four.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nvpcodec.fixedpoint import COST_UNIT, cost_table
from nvpcodec.stack import Ints, Stack, growing_chunks
from nvpcodec.tables import MASS_BITS, MASS_TOTAL, SCALE_FINENESS, SCALE_RADIUS, SHIFT_UNIT, base_lengths

GUESS_BITS = 8
TOLERATED_WASTE = 48 * COST_UNIT
GROWTHS = (255, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)

#: Symbols of at most this scale index whose mode has at least this mass are nearly certain.
CERTAIN_SCALE = 14
CERTAIN_MASS = MASS_TOTAL - MASS_TOTAL // 32
GROUP = 64
#: Probability that a group of nearly certain symbols is not all modes, in 2^-16: quarter octaves.
MISS_MASSES = tuple(max(2, round(2 ** (16 - (k + 1) / 4))) for k in range(60))


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


class Tape(Protocol):
    """What coding one array needs of the stack; encoding records in decode order and pushes later, in
    reverse.
    """

    def push(self, values: Ints, total: int) -> None: ...
    def push_each(self, values: Ints, totals: Ints) -> None: ...
    def exchange(self, starts: Ints, masses: Ints, before: int) -> None: ...


class Recorder:
    """Records pushes in decode order; `play` carries them out, last recorded first."""

    def __init__(self, costs: NDArray[np.int64]) -> None:
        self._costs = costs
        self._records: list[tuple[Any, ...]] = []

    def push(self, values: Ints, total: int) -> None:
        self._records.append((values, total, None))

    def push_each(self, values: Ints, totals: Ints) -> None:
        self._records.append((values, totals, None))

    def exchange(self, starts: Ints, masses: Ints, before: int) -> None:
        """`before` symbols of the region are pushed earlier than these."""
        self._records.append((starts, masses, before))

    def play(self, stack: Stack, growth: int) -> None:
        for values, totals, before in reversed(self._records):
            if before is not None:
                chunks = growing_chunks(before, len(values), growth)
                stack.exchange(values, totals, MASS_TOTAL, iter(chunks))
            elif isinstance(totals, int):
                stack.push(values, totals)
            else:
                stack.push_each(values, totals)

    def best_growth(self) -> int:
        """The largest growth that wastes next to nothing, or else the one that wastes least.

        Counted in integers, so that every machine chooses the same.
        """
        exchanges = [
            (before, self._costs[totals])
            for _, totals, before in reversed(self._records)
            if before is not None
        ]
        sums = [(before, np.concatenate([[0], np.cumsum(cost)])) for before, cost in exchanges]
        wastes: dict[int, int] = {}
        for growth in GROWTHS:
            wastes[growth] = _waste(sums, growth)
            if wastes[growth] <= TOLERATED_WASTE:
                return growth
        return min(GROWTHS, key=lambda growth: wastes[growth])


def _waste(sums: list[tuple[int, NDArray[np.int64]]], growth: int) -> int:
    """Bits popped from an empty stack, in 1/256 bit."""
    level, waste = 0, 0
    for before, cost in sums:
        for chunk in growing_chunks(before, len(cost) - 1, growth):
            gained = int(cost[chunk.stop] - cost[chunk.start])
            popped = MASS_BITS * COST_UNIT * (chunk.stop - chunk.start) - gained
            waste += max(0, popped - level)
            level = max(level, popped) + gained
    return waste


def push_symbols(tape: Tape, table: BaseTable, d: Distribution, x: Ints, before: int) -> None:
    """Code x (n,) under d; `before` symbols of the region are pushed earlier."""
    rest, groups = _certain_groups(table, d)
    if len(groups):
        missed = (x[groups] != d.mode[groups]).any(1)
        miss = _nearest_miss(int(missed.sum()), len(groups))
        tape.push(np.array([miss], np.int32), len(MISS_MASSES))
        mass = MISS_MASSES[miss]
        tape.exchange(
            np.where(missed, 0, mass).astype(np.int32),
            np.where(missed, mass, MASS_TOTAL - mass).astype(np.int32),
            before,
        )
        rest = np.sort(np.concatenate([rest, groups[missed].ravel()]))
    chosen = d[rest]
    cells, cell, start, mass_of = table.intervals(chosen, x[rest])
    tape.exchange(start, mass_of, before)
    tails, values, totals = _tails(cells, cell, x[rest])
    tape.push_each(values[tails], totals[tails])


def pop_symbols(stack: Stack, table: BaseTable, d: Distribution, before: int, growth: int) -> Ints:
    """Mirror image of `push_symbols`."""
    x = d.mode.copy()
    rest, groups = _certain_groups(table, d)
    if len(groups):
        mass = MISS_MASSES[int(stack.pop(1, len(MISS_MASSES))[0])]
        missed = _pop_flags(stack, len(groups), mass, before, growth)
        rest = np.sort(np.concatenate([rest, groups[missed].ravel()]))
    chosen = d[rest]
    cells = table.cells(chosen)
    cell = np.empty(len(rest), np.int32)
    for chunk in reversed(growing_chunks(before, len(rest), growth)):
        target = stack.pop(chunk.stop - chunk.start, MASS_TOTAL)
        cell[chunk], start, mass_of = table.find(chosen[chunk], cells[chunk], target)
        stack.push_each(target - start, mass_of)
    tails, values, totals = _tails(cells, cell, cell)
    values[tails] = stack.pop_each(totals[tails])
    below, above = cell < cells.first, cell > cells.last
    cell[below] = cells.low + values[below]
    cell[above] = cells.last[above] + 1 + values[above]
    x[rest] = cell
    return x


def _pop_flags(stack: Stack, count: int, mass: int, before: int, growth: int) -> NDArray[np.bool_]:
    missed = np.empty(count, np.bool_)
    for chunk in reversed(growing_chunks(before, count, growth)):
        target = stack.pop(chunk.stop - chunk.start, MASS_TOTAL)
        missed[chunk] = target < mass
        stack.push_each(
            np.where(missed[chunk], target, target - mass).astype(np.int32),
            np.where(missed[chunk], mass, MASS_TOTAL - mass).astype(np.int32),
        )
    return missed


def _tails(cells: Cells, cell: Ints, x: Ints) -> tuple[Ints, Ints, Ints]:
    """Indices of the symbols in tails; for all symbols, place in their tail and size of it."""
    below, above = cell < cells.first, cell > cells.last
    tails = np.flatnonzero(below | above)
    values = np.where(below, x - cells.low, x - cells.last - 1).astype(np.int32)
    totals = np.where(below, cells.first - cells.low, cells.high - cells.last).astype(np.int32)
    return tails.astype(np.int32), values, totals


def _certain_groups(table: BaseTable, d: Distribution) -> tuple[Ints, Ints]:
    """Indices of the symbols that are coded one by one, and (groups, 64) of those that share a flag."""
    narrow = np.flatnonzero(d.scale <= CERTAIN_SCALE)
    narrow = narrow[table.masses(d[narrow], d.mode[narrow]) >= CERTAIN_MASS]
    grouped = narrow[: len(narrow) // GROUP * GROUP]
    single = np.ones(len(d.mean), np.bool_)
    single[grouped] = False
    return np.flatnonzero(single).astype(np.int32), grouped.reshape(-1, GROUP).astype(np.int32)


def _nearest_miss(missed: int, groups: int) -> int:
    """Index of the smallest mass that is no less than the share of missed groups."""
    share = missed * MASS_TOTAL // groups
    return max(k for k, mass in enumerate(MISS_MASSES) if mass >= min(share, MISS_MASSES[0]))
