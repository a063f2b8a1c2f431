"""Regions that leave values out, as stretched contrasts do: the flow codes ranks among those that occur.

For each channel of colour 32 bytes, a bit for each of 256 values; mode and payload of the ranks
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nvpcodec.container import FLOW_MODES, RegionPart
from nvpcodec.errors import DamagedFileError

Bytes = NDArray[np.uint8]

TABLE_BYTES = 32
_VALUES = 8 * TABLE_BYTES
#: Bits that ranks must save of each sample, and for each bit of the tables, to be taken.
_FEWEST_BITS_A_SAMPLE = 1 / 256
_BITS_A_TABLE_BIT = 2


def pay(samples: Bytes) -> bool:
    """Whether ranks of uint8 (h, w, c) will take less than the samples.

    A value whose neighbours among those that occur are 2 s apart has room for s values: ranks save log2 s.
    The lowest and the highest, which clipping may have filled, count for nothing.
    """
    saved = 0.0
    for channel in np.moveaxis(samples, 2, 0):
        counts = np.bincount(channel.ravel(), minlength=_VALUES)
        values = np.flatnonzero(counts)
        room = (values[2:] - values[:-2]) / 2
        saved += float(counts[values[1:-1]] @ np.log2(room))
    tables = _BITS_A_TABLE_BIT * _VALUES * samples.shape[2]
    return bool(saved >= tables + _FEWEST_BITS_A_SAMPLE * samples.size)


def of(samples: Bytes) -> Bytes:
    """Each sample's place among the values that occur in its channel, uint8 (h, w, c)."""
    return _look_up((np.cumsum(_occurring(samples), 1) - 1).astype(np.uint8), samples)


def join(samples: Bytes, part: RegionPart) -> bytes:
    """The payload of samples (h, w, c), whose ranks are coded as `part`."""
    tables = np.packbits(_occurring(samples), bitorder="little").tobytes()
    return tables + bytes((part.mode,)) + part.payload


def split(payload: bytes, channels: int) -> tuple[list[Bytes], RegionPart]:
    """Mirror image of `join`: the values that occur in each channel, uint8 in rising order, and the coded
    ranks.

    Raises
    ------
    DamagedFileError
        The payload is cut, or holds no ranks.
    """
    end = channels * TABLE_BYTES
    if len(payload) <= end or payload[end] not in FLOW_MODES:
        raise DamagedFileError("a region of ranks holds none; get a good copy of the file")
    bits = np.unpackbits(np.frombuffer(payload[:end], np.uint8), bitorder="little")
    values = [np.flatnonzero(occurs).astype(np.uint8) for occurs in bits.reshape(channels, _VALUES)]
    return values, RegionPart(payload[end], payload[end + 1 :])


def values_of(values: list[Bytes], ranks: Bytes) -> Bytes:
    """The samples of ranks (h, w, c) among each channel's values.

    Raises
    ------
    DamagedFileError
        A rank stands for no value.
    """
    if any(largest >= len(known) for largest, known in zip(ranks.max((0, 1)), values, strict=True)):
        raise DamagedFileError("a rank stands for no value; get a good copy of the file")
    return _look_up(np.stack([np.resize(known, _VALUES) for known in values]), ranks)


def _occurring(samples: Bytes) -> NDArray[np.bool_]:
    """(c, 256): whether each value occurs in each channel."""
    occurs = np.zeros((samples.shape[2], _VALUES), np.bool_)
    for channel, found in enumerate(occurs):
        found[samples[..., channel]] = True
    return occurs


def _look_up(tables: Bytes, samples: Bytes) -> Bytes:
    """What each channel's table, one of (c, 256), has for samples (h, w, c)."""
    return np.stack([table[samples[..., c]] for c, table in enumerate(tables)], 2)
