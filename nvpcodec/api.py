"""The calls that most programs need: arrays to bytes, arrays to files, and back.

Nothing heavy is imported before a function here needs it.

The arrays are uint8 or uint16 of shape (H, W), (H, W, 2), (H, W, 3) or (H, W, 4): grey, grey and alpha, RGB,
RGBA; or bool (H, W).  (H, W, 1) is taken too and comes back as (H, W).  Everything else comes back exactly as
it went in.  Files made from image files may hold palettes; arrays show these as the RGB or RGBA they mean.

Where a path is asked for, any URL that fsspec knows will do: s3://bucket/a.nvp, memory://a.nvp.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nvpcodec.errors import InputError, UnsupportedImageError
from nvpcodec.options import Options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nvpcodec.fileinfo import FileInfo
    from nvpcodec.pixels import Image

    Array: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.bool_]

#: A path, or a URL as a string.
PathLike: TypeAlias = str | os.PathLike[str]


def encode(array: npt.ArrayLike, *, options: Options | None = None) -> bytes:
    """The bytes of a .nvp file that holds ``array``.

    Raises
    ------
    UnsupportedImageError
        ``array`` has a dtype or a shape other than those above, or no pixel.
    ImageTooLargeError
        It has more than ``options.max_pixels`` pixels.
    ModelError, DeviceError
        The model or the device that ``options`` name cannot be used.

    Examples
    --------
    >>> data = nvpcodec.encode(array)
    >>> np.array_equal(nvpcodec.decode(data), array)
    True
    """
    from nvpcodec import codec

    image = _image_of_array(array)
    options = options or Options()
    _check_size(image, options)
    return codec.encode_image(image, options)


def decode(data: bytes | bytearray | memoryview, *, options: Options | None = None) -> Array:
    """The array in the bytes of a .nvp file.

    Raises
    ------
    FormatError
        ``data`` is no .nvp file; DamagedFileError if it was cut or changed, UnsupportedVersionError or
        UnknownModelError if it takes a newer program or another model.
    ImageTooLargeError
        It has more pixels or samples than ``options`` allow.
    """
    from nvpcodec import codec

    return _array_of_image(codec.decode_image(_to_bytes(data), options or Options()))


def write(
    path: PathLike, array: npt.ArrayLike, *, options: Options | None = None, overwrite: bool = False
) -> None:
    """Encode ``array`` into the file at ``path``, which is complete or untouched whatever happens.

    ``path`` may be a URL; of it that is true as far as its store can do it.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OutputError
        It cannot be written.
    InputError, ModelError, DeviceError
        As for ``encode``.
    """
    from nvpcodec import storage

    storage.check_target(path, overwrite=overwrite)
    storage.write(path, encode(array, options=options), overwrite=overwrite)


def read(path: PathLike, *, options: Options | None = None) -> Array:
    """The array in the .nvp file at ``path``, which may be a URL.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    FormatError, ImageTooLargeError
        As for ``decode``.
    """
    from nvpcodec import storage

    return decode(storage.read(path), options=options)


def info(source: bytes | bytearray | memoryview | PathLike) -> FileInfo:
    """What the bytes of a .nvp file, or the file at a path, say about themselves; no torch is needed.

    Of a large object at a URL only the head is fetched, so its payloads are not compared with its checksum.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    FormatError
        It is no .nvp file; DamagedFileError if it was cut or changed.
    """
    from nvpcodec import fileinfo

    if isinstance(source, str | os.PathLike):
        return _info_at(source)
    return fileinfo.describe(_to_bytes(source))


def _info_at(place: PathLike) -> FileInfo:
    from nvpcodec import fileinfo, files, storage, urls

    located = storage.locate(place)
    if isinstance(located, Path):
        return fileinfo.describe(files.read(located))
    size = urls.size(located)
    if size is None:
        return fileinfo.describe(urls.read(located))
    return fileinfo.describe_stored(lambda count: urls.read_head(located, count), size)


def _to_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"the data must be bytes, not {type(data).__name__}")
    return bytes(data)


def _check_size(image: Image, options: Options) -> None:
    from nvpcodec.pixels import check_size

    check_size(image.width, image.height, options.max_pixels)


def _image_of_array(array: Any) -> Image:
    """The record of an array of one of the shapes and dtypes above."""
    import numpy as np

    from nvpcodec.pixels import Image, Kind

    samples = np.asarray(array)
    if samples.dtype == np.bool_ and samples.ndim == 2:
        return Image(np.ascontiguousarray(samples[..., None], dtype=np.uint8), Kind.BILEVEL)
    if samples.ndim == 2:
        samples = samples[..., None]
    kinds = {1: Kind.GREY, 2: Kind.GREY_ALPHA, 3: Kind.RGB, 4: Kind.RGBA}
    if samples.ndim != 3 or samples.shape[2] not in kinds:
        raise UnsupportedImageError(
            f"the array has shape {np.shape(array)}; use (H, W) or (H, W, C) with 1 to 4 channels"
        )
    kind = kinds[samples.shape[2]]
    if samples.dtype == np.uint8:
        return Image(np.ascontiguousarray(samples, dtype=np.uint8), kind)
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return Image(np.ascontiguousarray(samples, dtype=np.uint16), kind)
    raise UnsupportedImageError(f"the array has dtype {samples.dtype}; use uint8, uint16, or bool for (H, W)")


def _array_of_image(image: Image) -> Array:
    """What ``image`` shows as an array; a single transparent colour has no place in it."""
    import numpy as np

    from nvpcodec.pixels import Kind

    if image.kind is Kind.PALETTE:
        return _look_up_palette(image)
    if image.kind is Kind.BILEVEL:
        return image.samples[..., 0].astype(np.bool_)
    return image.samples[..., 0] if image.kind is Kind.GREY else image.samples


def _look_up_palette(image: Image) -> npt.NDArray[np.uint8]:
    """RGB, or RGBA if the palette has transparency; indices beyond the palette are black."""
    import numpy as np

    from nvpcodec.pixels import MAX_PALETTE

    colours = np.zeros((MAX_PALETTE, 4), np.uint8)
    colours[:, 3] = 255
    palette = np.frombuffer(image.palette or b"", np.uint8).reshape(-1, 3)
    colours[: len(palette), :3] = palette
    alpha = np.frombuffer(image.transparency or b"", np.uint8)
    colours[: len(alpha), 3] = alpha
    channels = 3 if image.transparency is None else 4
    return colours[image.samples[..., 0], :channels]
