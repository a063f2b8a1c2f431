"""The linear part of each shift and a correction of each scale: fitted by the encoder, carried in the file.

    mean  = predicted mean + sum_j c_j d_j          c_j in 2^-8, d_j the regressors of the prediction
    scale = predicted scale + correction            one correction for each twelfth of the scale indices

A refinement, if the model has any, comes between the two.

`fit_search` is how the encoder finds them.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.phase_flow import Part, Prediction
from nvpcodec.recorder import Recorder
from nvpcodec.regressors import Regressors
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import costs_around_zero, pop_around_zero, push_around_zero
from nvpcodec.tables import SCALES, SHIFT_UNIT

#: Phases with fewer pixels are not fitted: the coefficients would cost more than they save.
FIT_PIXELS = 4096
COEFFICIENTS = COEFFICIENT_MIN, COEFFICIENT_MAX = -512, 511
#: A regressor in quarter steps times a coefficient in 2^-8, shifted right by this, is in sixteenths.
PRODUCT_BITS = 6
REGRESSOR_MAGNITUDE = exact.SUMMED_MAX
MAX_COEFFICIENT_SUM = (FLOAT32_EXACT - 64) // REGRESSOR_MAGNITUDE

BUCKET = 6
BUCKETS = SCALES // BUCKET
CORRECTION_MIN, CORRECTIONS = -8, 16


@dataclass(frozen=True)
class Fit:
    """int32 coefficients (n,) in 2^-8 and corrections (12,) in scale indices."""

    coefficients: Ints
    corrections: Ints

    def corrected(self, d: Distribution) -> Distribution:
        """Distributions whose means hold the linear part already."""
        scale = np.clip(d.scale + self.corrections[d.scale // BUCKET], 0, SCALES - 1)
        return replace(d, scale=scale.astype(np.int32))


def plain_distribution(part: Part, legal: tuple[int, int]) -> Distribution:
    """The distributions of a part, as they are without corrections."""
    return Distribution(flat_ints(part.mean), flat_ints(part.scale), *legal)


def is_fitted(prediction: Prediction) -> bool:
    return prediction.mean.numel() >= FIT_PIXELS


def flat_ints(x: Tensor) -> Ints:
    """An integer-valued float tensor as int32 (n,)."""
    values: Ints = x.reshape(-1).to(torch.int32).cpu().numpy()
    return values


def push_fit(recorder: Recorder, table: BaseTable, fit: Fit, before: int) -> None:
    """Coefficients as symbols around zero whose scale comes first, corrections as uniform integers."""
    push_around_zero(recorder, table, fit.coefficients, COEFFICIENTS, before)
    recorder.push(fit.corrections - CORRECTION_MIN, CORRECTIONS)


def pop_fit(stack: Stack, table: BaseTable, count: int, before: int, growth: int) -> Fit:
    """Mirror image of `push_fit`.

    Raises
    ------
    DamagedFileError
        The coefficients are so large that the shift would not be exact.
    """
    coefficients = pop_around_zero(stack, table, count, COEFFICIENTS, before, growth)
    if np.abs(coefficients).sum() > MAX_COEFFICIENT_SUM:
        raise DamagedFileError("the coefficients of a region lie out of range; get a good copy of the file")
    return Fit(coefficients, stack.pop(BUCKETS, CORRECTIONS) + CORRECTION_MIN)


def coefficient_costs(coefficients: Ints, table: BaseTable) -> NDArray[np.int64]:
    """What coefficients (n,) cost with each scale index, (72,) in 1/256 bit."""
    return costs_around_zero(table, coefficients, COEFFICIENTS)


def plain_mean(prediction: Prediction) -> Tensor:
    """Means (h, w) without a linear part."""
    return _legal_mean(prediction.mean, prediction)


def moved_mean(prediction: Prediction, regressors: Regressors, coefficients: Ints) -> Tensor:
    """Means (h, w) with the linear part of these coefficients."""
    weights = torch.from_numpy(coefficients.astype(np.float32)).to(prediction.mean.device)
    products = regressors.weighted_sum(weights)
    half = 1 << (PRODUCT_BITS - 1)
    shift = ((products + half) * 2.0**-PRODUCT_BITS).floor()
    return _legal_mean(prediction.mean + shift, prediction)


def _legal_mean(mean: Tensor, prediction: Prediction) -> Tensor:
    low, high = prediction.legal
    return mean.clamp(low * SHIFT_UNIT, high * SHIFT_UNIT)
