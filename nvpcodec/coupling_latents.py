"""Latents of the RealNVP: what leaves after each scale, in steps of its grid, and the remainders.

All of an image is one tile, repeated at its edges to sides that are multiples of 8. Where a coupling shrinks,
several values have one latent; the remainder that tells them apart lies on the stack, as in the coder. The
words of that stack are the array `remainders`. The noise that makes pixels continuous comes from the same
stack; while it is empty, the noise is zero.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nvpcodec import quantiles
from nvpcodec.coupling_flow import LATENT_HIGH, LATENT_LOW, CouplingFlow, Give, Values
from nvpcodec.coupling_layout import COLOURS, tile_size
from nvpcodec.distribution import BaseTable
from nvpcodec.errors import InputError, UnsupportedImageError
from nvpcodec.exact import find_lowering
from nvpcodec.model import Model
from nvpcodec.quantiles import Fractions, Words
from nvpcodec.stack import Ints, Stack
from nvpcodec.tables import SCALES

REMAINDERS = "remainders"
#: Samples below a tile, for the size of chunks: here nothing has to be small.
_BELOW = 1 << 40
#: Further from zero than samples are, so near that their sums fit.
FAR = 1 << 16


class CouplingLatents:
    """Planes to latents and back.

    Raises
    ------
    DeviceError
        The device does not compute the model's integers exactly.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self._flow = CouplingFlow(model, device, find_lowering(model, device))
        self._table = BaseTable(model.tensors["base"])

    def forward(self, planes: Ints) -> dict[str, NDArray[Any]]:
        """Of int32 planes (P, H, W): `latents0` ..., int32 (c, h, w) in steps of 2^-dequant_bits pixel steps,
        and `remainders`, uint32 (n,).

        Raises
        ------
        UnsupportedImageError
            The model takes a value so far that the format cannot hold it.
        """
        stack, arrays = Stack(), dict[str, NDArray[Any]]()

        def take(scale: int, _channels: list[int], latents: Values) -> None:
            if latents.min() < LATENT_LOW or latents.max() > LATENT_HIGH:
                raise UnsupportedImageError("this model cannot code this image; choose another model")
            arrays[_name(scale)] = latents.astype(np.int32)

        height, width = planes.shape[1:]
        tall, wide = tile_size(height, width)
        padded = np.pad(planes, ((0, 0), (0, tall - height), (0, wide - width)), "edge")
        self._flow.to_latents(stack, padded, _BELOW, take)
        return arrays | {REMAINDERS: stack.words()}

    def inverse(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int, int]) -> Ints:
        """Mirror image of `forward`: planes of `shape`.

        Raises
        ------
        InputError
            An array is missing, or another than `forward` gives for such planes.
        """

        def give(scale: int, channels: list[int], size: tuple[int, int]) -> Values:
            latents = _array(arrays, _name(scale), np.int32, (len(channels), *size))
            if latents.min() < LATENT_LOW or latents.max() > LATENT_HIGH:
                raise InputError(f"a value of {_name(scale)} is beyond ±2^23, further than latents go")
            return latents.astype(np.int64)

        words = arrays.get(REMAINDERS)
        if words is None or words.dtype != np.uint32 or words.ndim != 1 or (len(words) and not words[-1]):
            raise InputError(f"there must be an array {REMAINDERS!r}, uint32 (n,), whose last word is not 0")
        return self._pixels(Stack(words), shape, give)

    def sample(self, words: Words, remainders: Words, height: int, width: int, scale_steps: int = 0) -> Ints:
        """Planes (3, H, W) of latents and of remainders made of random words; `scale_steps` are added to each
        scale index of the base.
        """

        def give(scale: int, channels: list[int], size: tuple[int, int]) -> Values:
            count = size[0] * size[1]
            d = self._flow.base(scale, channels, count)
            index = np.clip(d.scale + scale_steps, 0, SCALES - 1).astype(np.int32)
            drawn = quantiles.from_fractions(
                self._table, replace(d, scale=index), words(len(channels) * count)
            )
            return drawn.reshape(len(channels), *size).astype(np.int64)

        top = True

        def fetch(count: int) -> Fractions:
            # Reversed, so that what is popped depends on the words only, and not on how many come at once.
            nonlocal top
            fetched = remainders(count)[::-1].copy()
            fetched[-1] |= top  # no stack has a zero on top
            top = False
            return fetched

        return self._pixels(Stack(fetch=fetch), (COLOURS, height, width), give)

    def _pixels(self, stack: Stack, shape: tuple[int, int, int], give: Give) -> Ints:
        planes, height, width = shape
        grid = self._flow.from_latents(stack, planes, *tile_size(height, width), _BELOW, give)
        pixels = grid[:, :height, :width] >> self._flow.config.dequant_bits
        # Latents of chance, or that were changed, may lead far beyond all colours.
        return pixels.clip(-FAR, FAR).astype(np.int32)


def _name(scale: int) -> str:
    return f"latents{scale}"


def _array(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: type, shape: tuple[int, ...]
) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.shape != shape:
        raise InputError(f"the latents of this model have an array {name!r}, {np.dtype(dtype)} {shape}")
    return array
