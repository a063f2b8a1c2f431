"""What an encoder hears of an image while it codes it, for a search that comes after."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvpcodec.fit import plain_mean
from nvpcodec.layout import pixels_of, scale_sizes
from nvpcodec.phase_flow import Prediction
from nvpcodec.tables import ACTIVATION_UNIT, SHIFT_UNIT


@dataclass(frozen=True)
class Heard:
    """Of each scale of an image, finest first; zero where nothing was predicted.

    moves: (P, h, w), by how much linear parts move the means, in pixel steps
    words: (2, P, h, w), shift and log-scale as the networks say them
    """

    moves: Sequence[Tensor]
    words: Sequence[Tensor]

    @classmethod
    def nothing(cls, shape: tuple[int, ...], device: torch.device) -> "Heard":
        """Of an image's planes (P, H, W)."""
        planes, height, width = shape
        sizes = scale_sizes(height, width)
        return cls(
            [torch.zeros(planes, *size, device=device) for size in sizes],
            [torch.zeros(2, planes, *size, device=device) for size in sizes],
        )

    def note(self, prediction: Prediction, mean: Tensor, values: Tensor) -> None:
        """One prediction, which was asked for `values` with this mean (h, w) in sixteenths."""
        pixels = prediction.plane, *pixels_of(prediction.phase)
        self.moves[prediction.level][pixels] = (mean - plain_mean(prediction)) / SHIFT_UNIT
        self.words[prediction.level][(slice(None), *pixels)] = prediction.words / ACTIVATION_UNIT
