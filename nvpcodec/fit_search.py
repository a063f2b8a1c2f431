"""How the encoder finds a fit: weighted least squares on what the network left over, then corrections.

A refinement does much of what a linear part would. `find_linear_part` looks before the refinement, once;
`find_refined_linear_part` has the prediction refined with every linear part that it tries, which takes a
refinement's time for each and saves more.

The sums are sums of integers below 2^53, exact in float64 in any order, and the elimination uses single
correctly rounded operations only, so that every machine finds the same coefficients.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.elimination import solve
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
#: Samples that a least squares sees. Half of them cost 0.02 % of a file and save 7 % of the time.
SAMPLED_PIXELS, REFINED_SAMPLED_PIXELS = 1 << 14, 1 << 15
COSTED_PIXELS = 1 << 13
MAX_WEIGHT = 255
STRIPES = 3
#: Half bits that a bit of coefficients has to save; a refinement finds much of it without them.
WORTH, REFINED_WORTH = 2, 5


@dataclass(frozen=True)
class LinearPart:
    """int32 coefficients (n,) and the means (h, w) that they make."""

    coefficients: Ints
    mean: Tensor


#: From a legal mean (h, w) of a prediction to the distributions (n,) that its pixels are coded under, in
#: raster order.
Refine = Callable[[Tensor], Distribution]


def no_linear_part(prediction: Prediction, regressors: Regressors) -> LinearPart:
    """The mean as the network says it."""
    return LinearPart(np.zeros(len(regressors), np.int32), plain_mean(prediction))


def find_linear_part(prediction: Prediction, regressors: Regressors, x: Ints, table: BaseTable) -> LinearPart:
    """None, or the weighted least squares: what makes the known values x (n,) cheaper before refinement."""
    stride = -(-len(x) // SAMPLED_PIXELS)
    rows = regressors.sample(stride).cpu().double()
    nothing = no_linear_part(prediction, regressors)
    errors = _errors(flat_ints(nothing.mean), x)[::stride]
    coefficients = _least_squares(rows, errors, flat_ints(prediction.scale)[::stride])
    mean = moved_mean(prediction, regressors, coefficients)
    worth = WORTH if prediction.refinement is None else REFINED_WORTH
    spent = worth * int(coefficient_costs(coefficients, table).min()) // 2
    saved = _cost(prediction, nothing.mean, x, table) - _cost(prediction, mean, x, table)
    return LinearPart(coefficients, mean) if saved > spent else nothing


def find_refined_linear_part(
    prediction: Prediction,
    regressors: Regressors,
    x: Ints,
    table: BaseTable,
    rounds: int,
    refine: Refine,
) -> LinearPart:
    """The linear part that makes the known values x (n,) cheapest after refinement and corrections.

    Tried are none and so many more, each moved by the least squares of what the one before left over.
    """
    stride = -(-len(x) // REFINED_SAMPLED_PIXELS)
    rows = regressors.sample(stride).cpu().double()

    def refined(part: LinearPart) -> tuple[int, Distribution]:
        """What the values and the coefficients cost, in 1/256 bit, and the distributions of the values."""
        d = refine(part.mean)
        d = Fit(part.coefficients, find_corrections(d, x, table)).corrected(d)
        spent = int(coefficient_costs(part.coefficients, table).min())
        return int(table.costs[table.masses(d, x)].sum()) + spent, d

    best = part = no_linear_part(prediction, regressors)
    lowest, d = refined(part)
    for _ in range(rounds):
        step = _least_squares(rows, _errors(d.mean, x)[::stride], d.scale[::stride])
        coefficients = _legal(part.coefficients + step)
        part = LinearPart(coefficients, moved_mean(prediction, regressors, coefficients))
        cost, d = refined(part)
        if cost < lowest:
            best, lowest = part, cost
    return best


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
    """What values x (n,) cost under a mean (h, w), in 1/256 bit, counted on a sample."""
    stride = -(-len(x) // COSTED_PIXELS)
    d = Distribution(flat_ints(mean), flat_ints(prediction.scale), *prediction.legal)[::stride]
    return stride * int(table.costs[table.masses(d, x[::stride])].sum())


def _errors(mean: Ints, x: Ints) -> NDArray[np.int64]:
    """What means (n,) leave over of values x (n,), in sixteenths."""
    errors: NDArray[np.int64] = (x * SHIFT_UNIT - mean).astype(np.int64)
    return errors


def _weights(left_over: NDArray[np.int64], scale: Ints) -> NDArray[np.int64]:
    """Integers 1 ... 255 near 1 / (s (2 s + |e|)): the weight of an error e in a logistic's likelihood."""
    wide = _SIXTEENTHS[scale]
    middle = int(np.partition(wide, len(wide) // 2)[len(wide) // 2])
    weights: NDArray[np.int64] = 64 * 2 * middle**2 // (wide * (2 * wide + np.abs(left_over)))
    return np.clip(weights, 1, MAX_WEIGHT)


#: The scale of each index in sixteenths of a pixel step, rounded up.
_SIXTEENTHS = np.array([-(-int(2 ** (i / 6 + 9)) // 1024) for i in range(SCALES)], np.int64)


def _least_squares(rows: Tensor, errors: NDArray[np.int64], scale: Ints) -> Ints:
    """Coefficients (n,) of rows (n, samples) that make errors (samples,) in sixteenths, of distributions of
    these scale indices, smallest: weighted, a little damped, rounded.

    With |rows| <= 2040, weights <= 255 and at most 2^15 samples every sum is an integer below 2^53.
    """
    # Products in torch, whose threads have just run the network: NumPy's would fight them for the cores.
    weighted = rows * torch.from_numpy(_weights(errors, scale))
    gram = _gram(weighted, rows)
    right = (weighted @ torch.from_numpy((errors << PRODUCT_BITS).astype(np.float64))).numpy()
    diagonal = np.arange(len(rows))
    gram[diagonal, diagonal] += np.floor(gram[diagonal, diagonal] / 512) + len(errors)
    return _legal(np.rint(solve(gram, right)))


def _legal(coefficients: NDArray[Any]) -> Ints:
    """The coefficients in their range; none if their sum is too large."""
    clipped = np.clip(coefficients, COEFFICIENT_MIN, COEFFICIENT_MAX).astype(np.int32)
    return clipped if np.abs(clipped).sum() <= MAX_COEFFICIENT_SUM else np.zeros_like(clipped)


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
