"""An image turned: the eight ways to look at it that leave a squeeze a squeeze.

A network sees each of them differently, so the mean of what it says in several is better than what it says
in one, as with an ensemble of networks. A reversal keeps the pixels of phase 0 in phase 0: it takes row y of
a scale to row 2 * g - y, g being the rows of the squeezed grid. That needs one more row of blocks; where it
has no pixel, the nearest one is repeated.
"""

from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from nvpcodec.layout import BELOW, RIGHT, Offsets


@dataclass(frozen=True)
class Orientation:
    """Rows and columns change places if `transposed`; then the order of rows (`down`) and that of columns
    (`across`) is reversed.
    """

    transposed: bool = False
    down: bool = False
    across: bool = False

    def phase(self, phase: int) -> int:
        """What a phase becomes."""
        return {RIGHT: BELOW, BELOW: RIGHT}.get(phase, phase) if self.transposed else phase

    def turn(self, x: Tensor, phase: int) -> Tensor:
        """Values (..., h, w) of a phase on the squeezed grid, turned: a row more if `down`, a column more if
        `across`.
        """
        turned = self.phase(phase)
        x = x.transpose(-1, -2) if self.transposed else x
        x = _reversed(x, -2, turned // 2) if self.down else x
        return _reversed(x, -1, turned % 2) if self.across else x

    def turn_back(self, x: Tensor, phase: int) -> Tensor:
        """Mirror image of `turn`: values of the phase that is `phase` when it is turned back."""
        turned = self.phase(phase)
        x = _restored(x, -1, turned % 2) if self.across else x
        x = _restored(x, -2, turned // 2) if self.down else x
        return x.transpose(-1, -2) if self.transposed else x

    def reversed_offsets(self, offsets: Offsets, phase: int, other: int) -> Offsets:
        """Where offsets in blocks, from a pixel of a phase to pixels of another, lead on a grid that is
        reversed and not transposed, as offsets on the one that is not.
        """
        down, across = -1 if self.down else 1, -1 if self.across else 1
        rows, columns = other // 2 - phase // 2, other % 2 - phase % 2
        return tuple(
            ((down * (2 * y + rows) - rows) // 2, (across * (2 * x + columns) - columns) // 2)
            for y, x in offsets
        )

    def on_grid(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features (B, C, H, W) of a coarser scale's turned blocks, taken apart into pixels, on the turned
        grid of a scale whose grid is h x w.
        """
        rows, columns = reversed(grid) if self.transposed else grid
        return features[..., _place(rows, self.down), _place(columns, self.across)]


#: A model of n orientations, 1, 2, 4 or 8, uses the first n: a half turn says more than a transposition.
ORIENTATIONS = tuple(
    Orientation(transposed, down, across)
    for mirrored in (False, True)
    for transposed in (False, True)
    for down, across in ((False, mirrored), (True, not mirrored))
)


class Views(Enum):
    """Which of its orientations a tuned model sees an image in: all, those that are not transposed, or only
    as it lies; or as it lies, beside the model as it was, which sees it in all.
    """

    ALL = auto()
    UPRIGHT = auto()
    ONE = auto()
    BESIDE = auto()


def orientations(count: int, views: Views = Views.ALL) -> tuple[Orientation, ...]:
    """Those that a model of so many uses in these views."""
    if views in (Views.ONE, Views.BESIDE):
        return ORIENTATIONS[:1]
    used = ORIENTATIONS[:count]
    return tuple(o for o in used if views is Views.ALL or not o.transposed)


def reversals(count: int) -> tuple[Orientation, ...]:
    """Those that a refinement in so many, 1, 2 or 4, uses: the first in which phase 1 stays before 2."""
    return tuple(o for o in ORIENTATIONS if not o.transposed)[:count]


def _reversed(x: Tensor, dim: int, odd: int) -> Tensor:
    """A pixel of an even row stays in its block's first row, so that its block is one further on."""
    x = x.flip(dim)
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, -1, 1)
    return torch.cat([x, last] if odd else [first, x], dim)


def _restored(x: Tensor, dim: int, odd: int) -> Tensor:
    return x.narrow(dim, 1 - odd, x.shape[dim] - 1).flip(dim)


def _place(blocks: int, mirrored: bool) -> slice:
    return slice(blocks % 2, blocks % 2 + blocks + 1) if mirrored else slice(blocks)
