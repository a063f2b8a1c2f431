"""The fit: exact sums, the same coefficients everywhere, and what cannot be exact is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fit import (
    BUCKETS,
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    MAX_COEFFICIENT_SUM,
    REGRESSOR_MAGNITUDE,
    Fit,
    flat_ints,
    is_fitted,
    moved_mean,
    pop_fit,
    push_fit,
)
from nvpcodec.phase_flow import Prediction
from nvpcodec.recorder import Recorder
from nvpcodec.regressors import Regressors, Source
from nvpcodec.stack import Stack
from nvpcodec.tables import SCALES
from nvpcodec.train.base_table import base_table, logistic

TABLE = BaseTable(base_table(logistic))


def laid_out(rows: NDArray[np.int64]) -> Regressors:
    """Regressors that are the planes of one source."""
    return Regressors([Source(torch.from_numpy(rows).float())], rows.shape[1:])


def applied(fit: Fit, p: Prediction, regressors: Regressors) -> Distribution:
    """The distributions that a fit makes of a prediction."""
    mean = moved_mean(p, regressors, fit.coefficients)
    return fit.corrected(Distribution(flat_ints(mean), flat_ints(p.scale), *p.legal))


def prediction(mean: NDArray[np.int64], scale: NDArray[np.int64], regressors: Regressors) -> Prediction:
    return Prediction(
        level=0,
        phase=3,
        plane=1,
        remaining=0,
        words=torch.zeros(2, *mean.shape),
        mean=torch.from_numpy(mean).float(),
        scale=torch.from_numpy(scale).float(),
        regressors=lambda: regressors,
    )


def test_the_mean_is_what_integers_give() -> None:
    generator = np.random.default_rng(6)
    rows = generator.integers(-REGRESSOR_MAGNITUDE, REGRESSOR_MAGNITUDE + 1, (20, 70, 60))
    mean = generator.integers(-16 * 255, 16 * 255 + 1, (70, 60))
    coefficients = generator.integers(-400, 401, 20).astype(np.int32)
    assert np.abs(coefficients).sum() <= MAX_COEFFICIENT_SUM
    regressors = laid_out(rows)
    p = prediction(mean, np.full((70, 60), 30), regressors)
    corrections = generator.integers(-8, 8, BUCKETS).astype(np.int32)
    got = applied(Fit(coefficients, corrections), p, regressors)
    products = np.tensordot(coefficients.astype(np.int64), rows, 1)
    expected = np.clip(mean + ((products + 32) >> 6), -255 * 16, 255 * 16)
    assert np.array_equal(got.mean, expected.reshape(-1))
    assert (got.scale == np.clip(30 + corrections[5], 0, SCALES - 1)).all()


def test_the_largest_coefficients_are_exact() -> None:
    """Regressors and coefficients as large as they may be, all of one sign."""
    coefficients = np.full(16, MAX_COEFFICIENT_SUM // 16, np.int32)
    for sign in (-1, 1):
        rows = np.full((16, 2, 2), sign * REGRESSOR_MAGNITUDE)
        rows[-1, 0, 0] -= sign
        products = coefficients.astype(np.int64) @ rows.reshape(16, -1)
        assert np.abs(products).max() + 32 < 1 << 24
        exact = laid_out(rows).weighted_sum(torch.from_numpy(coefficients).float())
        assert np.array_equal(exact.flatten().numpy().astype(np.int64), products)


def test_corrected_scales_stay_in_the_table() -> None:
    scale = np.arange(SCALES).reshape(8, 9)
    regressors = laid_out(np.zeros((1, 8, 9), np.int64))
    p = prediction(np.zeros((8, 9), np.int64), scale, regressors)
    for correction in (-8, 7):
        d = applied(Fit(np.zeros(1, np.int32), np.full(BUCKETS, correction, np.int32)), p, regressors)
        assert d.scale.tolist() == np.clip(scale.reshape(-1) + correction, 0, SCALES - 1).tolist()


@pytest.mark.parametrize("count", [1, 16, 48, 79])
def test_a_fit_comes_back(count: int) -> None:
    generator = np.random.default_rng(count)
    coefficients = np.rint(generator.normal(0, 20, count)).astype(np.int32)
    coefficients[0] = COEFFICIENT_MIN if count % 2 else COEFFICIENT_MAX
    fit = Fit(coefficients, generator.integers(-8, 8, BUCKETS).astype(np.int32))
    recorder = Recorder(TABLE.costs)
    push_fit(recorder, TABLE, fit, 100)
    stack = Stack()
    recorder.play(stack, 32)
    again = pop_fit(stack, TABLE, count, 100, 32)
    assert np.array_equal(again.coefficients, fit.coefficients)
    assert np.array_equal(again.corrections, fit.corrections)
    stack.require_empty()


def test_hostile_coefficients_are_refused() -> None:
    count = MAX_COEFFICIENT_SUM // 511 + 1
    fit = Fit(np.full(count, COEFFICIENT_MAX, np.int32), np.zeros(BUCKETS, np.int32))
    recorder = Recorder(TABLE.costs)
    push_fit(recorder, TABLE, fit, 0)
    stack = Stack()
    recorder.play(stack, 32)
    with pytest.raises(DamagedFileError, match="coefficients"):
        pop_fit(stack, TABLE, count, 0, 32)


def test_small_phases_are_not_fitted() -> None:
    def sized(height: int, width: int) -> Prediction:
        zero = np.zeros((height, width), np.int64)
        return prediction(zero, zero, laid_out(zero[None]))

    assert is_fitted(sized(64, 64))
    assert not is_fitted(sized(63, 65))
