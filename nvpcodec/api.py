"""The calls that most programs need: arrays to bytes, arrays to files, and back.

Nothing heavy is imported before a function here needs it.

The arrays are uint8 or uint16 of shape (H, W), (H, W, 2), (H, W, 3) or (H, W, 4): grey, grey and alpha, RGB,
RGBA; or bool (H, W).  (H, W, 1) is taken too and comes back as (H, W).  Everything else comes back exactly as
it went in.  Any strides will do, and anything that NumPy takes as such an array: memoryviews with a shape,
and torch tensors on any device.  Files made from image files may hold palettes; arrays show these as the RGB
or RGBA they mean.

Where a path is asked for, any URL that fsspec knows will do: s3://bucket/a.nvp, memory://a.nvp.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nvpcodec.errors import InputError
from nvpcodec.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import torch

    from nvpcodec.arrays import Array
    from nvpcodec.fileinfo import FileInfo
    from nvpcodec.pixels import Image
    from nvpcodec.scores import Score
    from nvpcodec.sources import Readable

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
    from nvpcodec import arrays, codec

    image = arrays.to_image(array)
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
    from nvpcodec import arrays, codec

    return arrays.from_image(codec.decode_image(_to_bytes(data), options or Options()))


def decode_tensor(
    data: bytes | bytearray | memoryview,
    *,
    device: str | torch.device = "cpu",
    options: Options | None = None,
) -> torch.Tensor:
    """What ``decode`` gives, as a torch tensor on ``device``; raises as ``decode`` does."""
    import torch

    return torch.from_numpy(decode(data, options=options)).to(device)


def encode_batch(
    arrays: Iterable[npt.ArrayLike], *, options: Options | None = None, jobs: int = 1
) -> list[bytes]:
    """``encode`` of each array, ``jobs`` at a time in threads; each gets the bytes that it gets alone.

    Raises
    ------
    NvpError
        As for ``encode``, for the first array that fails.
    """
    from nvpcodec import batches

    return batches.run(lambda array: encode(array, options=options), arrays, jobs)


def decode_batch(
    files: Iterable[bytes | bytearray | memoryview], *, options: Options | None = None, jobs: int = 1
) -> list[Array]:
    """``decode`` of each file, ``jobs`` at a time in threads.

    Raises
    ------
    NvpError
        As for ``decode``, for the first file that fails.
    """
    from nvpcodec import batches

    return batches.run(lambda data: decode(data, options=options), files, jobs)


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


def read_region(source: Readable, box: tuple[int, int, int, int], *, options: Options | None = None) -> Array:
    """The pixels of ``box``, (top, left, bottom, right): ``read(source)[top:bottom, left:right]``.

    Only the header and the regions that the box touches are read and decoded; an image of up to 1024x1024
    pixels is one region.  ``source`` is a path, a URL, bytes, or a binary file that can seek.

    The header's checksum is compared, but not those of the file and of all its pixels, for which everything
    would have to be read.  Regions that a model codes tell nearly every change all the same: the decoder must
    end with nothing left over.  Plain regions are as safe as deflate and LZMA are without checksums.

    Raises
    ------
    InputError
        ``source`` cannot be read, or the box does not lie in the image; ImageTooLargeError if the regions
        have more pixels than ``options`` allow.
    FormatError
        As for ``decode``.
    """
    from nvpcodec import arrays, outline, partial, sources

    with sources.opened(source) as opened:
        header = outline.read_header(opened)
        return arrays.from_image(partial.read_box(opened, header, box, options or Options()))


def read_preview(source: Readable, size: int, *, options: Options | None = None) -> Array:
    """The image made smaller by a power of two, the smallest whose longer side has ``size`` pixels or more.

    It has every second, fourth, eighth ... row and column of the image: samples, not averages.  Where a phase
    flow coded the image, as ``fast`` and ``best`` do, only the coarse scales are read and decoded.  What was
    coded otherwise is decoded whole: drawings, 16 bits, alpha, and all of the model ``realnvp``.  ``source``
    is as for ``read_region``.

    The header's checksum is compared.  Of the coarse scales nothing else tells whether they were changed.

    Raises
    ------
    InputError
        ``source`` cannot be read, or ``size`` is below 1; ImageTooLargeError if the preview, or a region that
        must be decoded whole, has more pixels than ``options`` allow.
    FormatError
        As for ``decode``.
    """
    from nvpcodec import arrays, outline, partial, sources

    with sources.opened(source) as opened:
        header = outline.read_header(opened)
        factor = outline.factor_for(header, size)
        return arrays.from_image(partial.read_reduced(opened, header, factor, options or Options()))


def score(array: npt.ArrayLike, *, options: Options | None = None) -> Score:
    """How well ``array`` fits the model, in bits, without writing a file; alpha is left out.

    ``score(array).bits_per_dim`` is the theory of the file that ``encode`` makes where the model codes all of
    it.  ``Reference.of`` some scores tells how far others are from them.

    Raises
    ------
    UnsupportedImageError
        As for ``encode``; also for uint16, which the models do not know.
    ImageTooLargeError, ModelError, DeviceError
        As for ``encode``.
    """
    from nvpcodec import arrays, scoring

    return scoring.score_image(arrays.to_image(array), options or Options())


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
    if size is None or size <= fileinfo.HEAD_BYTES:
        return fileinfo.describe(urls.read(located))
    return fileinfo.describe_by_head(lambda count: urls.read_head(located, count), size)


def _to_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"the data must be bytes, not {type(data).__name__}")
    return bytes(data)


def _check_size(image: Image, options: Options) -> None:
    from nvpcodec.pixels import check_size

    check_size(image.width, image.height, options.max_pixels)
