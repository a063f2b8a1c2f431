"""How the encoder finds a fit: weighted least squares on what the network left over, then corrections.

The sums are sums of integers below 2^53, exact in float64 in any order, and the elimination uses single
correctly rounded operations only, so that every machine finds the same coefficients.
"""

from dataclasses import dataclass, replace

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
STRIPES = 3
#: Half bits that a bit of coefficients has to save; a refinement finds much of it without them.
WORTH, REFINED_WORTH = 2, 5


@dataclass(frozen=True)
class LinearPart:
    """int32 coefficients (n,), the means (h, w) that they make, and the bits of both in 1/256 bit, counted on
    a sample, as if nothing were refined or corrected.
    """

    coefficients: Ints
    mean: Tensor
    cost: int


def find_linear_part(
    prediction: Prediction, regressors: Regressors, x: Ints, table: BaseTable, linear_parts: int = 1
) -> LinearPart:
    """The linear part that makes the known values x (n,) cheapest.

    Tried are none and so many, each the least squares that are weighted by what the one before left over.
    """
    stride = -(-len(x) // SAMPLED_PIXELS)
    rows = regressors.sample(stride).cpu().double()
    scale = flat_ints(prediction.scale)
    without = plain_mean(prediction)
    error = left_over = (x * SHIFT_UNIT - flat_ints(without))[::stride].astype(np.int64)
    nothing = np.zeros(len(regressors), np.int32)
    worth = WORTH if prediction.refinement is None else REFINED_WORTH
    candidates = [LinearPart(nothing, without, _cost(prediction, without, x, table))]
    for _ in range(linear_parts):
        weights = _weights(error, scale[::stride])
        coefficients = _least_squares(rows, left_over << PRODUCT_BITS, weights)
        mean = moved_mean(prediction, regressors, coefficients)
        spent = int(coefficient_costs(coefficients, table).min())
        cost = _cost(prediction, mean, x, table) + worth * spent // 2
        candidates.append(LinearPart(coefficients, mean, cost))
        error = (x * SHIFT_UNIT - flat_ints(mean))[::stride].astype(np.int64)
    return min(candidates, key=lambda candidate: candidate.cost)


def find_corrections(d: Distribution, x: Ints, table: BaseTable) -> Ints:
    """The correction of each bucket that makes values x (n,) under d cheapest, counted on a sample."""
    stride = -(-len(x) // COSTED_PIXELS)
    d, x = d[::stride], x[::stride]
    bucket = d.scale // BUCKET
    costs = np.zeros((len(TRIED_CORRECTIONS), BUCKETS), np.int64)
    for i, correction in enumerate(TRIED_CORRECTIONS):
        tried = replace(d, scale=np.clip(d.scale + correction, 0, SCALES - 1).astype(np.int32))
        costs[i] = np.bincount(bucket, table.costs[table.masses(tried, x)], BUCKETS)
    zero = TRIED_CORRECTIONS.index(0)
    best = costs.argmin(0)
    best[costs[zero] <= costs.min(0)] = zero
    corrections: Ints = (best + TRIED_CORRECTIONS.start).astype(np.int32)
    return corrections


def _cost(prediction: Prediction, mean: Tensor, x: Ints, table: BaseTable) -> int:
    """What values x (n,) cost under a mean (h, w), counted on a sample."""
    stride = -(-len(x) // COSTED_PIXELS)
    d = Distribution(flat_ints(mean), flat_ints(prediction.scale), *prediction.legal)[::stride]
    return stride * int(table.costs[table.masses(d, x[::stride])].sum())


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
    # Products in torch, whose threads have just run the network: NumPy's would fight them for the cores.
    weighted = rows * torch.from_numpy(weights)
    gram = _gram(weighted, rows)
    right = (weighted @ torch.from_numpy(target.astype(np.float64))).numpy()
    diagonal = np.arange(len(rows))
    gram[diagonal, diagonal] += np.floor(gram[diagonal, diagonal] / 512) + len(target)
    coefficients = np.clip(np.rint(_solve(gram, right)), COEFFICIENT_MIN, COEFFICIENT_MAX).astype(np.int32)
    if np.abs(coefficients).sum() > MAX_COEFFICIENT_SUM:
        return np.zeros_like(coefficients)
    return coefficients


def _gram(weighted: Tensor, rows: Tensor) -> NDArray[np.float64]:
    """The symmetric weighted @ rows.T (n, n) of rows (n, samples), in stripes that leave out much of what
    lies below the diagonal.
    """
    count = len(rows)
    gram = np.empty((count, count))
    for stripe in np.array_split(np.arange(count), STRIPES):
        if len(stripe):
            first, behind = int(stripe[0]), int(stripe[-1]) + 1
            products = (weighted[first:behind] @ rows[first:].T).numpy()
            gram[first:behind, first:] = products
            gram[first:, first:behind] = products.T
    return gram


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
