"""Base tables: cumulative functions of a distribution of unit scale, as the integers that code."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nvpcodec.tables import (
    MASS_MIN,
    MASS_TOTAL,
    SCALE_FINENESS,
    SCALE_MIN_LOG2,
    SCALE_RADIUS,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
)

#: Scale index and edges in units of its scale -> cumulative function at the edges.
Cumulative = Callable[[int, NDArray[np.float64]], NDArray[np.float64]]

#: The coder's probabilities have 24 bits.
PROBABILITY_TOTAL = 1 << 24
#: Masses in this range are moved to the nearest one that the coder's probabilities can be shared out to
#: evenly.
EVENED_FROM, EVENED_TO = 1 << 12, 60000


def base_table(cumulative: Cumulative) -> NDArray[np.int32]:
    """The tables of all scale indices, one after another; every cell and every tail has at least
    `MASS_MIN`.
    """
    tables = []
    for index in range(SCALES):
        radius, step = SCALE_RADIUS[index], 1 << SCALE_FINENESS[index]
        entries = np.arange(2 * radius * step + 1)
        scale = 2 ** (index / SCALE_STEPS_PER_OCTAVE + SCALE_MIN_LOG2)
        share = cumulative(index, (entries / step - radius) / scale)
        free = MASS_TOTAL - MASS_MIN * (2 * radius + 2)
        tables.append(
            _evened(np.floor(share * free).astype(np.int64) + MASS_MIN * (entries // step + 1), step)
        )
    return np.concatenate(tables).astype(np.int32)


def logistic(_index: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(edges, -60, 60)))


def _evened(table: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """The table with large masses evened, from the middle outward.

    Popping from [0, f) gives each value floor(2^24 / f) of the coder's 2^24 and the last value the rest.
    Where that rest is large, at f of some thousands and up, up to 0.005 bits a symbol are lost; a mass a few
    parts in a thousand away loses next to nothing. The narrowest tables have no room for it.
    """
    evened = table.copy()
    middle = len(table) // 2
    for lower in range(middle - step + 1, len(table) - step):
        evened[lower + step] = evened[lower] + _even_mass(evened[lower + step] - evened[lower])
    for lower in range(middle - step, -1, -1):
        evened[lower] = evened[lower + step] - _even_mass(evened[lower + step] - evened[lower])
    still_increases = np.diff(evened).min() >= 0 and (evened[step:] - evened[:-step]).min() >= MASS_MIN
    return evened if still_increases else table


def _even_mass(mass: int) -> int:
    if not EVENED_FROM <= mass <= EVENED_TO:
        return mass
    return PROBABILITY_TOTAL // round(PROBABILITY_TOTAL / mass)
