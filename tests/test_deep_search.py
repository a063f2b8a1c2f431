"""The fit of deep samples: it finds what made them, and the same whatever multiplies."""

from __future__ import annotations

import numpy as np
import pytest

from nvpcodec import deep_search
from nvpcodec.deep_fit import unfitted
from nvpcodec.deep_search import find_fit
from nvpcodec.deep_walk import Place
from nvpcodec.elimination import Floats
from nvpcodec.wide_symbols import Wide


def made(weights: tuple[int, ...], noise: float, size: tuple[int, int] = (60, 70)) -> tuple[Place, Wide]:
    """A place whose values are its base and 1024ths of its regressors, and noise."""
    generator = np.random.default_rng(7)
    regressors = generator.integers(-4000, 4000, (len(weights), *size))
    base4 = generator.integers(80000, 160000, size)
    magnitudes = np.stack([np.full(size, 1024), base4, *np.abs(regressors[:3]) * 4])
    place = Place(
        plane=0,
        remaining=0,
        base4=base4,
        regressors=lambda: iter(regressors),
        magnitudes=lambda: iter(magnitudes),
        counts=(len(regressors), len(magnitudes)),
    )
    exact = base4 / 4 + np.tensordot(weights, regressors, 1) / 4096
    return place, np.rint(exact + generator.logistic(0, noise, size)).astype(np.int64)


def test_coefficients_are_found() -> None:
    weights = (600, -200, 0, 50, 1000)
    place, x = made(weights, 2.0)
    fit, _ = find_fit(place, x, 0, 65535)
    assert np.abs(fit.coefficients - weights).max() <= 3


@pytest.mark.parametrize("noise", [1.0, 20.0, 700.0])
def test_the_scale_of_the_noise_is_found(noise: float) -> None:
    place, x = made((600, -200, 0, 50, 1000), noise)
    fit, _ = find_fit(place, x, 0, 65535)
    scale = 2 ** (fit.distribution(place, 0, 65535).scale / 6 - 5)
    assert np.median(scale) == pytest.approx(noise, rel=0.2)


def test_what_no_fit_helps_is_not_fitted() -> None:
    """Regressors that are all zero have no part in the mean."""
    place, x = made((0, 0, 0), 30.0)
    fit, spread = find_fit(place, x, 0, 65535)
    assert np.abs(fit.coefficients).max() < 20
    assert spread < 72


def test_sums_are_exact_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in another order and a product of another kind give the same solution."""
    generator = np.random.default_rng(2)
    rows = generator.normal(0, 3e5, (9, 1 << 14))
    target = generator.normal(0, 3e5, 1 << 14)
    importance = generator.random(1 << 14)
    grams: list[Floats] = []

    def keep(gram: Floats, right: Floats) -> Floats:
        grams.append(gram)
        return right

    monkeypatch.setattr(deep_search, "solve", keep)
    order = generator.permutation(1 << 14)
    deep_search._least_squares(rows, target, importance, 512)
    deep_search._least_squares(rows[:, order], target[order], importance[order], 512)
    np.testing.assert_array_equal(grams[0], grams[1])
    assert grams[0].max() < 2**53


def test_weights_as_mantissas_and_exponents() -> None:
    weights = np.array([0.0, 1.0, -15.0, 16.0, 1000.0, -1e9])
    mantissas, exponents = deep_search._floating(weights)
    assert (mantissas.astype(np.int64) << exponents).tolist() == [0, 1, -15, 16, 1024, -15 << 15]


def test_without_a_fit_the_scale_is_half_the_activity() -> None:
    fit = unfitted(3, 5)
    assert fit.weights.tolist() == [64, 0, 512, 512, 512]
    assert not fit.coefficients.any()
