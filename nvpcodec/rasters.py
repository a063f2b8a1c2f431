"""Pillow as a decoder of pixels: opened with its traps shut, and its many errors made one."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from nvpcodec.errors import InputError, NvpError
from nvpcodec.pixels import Image

_limit_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """An image file as read: the image, and notes for a person on what of the file is not in it."""

    image: Image
    notes: tuple[str, ...]


@contextmanager
def opened(data: bytes, formats: tuple[str, ...]) -> Iterator[PillowImage.Image]:
    """Pillow's view of ``data``, which must be of one of ``formats``; no pixel is decoded yet.

    Raises
    ------
    InputError
        Pillow does not know the file, or fails while the caller works with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _open_without_limit(data, formats) as picture:
                yield picture
    except (NvpError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError("it is no image, or of a kind that is not read here; convert it to PNG") from error
    # What damaged files make Pillow raise has no common type: OSError, SyntaxError, struct.error, and more.
    except Exception as error:
        raise InputError(f"the image is damaged: {_one_line(error)}; get a good copy") from error


def _open_without_limit(data: bytes, formats: tuple[str, ...]) -> PillowImage.Image:
    """Open without Pillow's own limit, a global of the process: ``pixels.check_size`` stands in for it."""
    with _limit_lock:
        limit = PillowImage.MAX_IMAGE_PIXELS
        PillowImage.MAX_IMAGE_PIXELS = None
        try:
            return PillowImage.open(io.BytesIO(data), formats=formats)
        finally:
            PillowImage.MAX_IMAGE_PIXELS = limit


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
