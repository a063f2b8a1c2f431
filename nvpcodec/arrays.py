"""Arrays, and all that can be taken as one, to image records and back."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nvpcodec.errors import UnsupportedImageError
from nvpcodec.pixels import MAX_PALETTE, Image, Kind

Array: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.bool_]

_KINDS = {1: Kind.GREY, 2: Kind.GREY_ALPHA, 3: Kind.RGB, 4: Kind.RGBA}


def to_image(array: Any) -> Image:
    """The record of uint8 or uint16 (H, W) or (H, W, 1 to 4), or bool (H, W).

    ``array`` may have any strides; it may be a memoryview, a torch tensor on any device, or whatever else
    NumPy takes as an array.

    Raises
    ------
    UnsupportedImageError
        It has another dtype or shape, or no pixel.
    """
    samples = _as_array(array)
    if samples.dtype == np.bool_ and samples.ndim == 2:
        return Image(np.ascontiguousarray(samples[..., None], dtype=np.uint8), Kind.BILEVEL)
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or samples.shape[2] not in _KINDS:
        raise UnsupportedImageError(_about_shape(samples.shape))
    kind = _KINDS[samples.shape[2]]
    if samples.dtype == np.uint8:
        return Image(np.ascontiguousarray(samples, dtype=np.uint8), kind)
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return Image(np.ascontiguousarray(samples, dtype=np.uint16), kind)
    raise UnsupportedImageError(f"the array has dtype {samples.dtype}; use uint8, uint16, or bool for (H, W)")


def from_image(image: Image) -> Array:
    """What ``image`` shows as an array; a single transparent colour has no place in it."""
    if image.kind is Kind.PALETTE:
        return _look_up_palette(image)
    if image.kind is Kind.BILEVEL:
        return image.samples[..., 0].astype(np.bool_)
    return image.samples[..., 0] if image.kind is Kind.GREY else image.samples


def _as_array(array: Any) -> npt.NDArray[Any]:
    if isinstance(array, bytes | bytearray):
        raise UnsupportedImageError("bytes have no shape; use memoryview(data).cast('B', (H, W, C))")
    # Whoever has a tensor has imported torch.
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(array, torch.Tensor):
            return np.asarray(array.detach().cpu().numpy())
        return np.asarray(array)
    except (TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UnsupportedImageError(
            f"this cannot be taken as an array: {what}; use uint8 or uint16"
        ) from error


def _about_shape(shape: tuple[int, ...]) -> str:
    said = f"the array has shape {shape}; use (H, W) or (H, W, C) with 1 to 4 channels"
    if len(shape) == 3 and shape[0] in _KINDS:
        said += ": permute one of (C, H, W) first"
    return said


def _look_up_palette(image: Image) -> npt.NDArray[np.uint8]:
    """RGB, or RGBA if the palette has transparency; indices beyond the palette are black."""
    colours = np.zeros((MAX_PALETTE, 4), np.uint8)
    colours[:, 3] = 255
    palette = np.frombuffer(image.palette or b"", np.uint8).reshape(-1, 3)
    colours[: len(palette), :3] = palette
    alpha = np.frombuffer(image.transparency or b"", np.uint8)
    colours[: len(alpha), 3] = alpha
    channels = 3 if image.transparency is None else 4
    return colours[image.samples[..., 0], :channels]
