"""By how much the linear parts that were found for an image move its means, for a search that comes after."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvpcodec.fit import plain_mean
from nvpcodec.layout import pixels_of, scale_sizes
from nvpcodec.phase_flow import Prediction
from nvpcodec.tables import SHIFT_UNIT


@dataclass(frozen=True)
class Moves:
    """Planes (P, h, w) for each scale of an image, finest first, in pixel steps; zero where no linear part
    is.
    """

    scales: Sequence[Tensor]

    @classmethod
    def none(cls, shape: tuple[int, ...], device: torch.device) -> "Moves":
        """Of an image's planes (P, H, W)."""
        planes, height, width = shape
        return cls([torch.zeros(planes, *size, device=device) for size in scale_sizes(height, width)])

    def note(self, prediction: Prediction, mean: Tensor, values: Tensor) -> None:
        """Those of one prediction, which was asked for `values` with this mean (h, w) in sixteenths."""
        moved = (mean - plain_mean(prediction)) / SHIFT_UNIT
        self.scales[prediction.level][(prediction.plane, *pixels_of(prediction.phase))] = moved
