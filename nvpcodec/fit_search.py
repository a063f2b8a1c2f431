"""How the encoder finds a fit: weighted least squares on what the network left over, then corrections.

The sums are sums of integers below 2^53, exact in float64 in any order, and the elimination uses single
correctly rounded operations only, so that every machine finds the same coefficients.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.fit import (
    BUCKET,
    BUCKETS,
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    MAX_COEFFICIENT_SUM,
    PRODUCT_BITS,
    Fit,
    coefficient_costs,
    flat_ints,
    moved_mean,
    plain_mean,
)
from nvpcodec.phase_flow import Prediction
from nvpcodec.regressors import Regressors
from nvpcodec.stack import Ints
from nvpcodec.tables import SCALES, SHIFT_UNIT

TRIED_CORRECTIONS = range(-3, 4)
SAMPLED_PIXELS = 1 << 15
COSTED_PIXELS = 1 << 13
MAX_WEIGHT = 255


@dataclass(frozen=True)
class Candidate:
    """A fit, the distributions that it makes, and the bits of both in 1/256 bit, counted on a sample."""

    fit: Fit
    distribution: Distribution
    cost: int


def find_fit(
    prediction: Prediction, regressors: Regressors, x: Ints, table: BaseTable, linear_parts: int = 1
) -> tuple[Fit, Distribution]:
    """The fit that makes the known values x (n,) cheapest, and the distributions it makes.

    Tried are none and so many linear parts, each the least squares that are weighted by what the one before
    left over.
    """
    stride = -(-len(x) // SAMPLED_PIXELS)
    rows = regressors.sample(stride).cpu().double()
    without = plain_mean(prediction)
    left_over = (x * SHIFT_UNIT - without)[::stride].astype(np.int64)
    nothing = np.zeros(len(regressors), np.int32)
    candidates = [_candidate(prediction, nothing, without, x, table)]
    error, scale = left_over, flat_ints(prediction.scale)
    for _ in range(linear_parts):
        weights = _weights(error, scale[::stride])
        coefficients = _least_squares(rows, left_over << PRODUCT_BITS, weights)
        mean = moved_mean(prediction, regressors, coefficients)
        candidates.append(_candidate(prediction, coefficients, mean, x, table))
        error = (x * SHIFT_UNIT - mean)[::stride].astype(np.int64)
        scale = candidates[-1].distribution.scale
    best = min(candidates, key=lambda candidate: candidate.cost)
    return best.fit, best.distribution


def _candidate(
    prediction: Prediction, coefficients: Ints, mean: Ints, x: Ints, table: BaseTable
) -> Candidate:
    corrections, cost = _corrections(prediction, mean, x, table)
    fit = Fit(coefficients, corrections)
    cost += int(coefficient_costs(coefficients, table).min())
    return Candidate(fit, fit.corrected(prediction, mean), cost)


def _corrections(prediction: Prediction, mean: Ints, x: Ints, table: BaseTable) -> tuple[Ints, int]:
    """The correction of each bucket that makes the samples cheapest, and what all values then cost."""
    stride = -(-len(x) // COSTED_PIXELS)
    scale, mean, x = flat_ints(prediction.scale)[::stride], mean[::stride], x[::stride]
    bucket = scale // BUCKET
    costs = np.zeros((len(TRIED_CORRECTIONS), BUCKETS), np.int64)
    for i, correction in enumerate(TRIED_CORRECTIONS):
        d = Distribution(mean, np.clip(scale + correction, 0, SCALES - 1).astype(np.int32), *prediction.legal)
        costs[i] = np.bincount(bucket, table.costs[table.masses(d, x)], BUCKETS)
    zero = TRIED_CORRECTIONS.index(0)
    best = costs.argmin(0)
    best[costs[zero] <= costs.min(0)] = zero
    corrections: Ints = (best + TRIED_CORRECTIONS.start).astype(np.int32)
    return corrections, stride * int(costs.min(0).sum())


def _weights(left_over: NDArray[np.int64], scale: Ints) -> NDArray[np.int64]:
    """Integers 1 ... 255 near 1 / (s (2 s + |e|)): the weight of an error e in a logistic's likelihood."""
    wide = _SIXTEENTHS[scale]
    middle = int(np.partition(wide, len(wide) // 2)[len(wide) // 2])
    weights: NDArray[np.int64] = 64 * 2 * middle**2 // (wide * (2 * wide + np.abs(left_over)))
    return np.clip(weights, 1, MAX_WEIGHT)


#: The scale of each index in sixteenths of a pixel step, rounded up.
_SIXTEENTHS = np.array([-(-int(2 ** (i / 6 + 9)) // 1024) for i in range(SCALES)], np.int64)


def _least_squares(rows: Tensor, target: NDArray[np.int64], weights: NDArray[np.int64]) -> Ints:
    """Coefficients (n,) that minimise the weighted squares of target - c @ rows, a little damped, rounded.

    With |rows| <= 2040, weights <= 255 and at most 2^15 samples every sum is an integer below 2^53.
    """
    # In torch, whose threads have just run the network: NumPy's own would fight them for the cores.
    weighted = rows * torch.from_numpy(weights)
    gram = (weighted @ rows.T).numpy()
    right = (weighted @ torch.from_numpy(target.astype(np.float64))).numpy()
    diagonal = np.arange(len(rows))
    gram[diagonal, diagonal] += np.floor(gram[diagonal, diagonal] / 512) + len(target)
    coefficients = np.clip(np.rint(_solve(gram, right)), COEFFICIENT_MIN, COEFFICIENT_MAX).astype(np.int32)
    if np.abs(coefficients).sum() > MAX_COEFFICIENT_SUM:
        return np.zeros_like(coefficients)
    return coefficients


def _solve(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian elimination of a positive definite system, elementwise operations only."""
    a = np.concatenate([matrix, right[:, None]], 1)
    count = len(right)
    for k in range(count):
        factors = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k:] -= factors[:, None] * a[k, k:]
    solution = np.zeros(count)
    for k in reversed(range(count)):
        solution[k] = a[k, count] / a[k, k]
        a[:k, count] -= a[:k, k] * solution[k]
    return solution
