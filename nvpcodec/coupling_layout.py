"""Squeeze, masks and tiles of the RealNVP in its paper's form: index work only.

A squeeze (Dinh et al. 2017, "Density estimation using Real NVP", section 3.6) takes (..., C, H, W) to
(..., 4 C, H/2, W/2), phase by phase; the phases are numbered as in `layout`. A network never has to look at
masked zeros: the two phases of a checkerboard that a coupling keeps are channels of the squeezed grid, and so
are the two that it changes. So each coupling is a choice of half of the squeezed channels, and checkerboard
and channel-wise masks differ in nothing but that choice:

    checkerboard    phases 1 and 2 given 0 and 3, and the other way round
    channel-wise    the columns 1 and 3 given 0 and 2, and the other way round;
                    the chroma of phases 1, 2 and 3 given all else
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nvpcodec.layout import BELOW, DIAGONAL, KEPT, PHASES, RIGHT, pixels_of

COLOURS = 3
#: Scales of the flow. The last one factors nothing out.
COUPLING_SCALES = 3
#: Rows and columns of a tile are multiples of this.
TILE_UNIT = 1 << COUPLING_SCALES
LARGEST_TILE = 256
#: Pixels pushed before a tile for each of its own: a tile takes bits off the stack before it puts more on it.
PIXELS_BELOW = 2


@dataclass(frozen=True)
class Mask:
    """Channels of the squeezed grid that one coupling keeps and changes, both in ascending order."""

    kept: tuple[int, ...]
    changed: tuple[int, ...]


def scale_channels(scale: int) -> int:
    """Channels that a scale begins with, before its squeeze."""
    return COLOURS << scale


def masks(scale: int) -> tuple[Mask, ...]:
    """The couplings of one scale, in forward order."""
    channels = scale_channels(scale)
    black, white = _phases(channels, RIGHT, BELOW), _phases(channels, KEPT, DIAGONAL)
    if scale == COUPLING_SCALES - 1:
        return tuple(_mask(channels, changed) for changed in (black, white, black, white))
    left, right = _phases(channels, KEPT, BELOW), _phases(channels, RIGHT, DIAGONAL)
    chroma = {c for c in _phases(channels, RIGHT, BELOW, DIAGONAL) if colour(c)}
    return tuple(_mask(channels, changed) for changed in (black, white, black, right, left, chroma))


def factored(scale: int) -> Mask:
    """Channels that leave after a scale (as changed), and those that go on: the columns of phases 0 and 2."""
    channels = scale_channels(scale)
    if scale == COUPLING_SCALES - 1:
        return _mask(channels, set(range(PHASES * channels)))
    return _mask(channels, _phases(channels, RIGHT, DIAGONAL))


def colour(channel: int) -> int:
    """0 for luma, 1 and 2 for chroma, at every scale."""
    return channel % COLOURS


def latent_channels() -> Iterator[tuple[int, int]]:
    """(scale, channel of its squeezed grid) of all latents, in forward order."""
    for scale in range(COUPLING_SCALES):
        for channel in factored(scale).changed:
            yield scale, channel


def phase_views(x: Any) -> list[Any]:
    """The four phases of x (..., H, W), H and W even."""
    return [x[(..., *pixels_of(p))] for p in range(PHASES)]


@dataclass(frozen=True)
class Tile:
    """A rectangle of a region, coded on its own; `before` pixels are pushed earlier."""

    top: int
    left: int
    height: int
    width: int
    before: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns that are coded: whole units."""
        return tile_size(self.height, self.width)


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns that are coded of a tile of this size: whole units."""
    return _whole_units(height), _whole_units(width)


def coded_pixels(height: int, width: int) -> int:
    """Pixels that the tiles of a region cover, those beyond its edges included."""
    return _whole_units(height) * _whole_units(width)


def tiles(height: int, width: int, before: int = 0) -> list[Tile]:
    """Tiles of a region in the order in which they are pushed, onto a stack that holds `before` pixels.

    On an empty stack the first is small, because what it pops is lost. Three squares at a time double the
    side of the square that is covered, until a side is `LARGEST_TILE`; from then on, or from the beginning
    where the stack is not empty, there is a grid of such squares. A square that is too large for what lies
    below it is quartered.
    """
    found: list[Tile] = []
    squares = _grid(height, width) if before else _growing_squares(height, width)
    for top, left, side in squares:
        tile = Tile(top, left, min(side, height - top), min(side, width - left), before)
        before += _place(found, tile, side)
    return found


def _growing_squares(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Top, left and side of the squares that touch the region, small ones first."""
    side = TILE_UNIT
    yield 0, 0, side
    while side < LARGEST_TILE:
        for top, left in ((0, side), (side, 0), (side, side)):
            if top < height and left < width:
                yield top, left, side
        side *= 2
    for top, left, side in _grid(height, width):
        if top or left:
            yield top, left, side


def _grid(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Top, left and side of the largest squares that touch the region."""
    for top in range(0, height, LARGEST_TILE):
        for left in range(0, width, LARGEST_TILE):
            yield top, left, LARGEST_TILE


def _place(found: list[Tile], tile: Tile, side: int) -> int:
    """Append what lies in a square of this side, one tile or those of its quarters; returns its pixels."""
    pixels = coded_pixels(tile.height, tile.width)
    if side == TILE_UNIT or pixels * PIXELS_BELOW <= tile.before:
        found.append(tile)
        return pixels
    half, before = side // 2, tile.before
    for down in range(0, tile.height, half):
        for right in range(0, tile.width, half):
            height, width = min(half, tile.height - down), min(half, tile.width - right)
            before += _place(found, Tile(tile.top + down, tile.left + right, height, width, before), half)
    return before - tile.before


def _whole_units(length: int) -> int:
    return -(-length // TILE_UNIT) * TILE_UNIT


def _phases(channels: int, *phases: int) -> set[int]:
    return {phase * channels + c for phase in phases for c in range(channels)}


def _mask(channels: int, changed: set[int]) -> Mask:
    kept = set(range(PHASES * channels)) - changed
    return Mask(tuple(sorted(kept)), tuple(sorted(changed)))
