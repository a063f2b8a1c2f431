"""YCoCg-R, a reversible colour transform (Malvar and Sullivan 2003, "YCoCg-R: A color space with RGB
reversibility").
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nvpcodec.errors import DamagedFileError

Channel = TypeVar("Channel", bound=Any)


def to_planes(samples: NDArray[np.uint8]) -> NDArray[np.int32]:
    """uint8 (H, W, 1 or 3) as int32 planes (P, H, W): Y in 0 ... 255, Co and Cg in -255 ... 255."""
    channels = np.moveaxis(samples, 2, 0).astype(np.int32)
    if len(channels) == 1:
        return channels
    return np.stack(ycocg(*channels))


def keys(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """One number (...) for each red, green and blue (..., 3)."""
    numbers: NDArray[np.uint32] = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return numbers


def ycocg(red: Channel, green: Channel, blue: Channel) -> tuple[Channel, Channel, Channel]:
    """Y, Co and Cg of integer channels, arrays or tensors."""
    co = red - blue
    middle = blue + (co >> 1)
    cg = green - middle
    return middle + (cg >> 1), co, cg


def from_planes(planes: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Mirror image of `to_planes`.

    Raises
    ------
    DamagedFileError
        The planes are those of no 8-bit image.
    """
    channels = planes if len(planes) == 1 else np.stack(rgb(*planes))
    if channels.min() < 0 or channels.max() > 255:
        raise DamagedFileError("a decoded colour lies outside 0 ... 255; get a good copy of the file")
    return np.ascontiguousarray(np.moveaxis(channels, 0, 2)).astype(np.uint8)


def rgb(y: Channel, co: Channel, cg: Channel) -> tuple[Channel, Channel, Channel]:
    """Mirror image of `ycocg`."""
    middle = y - (cg >> 1)
    blue = middle - (co >> 1)
    return blue + co, cg + middle, blue
