"""Fits of deep samples: popped as pushed, and applied as the text says, extremes included."""

from __future__ import annotations

import numpy as np

from nvpcodec.deep_fit import (
    BUCKETS,
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    DeepFit,
    best_spread,
    moved_means,
    pop_fit,
    push_fit,
    unfitted,
)
from nvpcodec.deep_walk import Place
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Stack
from nvpcodec.wide_symbols import logistic_table


def extreme() -> DeepFit:
    """Every number at an end of its range."""
    ends = np.tile([COEFFICIENT_MIN, COEFFICIENT_MAX], 35).astype(np.int32)
    corrections = np.tile([-8, 7], BUCKETS // 2).astype(np.int32)
    mantissas, exponents = np.tile([-16, 15], 7).astype(np.int32), np.full(14, 15, np.int32)
    return DeepFit(ends, mantissas, exponents, corrections, 127)


def test_pop_mirrors_push() -> None:
    for fit in (extreme(), unfitted(16, 9)):
        recorder, stack = Recorder(logistic_table().costs), Stack()
        push_fit(recorder, fit, best_spread(fit.coefficients)[0], 100)
        recorder.play(stack, 4)
        popped = pop_fit(stack, len(fit.coefficients), len(fit.mantissas), 100, 4)
        stack.require_empty()
        for name in ("coefficients", "mantissas", "exponents", "corrections", "floor"):
            np.testing.assert_array_equal(getattr(popped, name), getattr(fit, name))


def test_no_sum_leaves_64_bits() -> None:
    """The largest rows that 16 bits can give, under the largest weights, are what Python's integers say."""
    fit = extreme()
    regressors = [2**19 * (1 if c > 0 else -1) for c in fit.coefficients.tolist()]
    place = Place(
        plane=2,
        remaining=0,
        base4=np.array([[4 * 65535]]),
        regressors=lambda: iter([np.array([[r]]) for r in regressors]),
        magnitudes=lambda: iter([np.array([[2**25 * (1 if m > 0 else 0)]]) for m in fit.mantissas]),
        counts=(70, 14),
    )
    d = fit.distribution(place, -65535, 65535)
    moved = sum(c * r for c, r in zip(fit.coefficients.tolist(), regressors, strict=True))
    assert abs(moved) < 2**63
    assert d.mean.tolist() == [16 * 65535]
    assert d.scale.tolist() == [127]


def test_means_are_rounded_and_clipped() -> None:
    base, moved = np.array([160, 160, 0, 99999]), np.array([127, 128, -1000, 0])
    assert moved_means(base, moved, 0, 100).tolist() == [160, 161, 0, 1600]


def test_corrections_go_by_bucket_and_stop_at_the_floor() -> None:
    fit = extreme()
    free = DeepFit(fit.coefficients, fit.mantissas, fit.exponents, fit.corrections, 3)
    assert free.index_of(np.array([0, 8, 20, 127])).tolist() == [3, 15, 12, 127]
