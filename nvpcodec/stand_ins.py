"""What a flow codes in place of colours: places in a scale of tones, what a JPEG decoder made them from, or
ranks among the values that occur.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nvpcodec import colour, ranks, tones, ycbcr
from nvpcodec.container import MODE_RANKS, MODE_TONES, MODE_YCBCR, RegionPart
from nvpcodec.ranks import Bytes
from nvpcodec.stack import Ints


class StandIn(NamedTuple):
    """Planes int32 (P, h, w), and what makes the region's part of the part that the flow codes them as."""

    planes: Ints
    wrap: Callable[[RegionPart], RegionPart]


class Wrapped(NamedTuple):
    """The part that the flow coded, its number of planes, and what makes colours uint8 (h, w, c) of these."""

    part: RegionPart
    planes: int
    colours: Callable[[Ints], Bytes]


def find(samples: Bytes) -> StandIn:
    """What to code for colours uint8 (h, w, 1 or 3): their own planes, if nothing is better."""
    if scale := tones.find(samples):
        places = colour.to_planes(scale.places)
        return StandIn(places, lambda p: RegionPart(MODE_TONES, tones.join(scale.colours, p)))
    if (sources := ycbcr.find(samples)) is not None:
        return StandIn(sources, lambda p: RegionPart(MODE_YCBCR, ycbcr.join(p)))
    if ranks.pay(samples):
        planes = colour.to_planes(ranks.of(samples))
        return StandIn(planes, lambda p: RegionPart(MODE_RANKS, ranks.join(samples, p)))
    return StandIn(colour.to_planes(samples), lambda p: p)


def unwrap(part: RegionPart, channels: int) -> Wrapped:
    """Mirror image of `find`, for a region of so many channels of colour.

    Raises
    ------
    DamagedFileError
        The payload does not begin as its mode says.
    """
    if part.mode == MODE_TONES:
        scale, part = tones.split(part.payload)
        return Wrapped(part, 1, lambda planes: tones.colours_of(scale, colour.from_planes(planes)))
    if part.mode == MODE_YCBCR:
        return Wrapped(ycbcr.split(part.payload), channels, ycbcr.to_colours)
    if part.mode == MODE_RANKS:
        values, part = ranks.split(part.payload, channels)
        return Wrapped(part, channels, lambda planes: ranks.values_of(values, colour.from_planes(planes)))
    return Wrapped(part, channels, colour.from_planes)
