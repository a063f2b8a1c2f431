"""Chunks of arrays as bytes: one image is a .nvp file as it is, everything else several behind a table.

    magic      4 bytes   8e 4e 56 53
    flags      u8        bit 0: the array is in Fortran order; bit 1: its 16-bit samples are big-endian
    axes       varint    number of leading axes
    lengths    varint    of each leading axis
    bytes      varint    of each image, in C order of the leading axes
    images               .nvp files, one after another

docs/integrations.md is the normative text.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nvpcodec import container
from nvpcodec.api import decode as decode_image
from nvpcodec.api import encode as encode_image
from nvpcodec.errors import DamagedFileError, FormatError, ImageTooLargeError, UnsupportedImageError
from nvpcodec.options import MAX_CHANNELS, Options

#: uint8 or uint16.
Chunk = NDArray[np.unsignedinteger[Any]]

MAGIC = b"\x8eNVS"
MAX_LEADING_AXES = 30

_FORTRAN, _BIG_ENDIAN = 1, 2
_FLAGS = _FORTRAN | _BIG_ENDIAN


@dataclass(frozen=True)
class _Table:
    """What stands before the images of a chunk; ``images`` are the bytes of each."""

    flags: int
    leading: tuple[int, ...]
    images: tuple[memoryview, ...]


def check(dtype: np.dtype[np.generic], axes: int) -> None:
    """Refuse arrays that no chunk can hold.

    Raises
    ------
    UnsupportedImageError
        ``dtype`` is neither uint8 nor uint16, or there are fewer than two axes.
    """
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise UnsupportedImageError(f"the array has dtype {dtype}; nvpcodec codes uint8 and uint16")
    if not 2 <= axes <= MAX_LEADING_AXES:
        raise UnsupportedImageError(
            f"the array has {axes} axes; nvpcodec codes (..., H, W) and (..., H, W, C) with 1 to 4 channels"
        )


def encode(array: NDArray[np.generic], options: Options) -> bytes:
    """The array, uint8 or uint16 (..., H, W) or (..., H, W, C), as the bytes of a chunk.

    With three axes or more, a last one of 1 to 4 entries is that of the channels.

    Raises
    ------
    UnsupportedImageError
        The array has another dtype, fewer axes, or no sample.
    ImageTooLargeError, ModelError, DeviceError
        As for ``nvpcodec.encode``.
    """
    check(array.dtype, array.ndim)
    if array.size == 0:
        raise UnsupportedImageError(f"the array has shape {array.shape}: there is nothing in it to code")
    flags = _FORTRAN * (array.flags.f_contiguous and not array.flags.c_contiguous)
    flags |= _BIG_ENDIAN * _is_big_endian(array.dtype)
    leading = array.shape[: -_image_axes(array.shape)]
    if not leading and not flags:
        return encode_image(array, options=options)
    stack = array.reshape(-1, *array.shape[len(leading) :])
    images = [encode_image(image, options=options) for image in stack]
    numbers = (len(leading), *leading, *map(len, images))
    table = b"".join(container.varint_to_bytes(number) for number in numbers)
    return b"".join((MAGIC, bytes([flags]), table, *images))


def decode(data: bytes | memoryview, options: Options) -> Chunk:
    """The array in the bytes of a chunk; (H, W, 1) comes back as (H, W).

    Raises
    ------
    FormatError
        They are no chunk; DamagedFileError if it was cut or changed, UnknownModelError if it was coded with
        another model.
    ImageTooLargeError
        All images together have more pixels than ``options.max_pixels``.
    """
    view = memoryview(data)
    table = _parse(view) if view[: len(MAGIC)] == MAGIC else _Table(0, (), (view,))
    shape, dtype = _common_form(table.images, options)
    stack: Chunk = np.empty((len(table.images), *shape), dtype)
    for place, image in zip(stack, table.images, strict=True):
        place[...] = decode_image(image, options=options)
    array = stack.reshape(*table.leading, *shape)
    if table.flags & _BIG_ENDIAN:
        array = array.astype(array.dtype.newbyteorder(">"), copy=False)
    return np.asfortranarray(array) if table.flags & _FORTRAN else array


def _image_axes(shape: tuple[int, ...]) -> int:
    """How many of the last axes make an image."""
    return 3 if len(shape) > 2 and shape[-1] <= MAX_CHANNELS else 2


def _is_big_endian(dtype: np.dtype[np.generic]) -> bool:
    return dtype.byteorder == ">" or (
        dtype.byteorder == "=" and dtype.itemsize > 1 and sys.byteorder == "big"
    )


def _parse(view: memoryview) -> _Table:
    """The table and, cut by it, the images."""
    if len(view) == len(MAGIC):
        raise DamagedFileError("the chunk was cut within its table; get a complete copy")
    flags = view[len(MAGIC)]
    if flags & ~_FLAGS:
        raise FormatError(f"the chunk has the flags {flags:#x}, some of them unknown; use a newer nvpcodec")
    count, position = container.varint_from_bytes(view, len(MAGIC) + 1)
    if count > MAX_LEADING_AXES:
        raise DamagedFileError(f"the chunk claims {count} leading axes; get a good copy")
    leading = []
    for _ in range(count):
        length, position = container.varint_from_bytes(view, position)
        leading.append(length)
    images = math.prod(leading)
    if not 0 < images <= len(view) - position:
        raise DamagedFileError(f"the chunk claims {images} images, which do not fit in it; get a good copy")
    lengths = []
    for _ in range(images):
        length, position = container.varint_from_bytes(view, position)
        lengths.append(length)
    if sum(lengths) != len(view) - position:
        raise DamagedFileError(
            f"the chunk has {len(view) - position} bytes of images, its table says {sum(lengths)}; "
            "get a complete copy"
        )
    ends = np.cumsum([position, *lengths]).tolist()
    parts = tuple(view[start:end] for start, end in pairwise(ends))
    return _Table(flags, tuple(leading), parts)


def _common_form(
    images: tuple[memoryview, ...], options: Options
) -> tuple[tuple[int, ...], type[np.uint8] | type[np.uint16]]:
    """Shape and dtype that all images have, from their headers alone."""
    headers = [container.parse_header(image) for image in images]
    forms = {(header.kind, header.bit_depth, header.height, header.width) for header in headers}
    if len(forms) > 1:
        raise DamagedFileError("the images of the chunk differ in shape or depth; get a good copy")
    kind, bit_depth, height, width = forms.pop()
    if kind not in container.FLOW_KINDS:
        raise FormatError("the chunk holds an image with a palette or of one bit, which no array is coded as")
    pixels = height * width * len(images)
    if pixels > options.max_pixels:
        raise ImageTooLargeError(
            f"the chunk has {pixels} pixels, the limit is {options.max_pixels}; raise the limit to decode it"
        )
    channels = container.CHANNELS[kind]
    shape = (height, width) if channels == 1 else (height, width, channels)
    return shape, np.uint16 if bit_depth == 16 else np.uint8
