"""Grey regions that leave values out, as stretched contrasts do: the flow codes ranks among those that occur.

32 bytes, a bit for each of 256 values; mode and payload of the ranks
"""

from __future__ import annotations

import numpy as np

from nvpcodec.container import FLOW_MODES, RegionPart
from nvpcodec.errors import DamagedFileError
from nvpcodec.pixels import Samples

TABLE_BYTES = 32
#: Regions with a smaller share of the values between their extremes, and as many pixels, are worth a try.
_SPARSE = 0.7
_FEWEST_PIXELS = 4096


def are_worth_a_try(samples: Samples) -> bool:
    """Whether a grey region, uint8 (h, w, 1), leaves many values out, by more than chance."""
    used = np.unique(samples)
    return samples.size >= _FEWEST_PIXELS and len(used) < _SPARSE * (int(used[-1]) - int(used[0]) + 1)


def of(samples: Samples) -> Samples:
    """Each sample's place among the values that occur."""
    places = np.unique(samples, return_inverse=True)[1]
    return places.reshape(samples.shape).astype(np.uint8)


def join(samples: Samples, part: RegionPart) -> bytes:
    """The payload of `samples`, whose ranks are coded as `part`."""
    occurs = np.zeros(8 * TABLE_BYTES, np.bool_)
    occurs[samples] = True
    return np.packbits(occurs, bitorder="little").tobytes() + bytes((part.mode,)) + part.payload


def split(payload: bytes) -> tuple[Samples, RegionPart]:
    """Mirror image of `join`: the values that occur, uint8 in rising order, and the coded ranks.

    Raises
    ------
    DamagedFileError
        The payload is cut, or holds no ranks.
    """
    if len(payload) <= TABLE_BYTES or payload[TABLE_BYTES] not in FLOW_MODES:
        raise DamagedFileError("a region of ranks holds none; get a good copy of the file")
    table = np.frombuffer(payload[:TABLE_BYTES], np.uint8)
    values = np.flatnonzero(np.unpackbits(table, bitorder="little")).astype(np.uint8)
    return values, RegionPart(payload[TABLE_BYTES], payload[TABLE_BYTES + 1 :])


def values_of(ranks: Samples, values: Samples) -> Samples:
    """The samples of these ranks.

    Raises
    ------
    DamagedFileError
        A rank stands for no value.
    """
    if ranks.max() >= len(values):
        raise DamagedFileError("a rank stands for no value; get a good copy of the file")
    return values[ranks]
