"""Integer arithmetic that floats can hold: accumulator bounds, and costs in whole parts of a bit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Every integer up to this magnitude is a float32, so sums that stay below it are exact in any order.
FLOAT32_EXACT = 1 << 24
#: Largest magnitude of a weight.
WEIGHT_MAX = 127

COST_UNIT = 256


def accumulator_bounds(
    weights: Sequence[NDArray[Any]], bias: NDArray[Any], input_magnitude: int
) -> NDArray[np.int64]:
    """Largest magnitude that any partial sum of a layer can reach, per output channel.

    `weights` are (out, in, k, k), one per input; inputs lie in [-input_magnitude, input_magnitude].
    """
    total = np.abs(bias.astype(np.int64))
    for weight in weights:
        total = total + np.abs(weight.astype(np.int64)).sum((1, 2, 3)) * input_magnitude
    return total


def cost_table(total_bits: int) -> NDArray[np.int64]:
    """Cost of each mass 0 ... 2^total_bits in 1/256 bit: round(256 * (total_bits - log2(mass))).

    The logarithm is the platform's, and the result is still the same everywhere: no entry lies within 1e-7 of
    a rounding boundary (tested), thousands of times further than the logarithms differ. Mass 0 costs as much
    as half a mass of 1.
    """
    masses: NDArray[Any] = np.arange((1 << total_bits) + 1, dtype=np.float64)
    masses[0] = 0.5
    costs: NDArray[np.int64] = np.rint(COST_UNIT * (total_bits - np.log2(masses))).astype(np.int64)
    return costs
