"""Colour regions of one scale of tones, as sepia and colour maps are: the flow codes places in it, as grey.

number of tones, their colours, mode and payload of the places
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nvpcodec import colour, palettes
from nvpcodec.container import FLOW_MODES, RegionPart, varint_from_bytes, varint_to_bytes
from nvpcodec.errors import DamagedFileError
from nvpcodec.ranks import Bytes

MAX_TONES = 256
#: Steps of red, green and blue from the darkest tone to the brightest, one after another: three times 255 if
#: all three rise. More than this is no scale, but a heap of colours.
_LONGEST_WAY = 2048
#: With fewer pixels a tone than this, the list of tones costs more than it saves.
_PIXELS_A_TONE = 16
_LUMA = np.array([1, 2, 1])
_LOOKED_AT = 2**12


class Scale(NamedTuple):
    """uint8 colours (n, 3), the darkest first, and places among them (h, w, 1)."""

    colours: Bytes
    places: Bytes


def find(samples: Bytes) -> Scale | None:
    """The tone scale of uint8 (h, w, c), if it is of one."""
    if samples.shape[2] != len(_LUMA):
        return None
    keys = colour.keys(samples)
    if len(np.unique(keys.ravel()[:: 1 + keys.size // _LOOKED_AT])) > MAX_TONES:
        return None
    found, first, places = np.unique(keys, return_index=True, return_inverse=True)
    if len(found) > min(MAX_TONES, keys.size // _PIXELS_A_TONE):
        return None
    colours = samples.reshape(-1, len(_LUMA))[first]
    order = np.argsort(colours.astype(np.int64) @ _LUMA, kind="stable")
    colours = colours[order]
    if np.abs(np.diff(colours.astype(np.int64), axis=0)).sum() > _LONGEST_WAY:
        return None
    rank = np.empty(len(order), np.uint8)
    rank[order] = np.arange(len(order))
    return Scale(colours, rank[places].reshape(*keys.shape, 1))


def join(colours: Bytes, part: RegionPart) -> bytes:
    """The payload of tones (n, 3), whose places are coded as `part`."""
    palette = palettes.to_bytes(colours)
    numbers = varint_to_bytes(len(colours)) + varint_to_bytes(len(palette))
    return numbers + palette + bytes((part.mode,)) + part.payload


def split(payload: bytes) -> tuple[Bytes, RegionPart]:
    """Mirror image of `join`.

    Raises
    ------
    DamagedFileError
        The payload is cut, or holds no tones.
    """
    count, position = varint_from_bytes(payload, 0)
    length, position = varint_from_bytes(payload, position)
    end = position + length
    if not 0 < count <= MAX_TONES or end >= len(payload) or payload[end] not in FLOW_MODES:
        raise DamagedFileError("a region of tones holds none; get a good copy of the file")
    colours = palettes.from_bytes(payload[position:end], (count, len(_LUMA)), 8)
    return colours.astype(np.uint8, copy=False), RegionPart(payload[end], payload[end + 1 :])


def colours_of(colours: Bytes, places: Bytes) -> Bytes:
    """The samples (h, w, 3) of places (h, w, 1) among colours (n, 3).

    Raises
    ------
    DamagedFileError
        A place is beyond the tones.
    """
    if places.max() >= len(colours):
        raise DamagedFileError("a place is beyond the tones; get a good copy of the file")
    return colours[places[..., 0]]
