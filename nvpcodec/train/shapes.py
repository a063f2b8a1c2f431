"""The shape of the base distribution at each scale index, fitted to what the integer model leaves over.

Training assumes a logistic. What the finished coder meets is narrower in the middle and heavier in the tails,
differently at each scale; a mixture of logistics of fixed width ratios takes that up, and costs nothing
because only its table is shipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nvpcodec.distribution import Distribution
from nvpcodec.model import Model
from nvpcodec.phase_coder import phase_coder
from nvpcodec.stack import Ints
from nvpcodec.tables import SCALE_MIN_LOG2, SCALE_STEPS_PER_OCTAVE, SCALES, SHIFT_UNIT

WIDTHS = 2.0 ** np.arange(-2, 2.5, 0.5)
EM_STEPS = 60
#: Symbols that one scale index borrows from each neighbour before its own count.
BORROWED = 4000
MAX_SAMPLES = 40000


@dataclass(frozen=True)
class Shapes:
    """Mixture weights (72, widths)."""

    weights: NDArray[np.float64]

    def cumulative(self, index: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cumulative function at `edges`, in units of the scale."""
        mixed: NDArray[np.float64] = _logistic(edges[:, None] / WIDTHS) @ self.weights[index]
        return mixed


def fit_shapes(model: Model, images: Iterable[Ints]) -> Shapes:
    """Shapes from the errors that the model makes on int32 planes (P, H, W); logistic where it makes none."""
    errors: list[list[NDArray[np.int64]]] = [[] for _ in range(SCALES)]

    def note(d: Distribution, x: Ints) -> None:
        inside = (x > d.low) & (x < d.high)
        error = (x * SHIFT_UNIT - d.mean).astype(np.int64)
        for index in np.unique(d.scale):
            errors[index].append(error[inside & (d.scale == index)])

    coder = phase_coder(model, torch.device("cpu"))
    for planes in images:
        coder.encode(planes, note)
    return Shapes(
        _smooth([_mixture(i, np.concatenate([*e, np.zeros(0, np.int64)])) for i, e in enumerate(errors)])
    )


def _mixture(index: int, errors: NDArray[np.int64]) -> tuple[int, NDArray[np.float64]]:
    """How many symbols there were, and the weights that expectation-maximisation gives them."""
    if not len(errors):
        return 0, np.where(WIDTHS == 1, 1.0, 0.0)
    weights = np.where(WIDTHS == 1, 1.0, 0.02)
    weights /= weights.sum()
    sample = errors[:: -(-len(errors) // MAX_SAMPLES)].astype(np.float64)
    widths = SHIFT_UNIT * 2 ** (index / SCALE_STEPS_PER_OCTAVE + SCALE_MIN_LOG2) * WIDTHS
    above, below = (sample[:, None] + 8) / widths, (sample[:, None] - 8) / widths
    masses = np.maximum(_logistic(above) - _logistic(below), 1e-9)
    for _ in range(EM_STEPS):
        shares = masses * weights
        weights = (shares / shares.sum(1, keepdims=True)).mean(0)
    return len(errors), weights


def _smooth(fitted: list[tuple[int, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Rarely seen indices borrow from their neighbours, forward and back."""
    weights = np.stack([w for _, w in fitted])
    for order in (range(1, SCALES), range(SCALES - 2, -1, -1)):
        step = order.step
        for i in order:
            own = fitted[i][0]
            weights[i] = (own * weights[i] + BORROWED * weights[i - step]) / (own + BORROWED)
    return weights


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
