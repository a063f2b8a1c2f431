"""The linear part of each shift and a correction of each scale: fitted by the encoder, carried in the file.

    mean  = predicted mean + sum_j c_j d_j          c_j in 2^-8, d_j the regressors of the prediction
    scale = predicted scale + correction            one correction for each twelfth of the scale indices

The fit is weighted least squares on what the network left over. Its sums are sums of integers below 2^53,
exact in float64 in any order, and its elimination uses single correctly rounded operations only, so that
every machine finds the same coefficients.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.phase_flow import Prediction
from nvpcodec.recorder import Recorder
from nvpcodec.regressors import Regressors
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_symbols, push_symbols
from nvpcodec.tables import SCALES, SHIFT_UNIT

#: Phases with fewer pixels are not fitted: the coefficients would cost more than they save.
FIT_PIXELS = 4096
COEFFICIENT_MIN, COEFFICIENT_MAX = -512, 511
#: A regressor in quarter steps times a coefficient in 2^-8, shifted right by this, is in sixteenths.
PRODUCT_BITS = 6
REGRESSOR_MAGNITUDE = exact.SUMMED_MAX
MAX_COEFFICIENT_SUM = (FLOAT32_EXACT - 64) // REGRESSOR_MAGNITUDE

BUCKET = 6
BUCKETS = SCALES // BUCKET
CORRECTION_MIN, CORRECTIONS = -8, 16
TRIED_CORRECTIONS = range(-5, 6)

SAMPLED_PIXELS = 1 << 15
COSTED_PIXELS = 1 << 13
MAX_WEIGHT = 255


@dataclass(frozen=True)
class Fit:
    """int32 coefficients (n,) in 2^-8 and corrections (12,) in scale indices."""

    coefficients: Ints
    corrections: Ints

    def apply(self, prediction: Prediction, regressors: Regressors) -> Distribution:
        return self.corrected(prediction, _moved_mean(prediction, regressors, self.coefficients))

    def corrected(self, prediction: Prediction, mean: Ints) -> Distribution:
        """The distributions around means that hold the linear part already."""
        scale = flat_ints(prediction.scale)
        return Distribution(
            mean,
            np.clip(scale + self.corrections[scale // BUCKET], 0, SCALES - 1).astype(np.int32),
            *prediction.legal,
        )


def plain_distribution(prediction: Prediction) -> Distribution:
    """The distribution of a phase that is not fitted."""
    return Distribution(_plain_mean(prediction), flat_ints(prediction.scale), *prediction.legal)


def is_fitted(prediction: Prediction) -> bool:
    return prediction.mean.numel() >= FIT_PIXELS


def flat_ints(x: Tensor) -> Ints:
    """An integer-valued float tensor as int32 (n,)."""
    values: Ints = x.reshape(-1).to(torch.int32).cpu().numpy()
    return values


def estimate(
    prediction: Prediction, regressors: Regressors, x: Ints, table: BaseTable
) -> tuple[Fit, Distribution]:
    """Coefficients, then corrections, fitted to the known values x (n,); and the distributions they make."""
    stride = -(-len(x) // SAMPLED_PIXELS)
    rows = regressors.sample(stride).cpu().double()
    plain_mean = _plain_mean(prediction)
    left_over = (x * SHIFT_UNIT - plain_mean)[::stride].astype(np.int64)
    weights = _weights(left_over, flat_ints(prediction.scale)[::stride])
    coefficients = _least_squares(rows, left_over << PRODUCT_BITS, weights)
    mean = _moved_mean(prediction, regressors, coefficients)
    if _weighted_error(x, mean, weights, stride) >= _weighted_error(x, plain_mean, weights, stride):
        coefficients, mean = np.zeros_like(coefficients), plain_mean
    fit = Fit(coefficients, _corrections(prediction, mean, x, table))
    return fit, fit.corrected(prediction, mean)


def push_fit(recorder: Recorder, table: BaseTable, fit: Fit, before: int) -> None:
    """Coefficients as symbols around zero whose scale comes first, corrections as uniform integers."""
    spreads = [_coefficients(len(fit.coefficients), s) for s in range(SCALES)]
    costs = [int(table.costs[table.masses(d, fit.coefficients)].sum()) for d in spreads]
    spread = int(np.argmin(costs))
    recorder.push(np.array([spread], np.int32), SCALES)
    push_symbols(recorder, table, spreads[spread], fit.coefficients, before)
    recorder.push(fit.corrections - CORRECTION_MIN, CORRECTIONS)


def pop_fit(stack: Stack, table: BaseTable, count: int, before: int, growth: int) -> Fit:
    """Mirror image of `push_fit`.

    Raises
    ------
    DamagedFileError
        The coefficients are so large that the shift would not be exact.
    """
    spread = int(stack.pop(1, SCALES)[0])
    coefficients = pop_symbols(stack, table, _coefficients(count, spread), before, growth)
    if np.abs(coefficients).sum() > MAX_COEFFICIENT_SUM:
        raise DamagedFileError("the coefficients of a region lie out of range; get a good copy of the file")
    return Fit(coefficients, stack.pop(BUCKETS, CORRECTIONS) + CORRECTION_MIN)


def _coefficients(count: int, spread: int) -> Distribution:
    return Distribution(
        np.zeros(count, np.int32), np.full(count, spread, np.int32), COEFFICIENT_MIN, COEFFICIENT_MAX
    )


def _plain_mean(prediction: Prediction) -> Ints:
    return _legal_mean(flat_ints(prediction.mean), prediction)


def _moved_mean(prediction: Prediction, regressors: Regressors, coefficients: Ints) -> Ints:
    weights = torch.from_numpy(coefficients.astype(np.float32)).to(prediction.mean.device)
    products = regressors.weighted_sum(weights)
    half = 1 << (PRODUCT_BITS - 1)
    shift = ((products + half) * 2.0**-PRODUCT_BITS).floor()
    return _legal_mean(flat_ints(prediction.mean) + flat_ints(shift), prediction)


def _legal_mean(mean: Ints, prediction: Prediction) -> Ints:
    low, high = prediction.legal
    return np.clip(mean, low * SHIFT_UNIT, high * SHIFT_UNIT)


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


def _weighted_error(x: Ints, mean: Ints, weights: NDArray[np.int64], stride: int) -> int:
    error = (x * SHIFT_UNIT - mean)[::stride].astype(np.int64)
    return int((weights * error**2).sum())


def _corrections(prediction: Prediction, mean: Ints, x: Ints, table: BaseTable) -> Ints:
    """The correction of each bucket that makes the samples cheapest."""
    stride = -(-len(x) // COSTED_PIXELS)
    scale, mean, x = flat_ints(prediction.scale)[::stride], mean[::stride], x[::stride]
    bucket = scale // BUCKET
    costs = np.zeros((len(TRIED_CORRECTIONS), BUCKETS), np.int64)
    for i, correction in enumerate(TRIED_CORRECTIONS):
        d = Distribution(mean, np.clip(scale + correction, 0, SCALES - 1).astype(np.int32), *prediction.legal)
        np.add.at(costs[i], bucket, table.costs[table.masses(d, x)])
    zero = TRIED_CORRECTIONS.index(0)
    best = costs.argmin(0)
    best[costs[zero] <= costs.min(0)] = zero
    corrections: Ints = (best + TRIED_CORRECTIONS.start).astype(np.int32)
    return corrections
