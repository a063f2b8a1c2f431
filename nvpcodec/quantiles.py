"""Values and the fractions of [0, 1) that they own: the cumulative function of a distribution, and back.

Fractions are uint32 and count in 2^-32. A value goes to the middle of what it owns, and is found again from
there if there are at most 2^16 legal values, as there are of all samples. Uniform fractions give values that
are distributed as they should be. All of it is integers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nvpcodec.distribution import BaseTable, Cells, Distribution
from nvpcodec.stack import Ints
from nvpcodec.tables import LEGAL, MASS_BITS

Fractions = NDArray[np.uint32]
#: The next so many random words, which are uniform fractions.
Words = Callable[[int], Fractions]
_Wide = NDArray[np.int64]

FRACTION_BITS = 32
#: Bits of a fraction below the bits of a mass: they tell the values in a tail apart.
_FINE_BITS = FRACTION_BITS - MASS_BITS


def to_fractions(table: BaseTable, d: Distribution, x: Ints) -> Fractions:
    """The middle of what each x (n,) owns; the values in a tail share it equally."""
    cells, cell, start, mass = table.intervals(d, x)
    first, count = _values_of(cells, cell)
    middle = (2 * (x - first) + 1) * _fine(mass) // (2 * count)
    return (_fine(start) + middle).astype(np.uint32)


def from_fractions(table: BaseTable, d: Distribution, fractions: Fractions) -> Ints:
    """Mirror image of `to_fractions`: the value that owns each of fractions (n,)."""
    cells = table.cells(d)
    cell, start, mass = table.find(d, cells, (fractions >> _FINE_BITS).astype(np.int32))
    first, count = _values_of(cells, cell)
    place = (fractions.astype(np.int64) - _fine(start)) * count // _fine(mass)
    return (first + place).astype(np.int32)


def uniform_to_fractions(planes: Ints) -> Fractions:
    """The same for planes (P, h, w) whose legal values are all as likely."""
    low, count = _legal(len(planes))
    fractions: Fractions = (((2 * (planes - low) + 1) << FRACTION_BITS) // (2 * count)).astype(np.uint32)
    return fractions


def uniform_from_fractions(fractions: Fractions) -> Ints:
    """Mirror image of `uniform_to_fractions`."""
    low, count = _legal(len(fractions))
    values: Ints = (low + (fractions.astype(np.int64) * count >> FRACTION_BITS)).astype(np.int32)
    return values


def _legal(planes: int) -> tuple[Any, Any]:
    """Lowest value and number of values of each plane, (P, 1, 1)."""
    low, high = np.array(LEGAL[:planes], np.int64).T[:, :, None, None]
    return low, high - low + 1


def _values_of(cells: Cells, cell: Ints) -> tuple[_Wide, _Wide]:
    """First value of each cell (n,) and how many it has: one, unless it is a tail."""
    below, above = cell < cells.first, cell > cells.last
    first = np.where(below, cells.low, np.where(above, cells.last + 1, cell))
    count = np.where(below, cells.first - cells.low, np.where(above, cells.high - cells.last, 1))
    return first.astype(np.int64), count.astype(np.int64)


def _fine(masses: Ints) -> _Wide:
    """Masses as int64, in units of fractions."""
    return masses.astype(np.int64) << _FINE_BITS
