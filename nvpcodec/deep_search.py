"""How the encoder finds a fit of deep samples: weighted least squares for both sums, then the corrections.

Rows are divided by what they are expected to be off by, and rounded; their products add up to integers below
2^53, exact in float64 in any order. All else is one correctly rounded operation after another, so that every
machine finds the same fit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nvpcodec.deep_fit import (
    BUCKET,
    BUCKETS,
    COEFFICIENT_BITS,
    COEFFICIENT_MAX,
    COEFFICIENT_MIN,
    EXPONENTS,
    MANTISSAS,
    WEIGHT_BITS,
    DeepFit,
    best_spread,
    moved_means,
    raw_index,
    unfitted,
)
from nvpcodec.deep_walk import Place
from nvpcodec.elimination import Floats, solve
from nvpcodec.stack import Ints
from nvpcodec.tables import SHIFT_UNIT
from nvpcodec.wide_symbols import WIDE_SCALES, Wide, WideDistribution, costs

SAMPLED_PIXELS = 1 << 14
COSTED_PIXELS = 1 << 12
TRIED_CORRECTIONS = range(-5, 6)
ROUNDS = 2
#: Normalised rows have so many units a standard error, and at most this magnitude: 2^14 products stay below
#: 2^50.
NORMAL_UNIT = 64.0
MAX_NORMAL = float(1 << 18)
#: The scale of a logistic distribution over its mean magnitude, 1 / (2 ln 2).
SCALE_OF_MAGNITUDE = 0.7213475204444817
#: A thousandth of the samples may lie below the lowest scale index, which is lowered by as much as this.
BELOW_FLOOR, FLOOR_MARGIN = 1000, 6
#: Smallest scale that counts, in sixteenths.
MIN_SCALE = 0.5


def find_fit(place: Place, x: Wide, low: int, high: int) -> tuple[DeepFit, int]:
    """The fit that makes the known values x (h, w) cheap, and the scale index of its coefficients."""
    samples = _Samples(place, x, low, high)
    fit, scale = unfitted(*place.counts), samples.scale(unfitted(*place.counts))
    error = samples.target
    found = [samples.corrected(fit)]
    for _ in range(ROUNDS):
        fit = samples.linear(fit, error, scale)
        error = samples.error(fit)
        fit = samples.widths(fit, error, scale)
        scale = samples.scale(fit)
    found.append(samples.corrected(fit))
    best = min(found, key=lambda candidate: candidate[1])[0]
    return best, best_spread(best.coefficients)[0]


class _Samples:
    """Some pixels of a place: regressors and magnitudes (n, m), and what the base leaves over (m,)."""

    def __init__(self, place: Place, x: Wide, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.count = x.size
        self.stride = stride = -(-x.size // SAMPLED_PIXELS)
        self.regressors = np.stack([row.reshape(-1)[::stride] for row in place.regressors()]).astype(float)
        self.magnitudes = np.stack([row.reshape(-1)[::stride] for row in place.magnitudes()]).astype(float)
        self.base = 4 * place.base4.reshape(-1)[::stride]
        self.x = x.reshape(-1)[::stride]
        self.target = (SHIFT_UNIT * self.x - self.base).astype(float)

    def scale(self, fit: DeepFit) -> Floats:
        """Scales in sixteenths."""
        raw = fit.weights.astype(float) @ self.magnitudes
        scale: Floats = np.maximum(raw * 2.0**-WEIGHT_BITS, MIN_SCALE)
        return scale

    def error(self, fit: DeepFit) -> Floats:
        return (SHIFT_UNIT * self.x - self._means(fit, slice(None))).astype(float)

    def linear(self, fit: DeepFit, error: Floats, scale: Floats) -> DeepFit:
        """Other coefficients: an error e counts 1 / (s (2 s + |e|)), as in a logistic's likelihood."""
        importance = np.sqrt(1 / (scale * (2 * scale + np.abs(error))))
        # Sixteenths over quarter steps.
        solution = _least_squares(4 * self.regressors, self.target, importance, 4096)
        coefficients = np.clip(np.rint(solution * 2.0**COEFFICIENT_BITS), COEFFICIENT_MIN, COEFFICIENT_MAX)
        return replace(fit, coefficients=coefficients.astype(np.int32))

    def widths(self, fit: DeepFit, error: Floats, scale: Floats) -> DeepFit:
        """Other weights: the sum shall be the magnitude of the error."""
        solution = _least_squares(self.magnitudes, SCALE_OF_MAGNITUDE * np.abs(error), 1 / scale, 512)
        mantissas, exponents = _floating(solution * 2.0**WEIGHT_BITS)
        return replace(fit, mantissas=mantissas, exponents=exponents)

    def corrected(self, fit: DeepFit) -> tuple[DeepFit, int]:
        """With the best corrections and floor, and what all values and the coefficients then cost."""
        stride = -(-len(self.x) // COSTED_PIXELS)
        some = slice(None, None, stride)
        mean, x = self._means(fit, some), self.x[some]
        index = raw_index((fit.weights.astype(float) @ self.magnitudes[:, some]).astype(np.int64))
        tried = np.add.outer(TRIED_CORRECTIONS, index)
        each = self._costs(np.tile(mean, len(tried)), tried.reshape(-1), np.tile(x, len(tried)))
        table = np.stack(
            [np.bincount(index // BUCKET, row, BUCKETS) for row in each.reshape(tried.shape)]
        ).astype(np.int64)
        best = table.argmin(0)
        best[table.max(0) == 0] = TRIED_CORRECTIONS.index(0)
        fit = replace(fit, corrections=(best + TRIED_CORRECTIONS.start).astype(np.int32))
        low = np.partition(fit.index_of(index), len(index) // BELOW_FLOOR)[len(index) // BELOW_FLOOR]
        fit = replace(fit, floor=max(0, int(low) - FLOOR_MARGIN))
        cost = int(self._costs(mean, fit.index_of(index), x).sum()) * (self.count // len(x))
        return fit, cost + best_spread(fit.coefficients)[1]

    def _costs(self, mean: Wide, index: Wide, x: Wide) -> Wide:
        return costs(WideDistribution(mean, np.clip(index, 0, WIDE_SCALES - 1), self.low, self.high), x)

    def _means(self, fit: DeepFit, some: slice) -> Wide:
        moved = (fit.coefficients.astype(float) @ self.regressors[:, some]).astype(np.int64)
        return moved_means(self.base[some], moved, self.low, self.high)


def _floating(weights: Floats) -> tuple[Ints, Ints]:
    """Mantissas of five bits with their sign, and exponents, of weights in 2^-14."""
    largest = MANTISSAS // 2 - 1
    exponents = np.zeros(len(weights), np.int32)
    for _ in range(EXPONENTS - 1):
        exponents += np.abs(np.ldexp(weights, -exponents)) >= largest + 0.5
    mantissas = np.clip(np.rint(np.ldexp(weights, -exponents)), -largest, largest)
    return mantissas.astype(np.int32), exponents


def _least_squares(rows: Floats, target: Floats, importance: Floats, damping: int) -> Floats:
    """The c (n,) that minimise the squares of importance * (target - c @ rows), a little damped."""
    unit = NORMAL_UNIT * importance
    normal = np.clip(np.rint(rows * unit), -MAX_NORMAL, MAX_NORMAL)
    aim = np.clip(np.rint(target * unit), -MAX_NORMAL, MAX_NORMAL)
    gram, right = normal @ normal.T, normal @ aim
    diagonal = np.arange(len(rows))
    gram[diagonal, diagonal] += np.floor(gram[diagonal, diagonal] / damping) + len(target)
    return solve(gram, right)
