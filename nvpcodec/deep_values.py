"""Which values deep samples take: an offset, or a list where they leave gaps, so that they can be counted.

What was 12 bits and is stretched to 16, or has been through a table, takes few of the values that it could.
The values, in ascending order, are numbered from 0: these numbers are coded.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nvpcodec.container import varint_from_bytes, varint_to_bytes
from nvpcodec.errors import DamagedFileError
from nvpcodec.fixedpoint import COST_UNIT
from nvpcodec.inflate import inflated
from nvpcodec.wide_symbols import Wide, scale_index

MAX_VALUE = 65535
#: Sixths of an octave, in which differences are compared.
_STEP = COST_UNIT // 6
_COMPARED = 1 << 18


@dataclass(frozen=True)
class Values:
    """`count` values from `lowest` on: all, or those of `values`, uint16, ascending, the first the lowest."""

    lowest: int
    count: int
    values: NDArray[np.uint16] | None = None

    def numbers(self, samples: NDArray[np.uint16]) -> Wide:
        """The number of each sample's value."""
        if self.values is None:
            return samples.astype(np.int64) - self.lowest
        return np.searchsorted(self.values, samples).astype(np.int64)

    def samples(self, numbers: Wide) -> NDArray[np.uint16]:
        """Mirror image of `numbers`.

        Raises
        ------
        DamagedFileError
            A number stands for no value.
        """
        if numbers.min() < 0 or numbers.max() >= self.count:
            raise DamagedFileError("a decoded sample has none of the values listed; get a good copy")
        if self.values is None:
            return (numbers + self.lowest).astype(np.uint16)
        return self.values[numbers]

    def to_bytes(self) -> bytes:
        gaps = b"" if self.values is None else _deflated(np.diff(self.values).astype("<u2").tobytes())
        return b"".join(varint_to_bytes(n) for n in (self.lowest, self.count, len(gaps))) + gaps


def find_values(samples: NDArray[np.uint16]) -> Values:
    """A list if numbers of values are so much closer to each other than values that it pays for itself."""
    used = np.flatnonzero(np.bincount(samples.reshape(-1), minlength=MAX_VALUE + 1)).astype(np.uint16)
    lowest, highest = int(used[0]), int(used[-1])
    plain = Values(lowest, highest - lowest + 1)
    listed = Values(lowest, len(used), used)
    if len(used) == plain.count:
        return plain
    saved = roughness(plain.numbers(samples)) - roughness(listed.numbers(samples))
    return listed if saved > 8 * COST_UNIT * len(listed.to_bytes()) else plain


def values_from_bytes(data: bytes) -> tuple[Values, int]:
    """The values that a payload begins with, and where they end.

    Raises
    ------
    DamagedFileError
        There are none, or some beyond 65535.
    """
    lowest, at = varint_from_bytes(data, 0)
    count, at = varint_from_bytes(data, at)
    length, at = varint_from_bytes(data, at)
    if count < 1 or lowest + count - 1 > MAX_VALUE or at + length > len(data):
        raise DamagedFileError("the values of a deep region are not there; get a good copy")
    if not length:
        return Values(lowest, count), at
    gaps = inflated(data[at : at + length], 2 * (count - 1), "the list of values of a deep region")
    steps = np.frombuffer(gaps, "<u2").astype(np.int64)
    values = lowest + np.concatenate([[0], np.cumsum(steps)])
    if (steps == 0).any() or values[-1] > MAX_VALUE:
        raise DamagedFileError("the values of a deep region do not ascend to 65535; get a good copy")
    return Values(lowest, count, values.astype(np.uint16)), at + length


def roughness(numbers: Wide) -> int:
    """About how many bits the differences of neighbours in rows of (h, w, c) take, in 1/256 bit."""
    stride = max(1, numbers.size // _COMPARED)
    differences = np.abs(np.diff(numbers[::stride], axis=1)) + 1
    # Scales are in 2^-14 steps: index 0 is 2^9.
    return stride * _STEP * int(scale_index(differences << 9).sum())


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return deflater.compress(data) + deflater.flush()
