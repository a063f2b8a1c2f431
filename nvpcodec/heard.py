"""What an encoder hears of an image while it codes it, for a search that comes after."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec.fit import plain_mean
from nvpcodec.layout import pixels_of, scale_sizes
from nvpcodec.network import CouplingNetwork
from nvpcodec.phase_flow import Prediction
from nvpcodec.phase_view import View
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


@dataclass(frozen=True)
class Remembered:
    """A voice that says again what was heard of an image, without a look at it.

    words: of each scale, finest first, as in `Heard`
    """

    words: Sequence[Tensor]

    @property
    def looks(self) -> int:
        return 0

    def views(self, _level: int, _grid: tuple[int, int], _handed: Sequence[Tensor | None]) -> list[View]:
        return []

    def networks(self, _level: int, _coupling: int) -> list[CouplingNetwork]:
        return []

    def agreed(self, _said: list[Tensor], level: int, phase: int, plane: int) -> Tensor:
        """Zero outside of the image, where nobody asks."""
        heard = self.words[level][(slice(None), plane, *pixels_of(phase))] * ACTIVATION_UNIT
        height, width = self.words[level + 1].shape[-2:]
        return F.pad(heard, (0, width - heard.shape[-1], 0, height - heard.shape[-2]))
