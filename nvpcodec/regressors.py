"""Known differences around each pixel, for the linear part of a shift, kept as the windows that they are.

The rows are never laid out side by side: a weighted sum and a sample of them is all that a fit needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvpcodec.layout import HERE, MARGIN, Offsets


@dataclass(frozen=True)
class Source:
    """Integer-valued float32 planes (n, h, w), seen at offsets (down, right) of at most one position.

    Where an offset leads beyond the planes they count as zero.
    """

    planes: Tensor
    offsets: Offsets = HERE


class Regressors:
    """Rows (n, h, w) in quarter pixel steps: for each source and offset, each of the source's planes."""

    def __init__(self, sources: Sequence[Source], size: tuple[int, int]) -> None:
        self.size = size
        self._count = sum(len(s.planes) * len(s.offsets) for s in sources)
        self._sources = [
            (s.planes if s.offsets == HERE else torch.nn.functional.pad(s.planes, (MARGIN,) * 4), s.offsets)
            for s in sources
        ]

    def __len__(self) -> int:
        return self._count

    def rows(self) -> Tensor:
        """All of them, float32 (n, h, w)."""
        return torch.cat(list(self._windows()))

    def sample(self, stride: int) -> Tensor:
        """Every `stride`-th position in raster order, float32 (n, samples)."""
        return torch.cat([window.flatten(1)[:, ::stride] for window in self._windows()])

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """float32 (h, w) of weights (n,); exact where no sum of its products can reach 2^24."""
        total = weights.new_zeros(self.size)
        done = 0
        for window in self._windows():
            total += torch.tensordot(weights[done : done + len(window)], window, 1)
            done += len(window)
        return total

    def _windows(self) -> Iterator[Tensor]:
        height, width = self.size
        for planes, offsets in self._sources:
            margin = 0 if offsets == HERE else MARGIN
            for down, right in offsets:
                top, left = margin + down, margin + right
                yield planes[:, top : top + height, left : left + width]
