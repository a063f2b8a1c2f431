"""The fit: exact sums, the same coefficients everywhere, and what cannot be exact is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nvpcodec import fit as fitting
from nvpcodec.distribution import BaseTable
from nvpcodec.errors import DamagedFileError
from nvpcodec.fit import (
    BUCKETS,
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    MAX_COEFFICIENT_SUM,
    MAX_WEIGHT,
    REGRESSOR_MAGNITUDE,
    SAMPLED_PIXELS,
    Fit,
    estimate,
    is_fitted,
    plain_distribution,
    pop_fit,
    push_fit,
)
from nvpcodec.phase_flow import Prediction
from nvpcodec.recorder import Recorder
from nvpcodec.regressors import Regressors, Source
from nvpcodec.stack import Ints, Stack
from nvpcodec.tables import SCALES
from nvpcodec.train.base_table import base_table, logistic

TABLE = BaseTable(base_table(logistic))


def laid_out(rows: NDArray[np.int64]) -> Regressors:
    """Regressors that are the planes of one source."""
    return Regressors([Source(torch.from_numpy(rows).float())], rows.shape[1:])


def prediction(mean: NDArray[np.int64], scale: NDArray[np.int64], regressors: Regressors) -> Prediction:
    return Prediction(
        level=0,
        phase=3,
        plane=1,
        remaining=0,
        mean=torch.from_numpy(mean).float(),
        scale=torch.from_numpy(scale).float(),
        regressors=lambda: regressors,
    )


def scene(
    coefficients: list[int], grain: float, size: tuple[int, int] = (80, 90), seed: int = 1
) -> tuple[Prediction, Regressors, Ints]:
    """A prediction, its regressors and values that follow them by `coefficients` (2^-8), grain added."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(-200, 201, (len(coefficients), *size))
    mean = generator.integers(-16 * 40, 16 * 40, size)
    exact = mean / 16 + np.tensordot(np.array(coefficients) / 256, rows / 4, 1)
    x = np.clip(np.rint(exact + generator.normal(0, grain, size)), -255, 255).astype(np.int32)
    regressors = laid_out(rows)
    return prediction(mean, np.full(size, 30), regressors), regressors, x.reshape(-1)


def test_coefficients_are_recovered() -> None:
    wanted = [40, -25, 0, 90, 7]
    p, regressors, x = scene(wanted, grain=0.5)
    found = estimate(p, regressors, x, TABLE)[0].coefficients
    assert np.abs(found - wanted).max() <= 2


def test_a_fit_makes_the_file_smaller() -> None:
    p, regressors, x = scene([40, -25, 0, 90, 7], grain=0.5)
    fit, fitted = estimate(p, regressors, x, TABLE)
    applied = fit.apply(p, regressors)
    assert np.array_equal(fitted.mean, applied.mean)
    assert np.array_equal(fitted.scale, applied.scale)
    cost = int(TABLE.costs[TABLE.masses(fitted, x)].sum())
    assert cost < 0.5 * int(TABLE.costs[TABLE.masses(plain_distribution(p), x)].sum())


