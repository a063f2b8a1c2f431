"""Linear systems, solved alike on every machine: one correctly rounded operation after another."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def solve(matrix: Floats, right: Floats) -> Floats:
    """x (n,) of matrix (n, n) @ x = right (n,), by Gaussian elimination; the matrix is positive definite."""
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
