"""The RealNVP on integers: every step is an exchange with the stack, so it can be taken back exactly.

    dequantize   pop r from [0, 2^k);  x = pixel * 2^k + r
    affine       x += t;  pop r from [0, R);  y = R x + r;  push y mod S;  z = y div S
    latents      exchanged under the base distribution

S = 2^scale_bits; R and t come from an integer network that sees what the coupling keeps. The affine step is
the modular scale transform of Zhang et al. 2021 ("iFlow: Numerically invertible flows for efficient lossless
compression via a uniform coder"). It costs log2 S - log2 R bits, which is minus the logarithm of the step's
scale.

A region is coded tile by tile on one stack. Within a tile, `forward` pushes and `inverse` pops, in opposite
orders throughout.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec.coupling_layout import (
    COLOURS,
    COUPLING_SCALES,
    Mask,
    colour,
    factored,
    masks,
    phase_views,
    scale_channels,
    tiles,
)
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError, UnsupportedImageError
from nvpcodec.layout import PHASES
from nvpcodec.model import CouplingConfig, Model
from nvpcodec.network import CouplingNetwork, layers_below
from nvpcodec.recorder import Recorder
from nvpcodec.stack import Ints, Stack
from nvpcodec.steps import pop_symbols, push_symbols
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN, LEGAL

Values = NDArray[np.int64]
#: Gets the latents (n, h, w) of a scale, which are those of these channels of its squeezed grid.
Take = Callable[[int, list[int], Values], None]
#: Returns the latents (n, h, w) of a scale, of these channels of its squeezed grid, height and width.
Give = Callable[[int, list[int], tuple[int, int]], Values]

#: log2 of the cells of the network's coarse input in a pixel step, and of the fine input's in a coarse one.
INPUT_BITS, FINER_BITS = 2, 2
#: log2 of the eighths of a pixel step in a pixel step, which shifts are multiples of.
SHIFT_BITS = 3
#: Luma counts from here.
MID_GREY = 128

#: No value on the way may be larger, so that sums and products stay far inside 64 bits.
LARGEST_VALUE = 1 << 40
#: Latents lie in [-2^23, 2^23): the stack's largest range holds either side of that.
LATENT_LOW, LATENT_HIGH = -(1 << 23), (1 << 23) - 1

#: A chunk of an affine step holds one symbol for this many below it on the stack, but at least
#: `SMALLEST_CHUNK`.
SYMBOLS_BELOW = 48
SMALLEST_CHUNK = 4
#: Growth of the chunks in which latents are pushed, in 64ths.
LATENT_GROWTH = 4


@dataclass(frozen=True)
class Affine:
    """What a coupling does to changed values (c, h, w): int64 `shift` in grid steps, int32 `scale_num` R."""

    shift: Values
    scale_num: Ints


class CouplingFlow:
    """Maps tiles and regions of planes onto a stack and back."""

    def __init__(self, model: Model, device: torch.device, lowering: exact.Lowering) -> None:
        if not isinstance(model.config, CouplingConfig):
            raise TypeError("a coupling flow needs a coupling configuration")
        self.config = model.config
        self._device = device
        self._layers = exact.layers(model, device, lowering)
        self._table = BaseTable(model.tensors["base"])
        self._scale_nums = model.tensors["scale_num"]
        ends = np.cumsum([0, *(len(factored(s).changed) for s in range(COUPLING_SCALES))])
        parts = [slice(a, b) for a, b in pairwise(ends)]
        self._means = [model.tensors["base_mean"][part] for part in parts]
        self._scales = [model.tensors["base_scale"][part] for part in parts]
        #: Seconds that networks have taken so far.
        self.network_seconds = 0.0

    def push_region(self, stack: Stack, planes: Ints, pixels: int = 0) -> None:
        """Push int32 planes (P, H, W): Y, Co, Cg, or one grey plane; `pixels` were pushed earlier.

        Raises
        ------
        UnsupportedImageError
            The model takes a value so far that the format cannot hold it.
        """
        height, width = planes.shape[1:]
        for tile in tiles(height, width, pixels):
            cut = planes[:, *tile.window]
            margins = [(0, whole - size) for whole, size in zip(tile.padded, cut.shape[1:], strict=True)]
            self.forward(stack, np.pad(cut, [(0, 0), *margins], "edge"), len(planes) * tile.before)

    def pop_region(self, stack: Stack, planes: int, height: int, width: int, pixels: int = 0) -> Ints:
        """Mirror image of `push_region`.

        Raises
        ------
        DamagedFileError
            The stack holds no such region.
        """
        region = np.empty((planes, height, width), np.int32)
        for tile in reversed(tiles(height, width, pixels)):
            whole = self.inverse(stack, planes, *tile.padded, planes * tile.before)
            region[:, *tile.window] = whole[:, : tile.height, : tile.width]
        return region

    def forward(self, stack: Stack, planes: Ints, before: int) -> None:
        """Push one tile, int32 (P, h, w), sides multiples of 8; `before` samples were pushed earlier."""

        def take(scale: int, channels: list[int], latents: Values) -> None:
            self._push_latents(stack, scale, channels, latents, before)

        self.to_latents(stack, planes, before, take)

    def inverse(self, stack: Stack, planes: int, height: int, width: int, before: int) -> Ints:
        """Mirror image of `forward`: int32 planes (P, h, w)."""

        def give(scale: int, channels: list[int], size: tuple[int, int]) -> Values:
            return self._pop_latents(stack, scale, channels, size, before)

        return self._requantize(stack, self.from_latents(stack, planes, height, width, before, give))

    def to_latents(self, stack: Stack, planes: Ints, before: int, take: Take) -> None:
        """Like `forward`, but `take` gets the latents of each scale; remainders go to the stack."""
        x = self._dequantize(stack, planes)
        for scale in range(COUPLING_SCALES):
            x = squeeze(x)
            active = self._active(scale, len(planes))
            for coupling, mask in enumerate(masks(scale)):
                changed = [c for c in mask.changed if c in active]
                if changed:
                    affine = self._coupling(scale, coupling, mask, changed, x)
                    x[changed] = self._scale_up(stack, affine, x[changed], before)
            leaving = self._leaving(scale, active)
            take(scale, leaving, x[leaving])
            x = x[list(factored(scale).kept)]

    def from_latents(
        self, stack: Stack, planes: int, height: int, width: int, before: int, give: Give
    ) -> Values:
        """Mirror image of `to_latents`: planes (P, h, w) in grid steps, noise included. `give` is asked for
        the latents of each scale.
        """
        x = np.zeros((0, height >> COUPLING_SCALES, width >> COUPLING_SCALES), np.int64)
        for scale in reversed(range(COUPLING_SCALES)):
            active = self._active(scale, planes)
            x = self._rejoin(scale, self._leaving(scale, active), x, give)
            for coupling, mask in reversed(list(enumerate(masks(scale)))):
                changed = [c for c in mask.changed if c in active]
                if changed:
                    affine = self._coupling(scale, coupling, mask, changed, x)
                    x[changed] = self._scale_down(stack, affine, x[changed], before)
            x = unsqueeze(x)
        x[0] += MID_GREY << self.config.dequant_bits
        return x[:planes]

    def _leaving(self, scale: int, active: set[int]) -> list[int]:
        """Channels that are coded and leave after a scale."""
        return [c for c in factored(scale).changed if c in active]

    def _rejoin(self, scale: int, channels: list[int], kept: Values, give: Give) -> Values:
        """All channels (C, h, w) of the squeezed grid: kept ones, latents, zeros for what is not coded."""
        leaving = factored(scale)
        height, width = kept.shape[1:]
        x = np.zeros((len(leaving.kept) + len(leaving.changed), height, width), np.int64)
        x[list(leaving.kept)] = kept
        x[channels] = give(scale, channels, (height, width))
        return x

    def _dequantize(self, stack: Stack, planes: Ints) -> Values:
        """All colours (3, h, w) in grid steps around mid-grey, the noise popped; absent colours are zero."""
        noise = stack.pop(planes.size, 1 << self.config.dequant_bits).reshape(planes.shape)
        x = np.zeros((COLOURS, *planes.shape[1:]), np.int64)
        x[: len(planes)] = (planes.astype(np.int64) << self.config.dequant_bits) + noise
        x[0] -= MID_GREY << self.config.dequant_bits
        return x

    def _requantize(self, stack: Stack, x: Values) -> Ints:
        """Mirror image of `_dequantize`, for planes (P, h, w) whose luma counts from black."""
        pixels = x >> self.config.dequant_bits
        for plane, (low, high) in zip(pixels, LEGAL, strict=False):
            if plane.min() < low or plane.max() > high:
                raise DamagedFileError("a decoded sample lies outside its range; get a good copy of the file")
        noise = x - (pixels << self.config.dequant_bits)
        stack.push(noise.ravel().astype(np.int32), 1 << self.config.dequant_bits)
        return pixels.astype(np.int32)

    def _active(self, scale: int, planes: int) -> set[int]:
        """Squeezed channels that are coded: a grey image has no chroma."""
        return {c for c in range(PHASES * scale_channels(scale)) if colour(c) < planes}

    def _coupling(self, scale: int, coupling: int, mask: Mask, changed: list[int], x: Values) -> Affine:
        """Shift and scale of the channels `changed` of x (C, h, w), from the ones that the mask keeps."""
        started = time.perf_counter()
        network = self._network(scale, coupling)
        with torch.inference_mode():
            coarse, fine = self._inputs(x[list(mask.kept)])
            linear = network.layers["linear"](coarse)
            shift, log_scale = network.head(0, network.features(coarse, fine))[0].chunk(2, 1)
            chosen = [mask.changed.index(c) for c in changed]
            eighths = (linear * 2 + shift)[0, chosen]
            place = log_scale[0, chosen] - ACTIVATION_MIN
        shift_eighths, places = _integers(eighths), _integers(place)
        self.network_seconds += time.perf_counter() - started
        row = sum(len(masks(s)) for s in range(scale)) + coupling
        return Affine(
            ((shift_eighths << self.config.dequant_bits) + (1 << SHIFT_BITS >> 1)) >> SHIFT_BITS,
            self._scale_nums[row][places],
        )

    def _inputs(self, kept: Values) -> tuple[Tensor, Tensor]:
        """Network inputs (1, C, h, w): in quarter pixel steps and in sixteenths, clamped."""
        down = self.config.dequant_bits - INPUT_BITS
        cells = kept >> down if down >= 0 else kept << -down
        inputs = [np.clip(c, ACTIVATION_MIN, ACTIVATION_MAX) for c in (cells, cells << FINER_BITS)]
        coarse, fine = (torch.from_numpy(i.astype(np.float32))[None].to(self._device) for i in inputs)
        return coarse, fine

    def _network(self, scale: int, coupling: int) -> CouplingNetwork:
        layers = layers_below(self._layers, self.config.prefix(scale, coupling))
        return CouplingNetwork(layers, exact.add, self.config.blocks)

    def _scale_up(self, stack: Stack, affine: Affine, changed: Values, before: int) -> Values:
        """z of the changed values x, both (n, h, w): the remainders of R are popped, those of S pushed."""
        bits = self.config.scale_bits
        y = ((changed + affine.shift) * affine.scale_num).ravel()
        scale_num = affine.scale_num.ravel()
        for chunk in _chunks(before, len(y)):
            y[chunk] += stack.pop_each(scale_num[chunk])
            stack.push((y[chunk] & ((1 << bits) - 1)).astype(np.int32), 1 << bits)
        z = y >> bits
        if _largest(z) > LARGEST_VALUE:
            raise UnsupportedImageError("this model cannot code this image; choose another model")
        return z.reshape(changed.shape)

    def _scale_down(self, stack: Stack, affine: Affine, changed: Values, before: int) -> Values:
        """Mirror image of `_scale_up`."""
        bits = self.config.scale_bits
        y = (changed << bits).ravel()
        scale_num = affine.scale_num.ravel()
        x = np.empty_like(y)
        for chunk in reversed(_chunks(before, len(y))):
            y[chunk] += stack.pop(chunk.stop - chunk.start, 1 << bits)
            x[chunk] = y[chunk] // scale_num[chunk]
            stack.push_each((y[chunk] - x[chunk] * scale_num[chunk]).astype(np.int32), scale_num[chunk])
        x = x.reshape(changed.shape) - affine.shift
        if _largest(x) > LARGEST_VALUE:
            raise DamagedFileError("a decoded value is far too large; get a good copy of the file")
        return x

    def _push_latents(
        self, stack: Stack, scale: int, channels: list[int], latents: Values, before: int
    ) -> None:
        if latents.min() < LATENT_LOW or latents.max() > LATENT_HIGH:
            raise UnsupportedImageError("this model cannot code this image; choose another model")
        recorder = Recorder(self._table.costs)
        distribution = self.base(scale, channels, latents[0].size)
        push_symbols(recorder, self._table, distribution, latents.ravel().astype(np.int32), before)
        recorder.play(stack, LATENT_GROWTH)

    def _pop_latents(
        self, stack: Stack, scale: int, channels: list[int], size: tuple[int, int], before: int
    ) -> Values:
        """Mirror image of `_push_latents`; `size` is height and width."""
        distribution = self.base(scale, channels, size[0] * size[1])
        latents = pop_symbols(stack, self._table, distribution, before, LATENT_GROWTH)
        return latents.reshape(len(channels), *size).astype(np.int64)

    def base(self, scale: int, channels: list[int], size: int) -> Distribution:
        """What latents of these channels of a scale are coded under, `size` of each channel."""
        places = [factored(scale).changed.index(c) for c in channels]
        return Distribution(
            np.repeat(self._means[scale][places], size),
            np.repeat(self._scales[scale][places], size),
            LATENT_LOW,
            LATENT_HIGH,
        )


def squeeze(x: Values) -> Values:
    """(C, H, W) to (4 C, H/2, W/2), phase by phase."""
    return np.concatenate(phase_views(x))


def unsqueeze(x: Values) -> Values:
    """Inverse of `squeeze`."""
    channels, height, width = x.shape
    out = np.empty((channels // PHASES, 2 * height, 2 * width), x.dtype)
    for view, phase in zip(phase_views(out), np.split(x, PHASES), strict=True):
        view[...] = phase
    return out


def _chunks(before: int, count: int) -> list[slice]:
    size = max(SMALLEST_CHUNK, before // SYMBOLS_BELOW)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _integers(x: Tensor) -> Values:
    integers: Values = x.to(torch.int64).cpu().numpy()
    return integers


def _largest(x: Values) -> int:
    return max(-int(x.min()), int(x.max()))
