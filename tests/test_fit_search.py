"""The search for a fit: exact sums, the same coefficients everywhere, and bits are saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nvpcodec import fit_search
from nvpcodec.distribution import Distribution
from nvpcodec.fit import (
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    MAX_COEFFICIENT_SUM,
    PRODUCT_BITS,
    REGRESSOR_MAGNITUDE,
    Fit,
    flat_ints,
    moved_mean,
)
from nvpcodec.fit_search import (
    MAX_WEIGHT,
    SAMPLED_PIXELS,
    Refine,
    find_corrections,
    find_linear_part,
    find_refined_linear_part,
    no_linear_part,
)
from nvpcodec.phase_flow import Prediction
from nvpcodec.regressors import Regressors
from nvpcodec.stack import Ints
from nvpcodec.tables import SCALES
from tests.test_fit import TABLE, applied, laid_out, prediction


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


def as_it_is(p: Prediction) -> Refine:
    """The distributions of a prediction that nothing refines."""
    return lambda mean: Distribution(flat_ints(mean), flat_ints(p.scale), *p.legal)


def find_fit(p: Prediction, regressors: Regressors, x: Ints, rounds: int = 0) -> tuple[Fit, Distribution]:
    """The fit for x (n,), as an encoder finds it in so many rounds or before the refinement, and what it
    makes of the prediction.
    """
    if rounds:
        found = find_refined_linear_part(p, regressors, x, TABLE, rounds, as_it_is(p))
    else:
        found = find_linear_part(p, regressors, x, TABLE)
    distribution = as_it_is(p)(found.mean)
    fit = Fit(found.coefficients, find_corrections(distribution, x, TABLE))
    return fit, fit.corrected(distribution)


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_coefficients_are_recovered(rounds: int) -> None:
    wanted = [40, -25, 0, 90, 7]
    p, regressors, x = scene(wanted, grain=0.5)
    found = find_fit(p, regressors, x, rounds)[0].coefficients
    assert np.abs(found - wanted).max() <= 2


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_fit_makes_the_file_smaller(rounds: int) -> None:
    p, regressors, x = scene([40, -25, 0, 90, 7], grain=0.5)
    fit, fitted = find_fit(p, regressors, x, rounds)
    decoded = applied(fit, p, regressors)
    assert np.array_equal(fitted.mean, decoded.mean)
    assert np.array_equal(fitted.scale, decoded.scale)
    cost = int(TABLE.costs[TABLE.masses(fitted, x)].sum())
    without = Distribution(flat_ints(p.mean), flat_ints(p.scale), *p.legal)
    assert cost < 0.5 * int(TABLE.costs[TABLE.masses(without, x)].sum())


def test_scales_are_corrected_toward_the_errors() -> None:
    wide, regressors, x = scene([0, 0], grain=8)
    assert find_fit(wide, regressors, x)[0].corrections[30 // 6] > 0
    narrow, regressors, x = scene([0, 0], grain=0.1)
    assert find_fit(narrow, regressors, x)[0].corrections[30 // 6] < 0


@pytest.mark.parametrize("rounds", [0, 2])
def test_threads_do_not_change_a_fit(rounds: int) -> None:
    p, regressors, x = scene([3, -60, 11, 200], grain=4, size=(260, 270))
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(find_fit(p, regressors, x, rounds)[0])
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(fits[0].coefficients, fits[1].coefficients)
    assert np.array_equal(fits[0].corrections, fits[1].corrections)


def test_sums_are_exact() -> None:
    """At the largest operands a fit can meet, float64 sums are what Python's integers give."""
    generator = np.random.default_rng(2)
    rows = REGRESSOR_MAGNITUDE - generator.integers(0, 3, (3, SAMPLED_PIXELS))
    rows[1] *= -1
    target = (16 * 510 - generator.integers(0, 3, SAMPLED_PIXELS)) << PRODUCT_BITS
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


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_mean_far_out_keeps_the_sums_exact(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """A network may predict up to 2^16 sixteenths beyond a plane's values; the fit ignores that."""
    seen: list[NDArray[np.int64]] = []

    def noted(_rows: torch.Tensor, errors: NDArray[np.int64], _scale: Ints) -> Ints:
        seen.append(errors)
        return np.zeros(1, np.int32)

    monkeypatch.setattr(fit_search, "_least_squares", noted)
    size = (64, 64)
    for mean, value in ((16 * 255 + 65536, -255), (-16 * 255 - 65536, 255)):
        nothing = laid_out(np.zeros((1, *size), np.int64))
        p = prediction(np.full(size, mean), np.full(size, 30), nothing)
        find_fit(p, nothing, np.full(64 * 64, value, np.int32), rounds)
    assert max(int(np.abs(errors).max()) for errors in seen) == 16 * 510


@pytest.mark.parametrize("count", [1, 2, 3, 7, 66])
def test_gram_matrices_are_whole(count: int) -> None:
    generator = np.random.default_rng(count)
    rows = generator.integers(-2040, 2041, (count, 300))
    weights = generator.integers(1, 256, 300)
    gram = fit_search._gram(torch.from_numpy(rows * weights).double(), torch.from_numpy(rows).double())
    assert np.array_equal(gram, rows * weights @ rows.T)


def test_weights_are_small_integers() -> None:
    generator = np.random.default_rng(4)
    left_over = generator.integers(-16 * 510, 16 * 510, 3000)
    scale = generator.integers(0, SCALES, 3000).astype(np.int32)
    weights = fit_search._weights(left_over, scale)
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


def test_an_encoder_never_makes_what_a_decoder_refuses() -> None:
    """Equal rows could share any sum; damping keeps them small, and what is too large becomes 0."""
    row = np.random.default_rng(1).integers(-3, 4, 5000)
    rows = torch.from_numpy(np.repeat(row[None], 60, 0)).double()
    errors = (row * 16 * 4000).astype(np.int64)
    coefficients = fit_search._least_squares(rows, errors, np.full(5000, 30, np.int32))
    assert np.abs(coefficients).sum() <= MAX_COEFFICIENT_SUM
    too_many = np.full(60, MAX_COEFFICIENT_SUM // 60 + 1)
    assert not fit_search._legal(too_many).any()
    assert fit_search._legal(np.array([600, -600])).tolist() == [COEFFICIENT_MAX, COEFFICIENT_MIN]


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_small_gains_are_not_worth_their_coefficients(rounds: int) -> None:
    """Values that follow nothing: a linear part would only cost bits."""
    p, regressors, x = scene([0, 0, 0, 0, 0, 0], grain=3, size=(64, 64))
    fit, _ = find_fit(p, regressors, x, rounds)
    assert not fit.coefficients.any()


def test_more_rounds_find_more() -> None:
    p, regressors, x = scene([40, -25, 0, 90, 7], grain=2)
    x = x.copy()
    x[::7] = np.clip(x[::7] + 60, -255, 255)
    costs = []
    for rounds in (1, 2, 3):
        fit, d = find_fit(p, regressors, x, rounds)
        costs.append(int(TABLE.costs[TABLE.masses(d, x)].sum()))
        assert np.abs(fit.coefficients - [40, -25, 0, 90, 7]).max() < 30
    assert costs[1] < costs[0]
    assert costs[2] <= costs[1]


def test_a_linear_part_is_for_what_a_refinement_leaves_over() -> None:
    """A refinement that finds all by itself leaves nothing; one that finds half of it leaves the other."""
    wanted = [40, -25, 0, 90, 7]
    p, regressors, x = scene(wanted, grain=0.5)
    whole = moved_mean(p, regressors, np.array(wanted, np.int32))

    def refined(share: float) -> Refine:
        """Means on their way to the whole linear part, from wherever they are."""
        return lambda mean: as_it_is(p)((mean + share * (whole - mean)).floor())

    for share, expected in ((1.0, 0), (0.0, 90)):
        found = find_refined_linear_part(p, regressors, x, TABLE, 3, refined(share))
        assert abs(int(found.coefficients[3]) - expected) <= 2
    part = find_refined_linear_part(p, regressors, x, TABLE, 3, refined(0.5))
    nothing = no_linear_part(p, regressors)
    errors = [np.abs(x * 16 - refined(0.5)(found.mean).mean).mean() for found in (part, nothing)]
    assert errors[0] < 0.5 * errors[1]
