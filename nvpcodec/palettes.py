"""Lists of colours as bytes: each colour less the one before it, deflated."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from nvpcodec.errors import DamagedFileError
from nvpcodec.inflate import inflated
from nvpcodec.pixels import Samples


def to_bytes(colours: Samples) -> bytes:
    """Colours (n, channels) as a raw deflate stream."""
    steps = np.diff(colours, axis=0, prepend=np.zeros_like(colours[:1]))
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    raw = steps.astype(steps.dtype.newbyteorder("<")).tobytes()
    return deflater.compress(raw) + deflater.flush()


def from_bytes(coded: bytes, shape: tuple[int, int], bit_depth: int) -> Samples:
    """Mirror image of `to_bytes`: colours of `shape` (n, channels).

    Raises
    ------
    DamagedFileError
        The stream is damaged or of another length, or a colour of one bit is neither 0 nor 1.
    """
    dtype: np.dtype[Any] = np.dtype("<u2" if bit_depth == 16 else "u1")
    expected_bytes = shape[0] * shape[1] * dtype.itemsize
    raw = inflated(coded, expected_bytes, "the palette of a region")
    steps = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
    colours: Samples = np.cumsum(steps, 0, steps.dtype)
    if bit_depth == 1 and colours.max() > 1:
        raise DamagedFileError("the palette of a region has a third colour; get a good copy of the file")
    return colours
