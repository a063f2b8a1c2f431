"""What a flow codes in place of colours: places in a scale of tones, or ranks among the values that occur."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from nvpcodec import ranks, tones
from nvpcodec.container import MODE_RANKS, MODE_TONES, RegionPart
from nvpcodec.ranks import Bytes


class StandIn(NamedTuple):
    """uint8 (h, w, c) for the flow, and what makes the region's part of the part that it is coded as."""

    samples: Bytes
    wrap: Callable[[RegionPart], RegionPart]


class Wrapped(NamedTuple):
    """The part that the flow coded, the channels of colour that it has, and what makes colours of these."""

    part: RegionPart
    channels: int
    colours: Callable[[Bytes], Bytes]


def find(samples: Bytes) -> StandIn:
    """What to code for colours uint8 (h, w, 1 or 3): themselves, if nothing is better."""
    if scale := tones.find(samples):
        return StandIn(scale.places, lambda p: RegionPart(MODE_TONES, tones.join(scale.colours, p)))
    if ranks.pay(samples):
        return StandIn(ranks.of(samples), lambda p: RegionPart(MODE_RANKS, ranks.join(samples, p)))
    return StandIn(samples, lambda p: p)


def unwrap(part: RegionPart, channels: int) -> Wrapped:
    """Mirror image of `find`, for a region of so many channels of colour.

    Raises
    ------
    DamagedFileError
        The payload does not begin as its mode says.
    """
    if part.mode == MODE_TONES:
        scale, part = tones.split(part.payload)
        return Wrapped(part, 1, partial(tones.colours_of, scale))
    if part.mode == MODE_RANKS:
        values, part = ranks.split(part.payload, channels)
        return Wrapped(part, channels, partial(ranks.values_of, values))
    return Wrapped(part, channels, lambda colours: colours)