def test_scales_are_corrected_toward_the_errors() -> None:
    wide, regressors, x = scene([0, 0], grain=8)
    assert estimate(wide, regressors, x, TABLE)[0].corrections[30 // 6] > 0
    narrow, regressors, x = scene([0, 0], grain=0.1)
    assert estimate(narrow, regressors, x, TABLE)[0].corrections[30 // 6] < 0


def test_threads_do_not_change_a_fit() -> None:
    p, regressors, x = scene([3, -60, 11, 200], grain=4, size=(260, 270))
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(estimate(p, regressors, x, TABLE)[0])
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(fits[0].coefficients, fits[1].coefficients)
    assert np.array_equal(fits[0].corrections, fits[1].corrections)


def test_the_mean_is_what_integers_give() -> None:
    generator = np.random.default_rng(6)
    rows = generator.integers(-REGRESSOR_MAGNITUDE, REGRESSOR_MAGNITUDE + 1, (20, 70, 60))
    mean = generator.integers(-16 * 255, 16 * 255 + 1, (70, 60))
    coefficients = generator.integers(-400, 401, 20).astype(np.int32)
    assert np.abs(coefficients).sum() <= MAX_COEFFICIENT_SUM
    regressors = laid_out(rows)
    p = prediction(mean, np.full((70, 60), 30), regressors)
    corrections = generator.integers(-8, 8, BUCKETS).astype(np.int32)
    got = Fit(coefficients, corrections).apply(p, regressors)
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
        d = Fit(np.zeros(1, np.int32), np.full(BUCKETS, correction, np.int32)).apply(p, regressors)
        assert d.scale.tolist() == np.clip(scale.reshape(-1) + correction, 0, SCALES - 1).tolist()


def test_sums_are_exact() -> None:
    """At the largest operands a fit can meet, float64 sums are what Python's integers give."""
    generator = np.random.default_rng(2)
    rows = REGRESSOR_MAGNITUDE - generator.integers(0, 3, (3, SAMPLED_PIXELS))
    rows[1] *= -1
    target = (16 * 510 - generator.integers(0, 3, SAMPLED_PIXELS)) << fitting.PRODUCT_BITS
    weights = MAX_WEIGHT - generator.integers(0, 3, SAMPLED_PIXELS)
    weighted = rows.astype(np.float64) * weights
    gram, right = weighted @ rows.T.astype(np.float64), weighted @ target.astype(np.float64)
    columns = [r.tolist() for r in rows]
    for i in range(3):
        for j in range(3):
            exact = sum(w * a * b for w, a, b in zip(weights.tolist(), columns[i], columns[j], strict=True))
            assert int(gram[i, j]) == exact
        exact = sum(w * a * t for w, a, t in zip(weights.tolist(), columns[i], target.tolist(), strict=True))
        assert abs(exact) < 1 << 53, "the target's sum is an integer that float64 holds"
        assert int(right[i]) == exact


def test_a_mean_far_out_keeps_the_sums_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network may predict up to 2^16 sixteenths beyond a plane's values; the fit ignores that."""
    targets: list[NDArray[np.int64]] = []

    def noted(_rows: torch.Tensor, target: NDArray[np.int64], _weights: object) -> Ints:
        targets.append(target)
        return np.zeros(1, np.int32)

    monkeypatch.setattr(fitting, "_least_squares", noted)
    size = (64, 64)
    for mean, value in ((16 * 255 + 65536, -255), (-16 * 255 - 65536, 255)):
        nothing = laid_out(np.zeros((1, *size), np.int64))
        p = prediction(np.full(size, mean), np.full(size, 30), nothing)
        estimate(p, nothing, np.full(64 * 64, value, np.int32), TABLE)
    assert max(int(np.abs(t).max()) for t in targets) <= 16 * 510 << fitting.PRODUCT_BITS


def solved(matrix: list[list[int]], right: list[int]) -> list[Fraction]:
    """Gaussian elimination in fractions."""
    a = [[Fraction(v) for v in [*row, r]] for row, r in zip(matrix, right, strict=True)]
    for k in range(len(a)):
        for i in range(len(a)):
            if i != k:
                factor = a[i][k] / a[k][k]
                a[i] = [u - factor * v for u, v in zip(a[i], a[k], strict=True)]
    return [row[-1] / row[k] for k, row in enumerate(a)]


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_solve(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    factor = generator.integers(-50, 51, (count, count + 3))
    matrix = factor @ factor.T + 10 * np.eye(count, dtype=np.int64)
    right = generator.integers(-(10**6), 10**6, count)
    got = fitting._solve(matrix.astype(np.float64), right.astype(np.float64))
    exact = [float(v) for v in solved(matrix.tolist(), right.tolist())]
    assert got == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_solve_does_not_change_its_arguments() -> None:
    matrix, right = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    assert fitting._solve(matrix, right) == pytest.approx([1 / 11, 7 / 11])
    assert matrix.tolist() == [[4, 1], [1, 3]]
    assert right.tolist() == [1, 2]


def test_weights_are_small_integers() -> None:
    generator = np.random.default_rng(4)
    left_over = generator.integers(-16 * 510, 16 * 510, 3000)
    scale = generator.integers(0, SCALES, 3000).astype(np.int32)
    weights = fitting._weights(left_over, scale)
    assert weights.dtype == np.int64
    assert weights.min() >= 1
    assert weights.max() <= MAX_WEIGHT


def test_scales_in_sixteenths_are_far_from_a_rounding_boundary() -> None:
    """Another platform's power cannot change an entry: all lie far from whole numbers, or on them."""
    for i in range(SCALES):
        value = 2 ** (i / 6 + 9)
        if i % 6:
            assert 1e-6 < value % 1 < 1 - 1e-6
        else:
            assert value == 2 ** (i // 6 + 9)


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


def test_an_encoder_never_makes_what_a_decoder_refuses() -> None:
    """Equal rows could share any sum; damping keeps them small, and what is too large becomes 0."""
    row = np.random.default_rng(1).integers(-3, 4, 5000)
    rows = torch.from_numpy(np.repeat(row[None], 60, 0)).double()
    target = (row * 16 * 4000).astype(np.int64) << 6
    coefficients = fitting._least_squares(rows, target, np.ones(5000, np.int64))
    assert np.abs(coefficients).sum() <= MAX_COEFFICIENT_SUM


def test_small_phases_are_not_fitted() -> None:
    def sized(height: int, width: int) -> Prediction:
        zero = np.zeros((height, width), np.int64)
        return prediction(zero, zero, laid_out(zero[None]))

    assert is_fitted(sized(64, 64))
    assert not is_fitted(sized(63, 65))
