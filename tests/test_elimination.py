"""Linear systems: the solution is that of exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvpcodec.elimination import solve


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
    got = solve(matrix.astype(np.float64), right.astype(np.float64))
    exact = [float(v) for v in solved(matrix.tolist(), right.tolist())]
    assert got == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_solve_does_not_change_its_arguments() -> None:
    matrix, right = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    assert solve(matrix, right) == pytest.approx([1 / 11, 7 / 11])
    assert matrix.tolist() == [[4, 1], [1, 3]]
    assert right.tolist() == [1, 2]
