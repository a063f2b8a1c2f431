"""Mean and scale of deep samples: two weighted sums, found by the encoder, carried in the file.

mean  = base + sum_j c_j r_j          c_j in 2^-10, r_j the regressors
scale = sum_j w_j a_j                 w_j = mantissa 2^exponent in 2^-14, a_j the magnitudes
index = that of the scale, corrected by octave and a third, no lower than a floor
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nvpcodec.deep_walk import Place
from nvpcodec.distribution import Distribution
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_symbols, push_symbols
from nvpcodec.tables import SCALES, SHIFT_UNIT
from nvpcodec.wide_symbols import WIDE_SCALES, Wide, WideDistribution, logistic_table, scale_index

#: Places with fewer pixels are not fitted: a fit would cost more than it saves.
FIT_PIXELS = 1024
COEFFICIENT_BITS = 10
COEFFICIENT_MIN, COEFFICIENT_MAX = -(4 << COEFFICIENT_BITS), (4 << COEFFICIENT_BITS) - 1
#: Regressors in quarter steps times coefficients, shifted right by this, are sixteenths.
PRODUCT_BITS = COEFFICIENT_BITS - 2
MANTISSA_MIN, MANTISSAS, EXPONENTS = -16, 32, 16
WEIGHT_BITS = 14
#: Magnitudes in sixteenths times weights, shifted right by this, are 2^-14 steps.
WEIGHT_PRODUCT_BITS = 4
BUCKET = 8
BUCKETS = WIDE_SCALES // BUCKET
CORRECTION_MIN, CORRECTIONS = -8, 16

#: Weights where there is no fit: of the constant, the brightness, and the three groups of differences.
_UNFITTED = ((1, 6), (0, 0), (1, 9), (1, 9), (1, 9))


@dataclass(frozen=True)
class DeepFit:
    """int32 `coefficients`, `mantissas` and `exponents` of weights, 16 `corrections`; the lowest index."""

    coefficients: Ints
    mantissas: Ints
    exponents: Ints
    corrections: Ints
    floor: int

    @property
    def weights(self) -> Wide:
        weights: Wide = self.mantissas.astype(np.int64) << self.exponents
        return weights

    def distribution(self, place: Place, low: int, high: int) -> WideDistribution:
        """The distributions (h * w) of a place's values, which lie from low to high."""
        moved = _weighted_sum(self.coefficients.astype(np.int64), place.regressors(), place.base4)
        raw = _weighted_sum(self.weights, place.magnitudes(), place.base4)
        mean = moved_means(4 * place.base4, moved, low, high)
        return WideDistribution(mean.reshape(-1), self.index_of(raw_index(raw)).reshape(-1), low, high)

    def index_of(self, index: Wide) -> Wide:
        """Scale indices, corrected."""
        moved = index + self.corrections[index // BUCKET]
        corrected: Wide = np.clip(moved, self.floor, WIDE_SCALES - 1)
        return corrected


def raw_index(raw: Wide) -> Wide:
    """Scale indices of weighted sums of magnitudes, uncorrected."""
    return scale_index(raw >> WEIGHT_PRODUCT_BITS)


def moved_means(base: Wide, moved: Wide, low: int, high: int) -> Wide:
    """Means in sixteenths from bases in sixteenths and weighted sums of regressors."""
    half = 1 << (PRODUCT_BITS - 1)
    return np.clip(base + ((moved + half) >> PRODUCT_BITS), SHIFT_UNIT * low, SHIFT_UNIT * high)


def unfitted(regressors: int, magnitudes: int) -> DeepFit:
    """What stands in for a fit, given the numbers of both."""
    weights = np.zeros((2, magnitudes), np.int32)
    weights[:, : len(_UNFITTED)] = np.array(_UNFITTED).T
    nothing, uncorrected = np.zeros(regressors, np.int32), np.zeros(BUCKETS, np.int32)
    return DeepFit(nothing, weights[0], weights[1], uncorrected, 0)


def push_fit(recorder: Recorder, fit: DeepFit, spread: int, before: int) -> None:
    """Coefficients as symbols around zero, whose scale index comes first; all else as uniform integers."""
    recorder.push(np.array([spread], np.int32), SCALES)
    around = _around_zero(len(fit.coefficients), spread)
    push_symbols(recorder, logistic_table(), around, fit.coefficients, before)
    recorder.push(fit.mantissas - MANTISSA_MIN, MANTISSAS)
    recorder.push(fit.exponents, EXPONENTS)
    recorder.push(fit.corrections - CORRECTION_MIN, CORRECTIONS)
    recorder.push(np.array([fit.floor], np.int32), WIDE_SCALES)


def pop_fit(stack: Stack, regressors: int, magnitudes: int, before: int, growth: int) -> DeepFit:
    """Mirror image of `push_fit`."""
    around = _around_zero(regressors, int(stack.pop(1, SCALES)[0]))
    return DeepFit(
        coefficients=pop_symbols(stack, logistic_table(), around, before, growth),
        mantissas=stack.pop(magnitudes, MANTISSAS) + MANTISSA_MIN,
        exponents=stack.pop(magnitudes, EXPONENTS),
        corrections=stack.pop(BUCKETS, CORRECTIONS) + CORRECTION_MIN,
        floor=int(stack.pop(1, WIDE_SCALES)[0]),
    )


def best_spread(coefficients: Ints) -> tuple[int, int]:
    """The scale index that makes coefficients (n,) cheapest, and what they cost in 1/256 bit."""
    table, count = logistic_table(), len(coefficients)
    each = Distribution(
        np.zeros(count * SCALES, np.int32),
        np.repeat(np.arange(SCALES, dtype=np.int32), count),
        COEFFICIENT_MIN,
        COEFFICIENT_MAX,
    )
    costs = table.costs[table.masses(each, np.tile(coefficients, SCALES))].reshape(SCALES, count).sum(1)
    return int(costs.argmin()), int(costs.min())


def _around_zero(count: int, scale: int) -> Distribution:
    scales = np.full(count, scale, np.int32)
    return Distribution(np.zeros(count, np.int32), scales, COEFFICIENT_MIN, COEFFICIENT_MAX)


def _weighted_sum(weights: Wide, windows: Iterator[Wide], like: Wide) -> Wide:
    """int64 (h, w). Coefficients are at most 2^12 and regressors 2^20, weights 2^19 and magnitudes 2^25."""
    total = np.zeros(like.shape, np.int64)
    for weight, window in zip(weights.tolist(), windows, strict=True):
        if weight:
            total += weight * window
    return total
