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


def base_table(cumulative: Cumulative) -> NDArray[np.int32]:
    """The tables of all scale indices, one after another; every cell and every tail has at least `MASS_MIN`."""
    tables = []
    for index in range(SCALES):
        radius, step = SCALE_RADIUS[index], 1 << SCALE_FINENESS[index]
        entries = np.arange(2 * radius * step + 1)
        scale = 2 ** (index / SCALE_STEPS_PER_OCTAVE + SCALE_MIN_LOG2)
        share = cumulative(index, (entries / step - radius) / scale)
        free = MASS_TOTAL - MASS_MIN * (2 * radius + 2)
        tables.append(np.floor(share * free).astype(np.int64) + MASS_MIN * (entries // step + 1))
    return np.concatenate(tables).astype(np.int32)


def logistic(_index: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(edges, -60, 60)))
