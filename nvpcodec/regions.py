"""Cuts an image into regions: geometry only."""

from collections.abc import Iterator
from dataclasses import dataclass

#: Sides of a region are at most this where both sides of the image are longer; a region never has more pixels
#: than its square.
REGION_SIDE = 1024
#: The same, where drawings and photographs stand side by side.
MIXED_SIDE = 256


@dataclass(frozen=True)
class Region:
    """Half-open rectangle in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


#: Where an image is cut, cells have sides that are multiples of this: so the coarse scales of all cells, side
#: by side, are those of the image.
SIDE_MULTIPLE = 64


def region_size(height: int, width: int, side: int | None = None) -> tuple[int, int]:
    """Height and width of the cells that an encoder cuts an image into: few, and about equal.

    They have at most the pixels of a square of this side, REGION_SIDE unless told. An image with one short
    side gets longer cells along the other.
    """
    side = side or REGION_SIDE
    tall = _even_part(height, max(side, side**2 // min(width, side)))
    return tall, _even_part(width, side**2 // min(tall, side))


def _even_part(length: int, longest: int) -> int:
    if length <= longest:
        return length
    multiple = min(SIDE_MULTIPLE, longest)
    parts = -(-length // (longest - longest % multiple))
    return -(-length // (parts * multiple)) * multiple


def cut(height: int, width: int, region_height: int, region_width: int) -> Iterator[Region]:
    """All cells in raster order; the last row and column may be smaller."""
    for top in range(0, height, region_height):
        for left in range(0, width, region_width):
            yield Region(top, left, min(top + region_height, height), min(left + region_width, width))
