"""Colours as a JPEG decoder makes them: only a quarter of all are, so the flow codes what they are made from.

    red   = Y + 1.402 Cr
    green = Y - 0.344136 Cb - 0.714136 Cr
    blue  = Y + 1.772 Cb

(ITU-T T.871, "JPEG File Interchange Format", section 7), with the integers and the rounding of libjpeg, which
nearly every program decodes with; Cb and Cr are less 128.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from nvpcodec import colour
from nvpcodec.container import FLOW_MODES, RegionPart
from nvpcodec.errors import DamagedFileError
from nvpcodec.ranks import Bytes
from nvpcodec.stack import Ints

#: Lowest and highest Y, Cb and Cr, (3, 1) each.
_LEGAL = np.array([[0, 255], [-128, 127], [-128, 127]], np.int32).T[..., None]

#: Red, green and blue from Y, Cb and Cr, and back, in 2^-16.
_BITS = 16
_TO_RGB = np.array([[65536, 0, 91881], [65536, -22554, -46802], [65536, 116130, 0]], np.int32)
_FROM_RGB = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]], np.int32)
#: So many pixels are looked at first: one in four of anything else has a colour that JPEG can make.
_LOOKED_AT = 2**10
#: By how much a channel that was cut at 0 or 255 is taken to have been beyond.
_BEYOND = (0, *(round(1.5**i) for i in range(12)))
#: Where to look around the nearest integers, the nearest first.
_NEAR = np.array(sorted(product((0, -1, 1), repeat=3), key=lambda offset: sum(map(abs, offset))), np.int32)


def to_colours(planes: Ints) -> Bytes:
    """uint8 (h, w, 3) of Y, Cb and Cr, int32 (3, h, w).

    Raises
    ------
    DamagedFileError
        They are out of range.
    """
    flat = planes.reshape(len(planes), -1)
    if not np.array_equal(flat, np.clip(flat, *_LEGAL)):
        raise DamagedFileError("a decoded colour lies out of range; get a good copy of the file")
    return np.ascontiguousarray(_rgb(flat).T).astype(np.uint8).reshape(*planes.shape[1:], 3)


def find(samples: Bytes) -> Ints | None:
    """Y, Cb and Cr, int32 (3, h, w), that uint8 samples (h, w, c) are made from, if all of them are."""
    if samples.shape[2] != len(_TO_RGB):
        return None
    colours = samples.reshape(-1, 3)
    if _sources(colours[:: 1 + len(colours) // _LOOKED_AT]) is None:
        return None
    _, first, places = np.unique(colour.keys(colours), return_index=True, return_inverse=True)
    sources = _sources(colours[first])
    return None if sources is None else sources[:, places].reshape(3, *samples.shape[:2])


def join(part: RegionPart) -> bytes:
    """The payload of what is coded as `part`."""
    return bytes((part.mode,)) + part.payload


def split(payload: bytes) -> RegionPart:
    """Mirror image of `join`.

    Raises
    ------
    DamagedFileError
        The payload is cut, or its mode is none of a flow's.
    """
    if not payload or payload[0] not in FLOW_MODES:
        raise DamagedFileError("a region of Y, Cb and Cr holds none; get a good copy of the file")
    return RegionPart(payload[0], payload[1:])


def _sources(colours: Bytes) -> Ints | None:
    """Y, Cb and Cr (3, n) of colours (n, 3), if all can be found."""
    wanted = colours.T.astype(np.int32)
    found = np.empty_like(wanted)
    left = np.arange(len(colours))
    for beyond in _BEYOND:
        for offset in _NEAR:
            target = wanted[:, left]
            uncut = np.where(target == 255, 255 + beyond, np.where(target == 0, -beyond, target))
            guess = np.clip(_times(_FROM_RGB, uncut) + offset[:, None], *_LEGAL)
            right = (_rgb(guess) == target).all(0)
            found[:, left[right]] = guess[:, right]
            left = left[~right]
            if not len(left):
                return found
        if not np.isin(wanted[:, left], (0, 255)).any(0).all():
            return None  # nothing was cut, so that there is nothing else to try
    return None


def _rgb(planes: Ints) -> Ints:
    """Red, green and blue (3, ...) of Y, Cb and Cr (3, ...)."""
    return np.clip(_times(_TO_RGB, planes), 0, 255)


def _times(matrix: Ints, channels: Ints) -> Ints:
    """Products of a matrix in 2^-16 and channels (3, ...), rounded."""
    products = np.tensordot(matrix, channels, 1)
    return (products + (1 << (_BITS - 1))) >> _BITS
