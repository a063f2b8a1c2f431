"""Bands: a grid in pieces of some rows, so that what is made of them on the way fits a processor's caches.

Memory that is new to a process costs more than most of the arithmetic that fills it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

#: Places of a grid in one of its bands, about, by kind of device: a GPU wants much work at a time.
BAND_PLACES = {"cpu": 1 << 14, "cuda": 1 << 20}


@dataclass(frozen=True)
class Band:
    """Rows `top` to `bottom` of a grid, and those from `first` to `last` that they are made from."""

    top: int
    bottom: int
    first: int
    last: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def seen(self) -> slice:
        """The rows that it is made from."""
        return slice(self.first, self.last)

    @property
    def kept(self) -> slice:
        """Its rows among those that it is made from."""
        return slice(self.top - self.first, self.bottom - self.first)


def bands(height: int, width: int, reach: int, places: int) -> list[Band]:
    """Those of a grid, from top to bottom, of about so many places; each is made from up to `reach` rows more
    on both sides.
    """
    count = max(1, min(height, round(height * width / places)))
    edges = [height * i // count for i in range(count + 1)]
    return [
        Band(top, bottom, max(0, top - reach), min(height, bottom + reach)) for top, bottom in pairwise(edges)
    ]


def by_bands(
    device: torch.device, size: tuple[int, int], reach: int, make: Callable[[Band], list[Tensor]]
) -> list[Tensor]:
    """Tensors (..., h, w) of a grid of h x w places, from those (..., rows, w) that `make` makes of all rows
    that a band sees. A place must not depend on what is further away than `reach`.
    """
    height, width = size
    whole: list[Tensor] = []
    for band in bands(height, width, reach, BAND_PLACES[device.type]):
        made = make(band)
        whole = whole or [_room(part, height) for part in made]
        for grid, part in zip(whole, made, strict=True):
            grid[..., band.rows, :] = part[..., band.kept, :]
    return whole


def _room(part: Tensor, height: int) -> Tensor:
    """Memory for as many rows as there are, in the layout of some of them."""
    last = torch.channels_last
    layout = last if part.dim() == 4 and part.is_contiguous(memory_format=last) else torch.contiguous_format
    shape = (*part.shape[:-2], height, part.shape[-1])
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)
