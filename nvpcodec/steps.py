"""Symbols as exchanges with the stack: where distributions meet bits.

Coding a symbol x, which owns [c(x), c(x) + f(x)), is one exchange: r, popped from [0, f(x)), dequantizes it;
c(x) + r is pushed. The cost is 16 - log2 f(x), the discretized -log2 p(x). A value in a tail follows as a
uniform integer. Runs of nearly certain symbols are coded by one flag for sixty-four.
"""

import numpy as np
from numpy.typing import NDArray

from nvpcodec.distribution import BaseTable, Cells, Distribution
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack, growing_chunks
from nvpcodec.tables import MASS_BITS, MASS_TOTAL, SCALES

#: Symbols of at most this scale index whose mode has at least this mass are nearly certain.
CERTAIN_SCALE = 14
CERTAIN_MASS = MASS_TOTAL - MASS_TOTAL // 32
GROUP = 64
#: Probability that a group of nearly certain symbols is not all modes, in 2^-16: quarter octaves.
MISS_MASSES = tuple(max(2, round(2 ** (16 - (k + 1) / 4))) for k in range(60))


def push_symbols(recorder: Recorder, table: BaseTable, d: Distribution, x: Ints, before: int) -> None:
    """Code x (n,) under d; `before` symbols of the region are pushed earlier."""
    rest, groups = _certain_groups(table, d)
    if len(groups):
        missed = (x[groups] != d.mode[groups]).any(1)
        miss = _nearest_miss(int(missed.sum()), len(groups))
        recorder.push(np.array([miss], np.int32), len(MISS_MASSES))
        mass = MISS_MASSES[miss]
        recorder.exchange(
            np.where(missed, 0, mass).astype(np.int32),
            np.where(missed, mass, MASS_TOTAL - mass).astype(np.int32),
            before,
        )
        rest = np.sort(np.concatenate([rest, groups[missed].ravel()]))
    chosen = d[rest]
    cells, cell, start, mass_of = table.intervals(chosen, x[rest])
    recorder.exchange(start, mass_of, before)
    tails, values, totals = _tails(cells, cell, x[rest])
    recorder.push_each(values[tails], totals[tails])


def push_around_zero(
    recorder: Recorder, table: BaseTable, values: Ints, legal: tuple[int, int], before: int
) -> None:
    """The scale index that makes values (n,) cheapest, then the values as symbols around zero."""
    spread = int(costs_around_zero(table, values, legal).argmin())
    recorder.push(np.array([spread], np.int32), SCALES)
    push_symbols(recorder, table, _around_zero(len(values), spread, legal), values, before)


def pop_around_zero(
    stack: Stack, table: BaseTable, count: int, legal: tuple[int, int], before: int, growth: int
) -> Ints:
    """Mirror image of `push_around_zero`."""
    spread = int(stack.pop(1, SCALES)[0])
    return pop_symbols(stack, table, _around_zero(count, spread, legal), before, growth)


def costs_around_zero(table: BaseTable, values: Ints, legal: tuple[int, int]) -> NDArray[np.int64]:
    """What values (n,) cost around zero with each scale index, (72,) in 1/256 bit."""
    count = len(values)
    each = _around_zero(count * SCALES, np.repeat(np.arange(SCALES, dtype=np.int32), count), legal)
    masses = table.masses(each, np.tile(values, SCALES))
    costs: NDArray[np.int64] = table.costs[masses].reshape(SCALES, count).sum(1)
    return costs


def _around_zero(count: int, scale: int | Ints, legal: tuple[int, int]) -> Distribution:
    scales = np.broadcast_to(np.asarray(scale, np.int32), count)
    return Distribution(np.zeros(count, np.int32), scales, *legal)


def symbol_bits(table: BaseTable, d: Distribution, x: Ints) -> NDArray[np.float64]:
    """What `push_symbols` spends on each of x (n,), in bits; symbols under one flag share what it costs."""
    bits = np.zeros(len(x))
    rest, groups = _certain_groups(table, d)
    if len(groups):
        missed = (x[groups] != d.mode[groups]).any(1)
        miss = _nearest_miss(int(missed.sum()), len(groups))
        masses = np.where(missed, MISS_MASSES[miss], MASS_TOTAL - MISS_MASSES[miss])
        flags = MASS_BITS - np.log2(masses) + np.log2(len(MISS_MASSES)) / len(groups)
        bits[groups] = flags[:, None] / GROUP
        rest = np.sort(np.concatenate([rest, groups[missed].ravel()]))
    cells, cell, _, mass_of = table.intervals(d[rest], x[rest])
    tails, _, totals = _tails(cells, cell, x[rest])
    bits[rest] += MASS_BITS - np.log2(mass_of)
    bits[rest[tails]] += np.log2(totals[tails])
    return bits


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
        stack.give_back_places(target - start, mass_of)
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
        stack.give_back_places(
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
