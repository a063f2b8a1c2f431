"""Lossless coding the way learned codecs usually do it: the photo model in float32.

The network, the means and the scales that it puts out, and the cumulative function are floats; only the
cumulative frequencies made from them are integers. Nothing is wrong with that on one machine: the decoder
repeats the encoder's operations on the encoder's numbers. It is here to show what happens on another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.fixedpoint import cost_table
from nvpcodec.layout import scale_sizes
from nvpcodec.phase_model import PhaseModel, Placement
from nvpcodec.recorder import GROWTHS, Recorder
from nvpcodec.stack import Ints, Stack, from_bytes, growing_chunks, to_bytes
from nvpcodec.tables import LEGAL, MASS_BITS, MASS_TOTAL

PLANES = len(LEGAL)
#: Frequencies that each value has besides its share of the probability. Two, because a float32 sigmoid may
#: fall by a step where it should rise.
LEAST_MASS = 2


class FloatCoder:
    """Codes planes Y, Co, Cg whose sides are even at every scale, with one stack an image."""

    def __init__(self, model: PhaseModel) -> None:
        self._model = model

    def encode(self, planes: Ints) -> bytes:
        """int32 planes (3, H, W) as a payload."""
        recorder = Recorder(cost_table(MASS_BITS))
        sizes = scale_sizes(*planes.shape[1:])
        pyramid = [torch.from_numpy(planes)[None].float()]
        for _ in sizes[1:]:
            pyramid.append(pyramid[-1][..., ::2, ::2])
        for values, (low, high) in zip(pyramid[-1][0].int().flatten(1).numpy(), LEGAL, strict=True):
            recorder.push(values - low, high - low + 1)
        remaining = _samples_above(sizes)

        def record(at: Placement) -> Tensor:
            nonlocal remaining
            x = at.pixels(pyramid[at.level])
            remaining -= x.numel()
            places = (x.int().numpy().reshape(-1) - LEGAL[at.plane][0]).astype(np.int64)
            edges = cumulative_frequencies(at)[0]
            each = np.arange(len(places))
            start = edges[each, places]
            recorder.exchange(start, edges[each, places + 1] - start, remaining)
            return x

        with torch.inference_mode():
            self._model.walk(pyramid[-1], len(sizes) - 1, record)
        growth = recorder.best_growth()
        stack = Stack()
        recorder.play(stack, growth)
        return bytes([GROWTHS.index(growth)]) + to_bytes(stack)

    def decode(self, payloads: Sequence[bytes], height: int, width: int) -> list[Ints]:
        """int32 planes (3, H, W) of each of the images, all of one size; their networks run as one batch."""
        stacks = [from_bytes(payload[1:]) for payload in payloads]
        growths = [GROWTHS[payload[0]] for payload in payloads]
        sizes = scale_sizes(height, width)
        remaining = _samples_above(sizes)

        def pop(at: Placement) -> Tensor:
            nonlocal remaining
            remaining -= at.mean[0].numel()
            coded = zip(stacks, cumulative_frequencies(at), growths, strict=True)
            values = [_pop(stack, edges, remaining, growth) for stack, edges, growth in coded]
            return torch.from_numpy(np.stack(values) + LEGAL[at.plane][0]).float().view(at.mean.shape)

        coarsest = [[_pop_uniform(s, legal, sizes[-1]) for legal in LEGAL] for s in stacks]
        with torch.inference_mode():
            decoded = self._model.walk(torch.tensor(np.array(coarsest)).float(), len(sizes) - 1, pop)
        return list(decoded.int().numpy())


def cumulative_frequencies(at: Placement) -> NDArray[np.int32]:
    """Integers (B, n, values + 1) from 0 to 2^16, strictly rising: a logistic, and LEAST_MASS for each
    value.
    """
    low, high = LEGAL[at.plane]
    rate = torch.exp2(-at.log2_scale)[..., None]
    shares = torch.sigmoid((torch.arange(low, high + 2) - 0.5 - at.mean[..., None]) * rate)
    room = MASS_TOTAL - LEAST_MASS * (high - low + 1)
    edges = shares.mul_(room).floor_().int()
    edges += LEAST_MASS * torch.arange(high - low + 2, dtype=torch.int32)
    edges[..., 0], edges[..., -1] = 0, MASS_TOTAL
    frequencies: NDArray[np.int32] = edges.flatten(1, -2).numpy()
    return frequencies


def _pop(stack: Stack, edges: Ints, before: int, growth: int) -> Ints:
    """Places (n,) of the values whose frequencies hold what is on the stack."""
    places = np.empty(len(edges), np.int32)
    for chunk in reversed(growing_chunks(before, len(edges), growth)):
        target = stack.pop(chunk.stop - chunk.start, MASS_TOTAL)
        part = torch.from_numpy(edges[chunk])
        found = torch.searchsorted(part, torch.from_numpy(target)[:, None], right=True)[:, 0].numpy() - 1
        each = np.arange(len(found))
        start = edges[chunk][each, found]
        stack.push_each(target - start, edges[chunk][each, found + 1] - start)
        places[chunk] = found
    return places


def _pop_uniform(stack: Stack, legal: tuple[int, int], size: tuple[int, int]) -> Ints:
    low, high = legal
    return stack.pop(size[0] * size[1], high - low + 1).reshape(size) + low


def _samples_above(sizes: list[tuple[int, int]]) -> int:
    """Samples that are coded under the network."""
    return PLANES * (sizes[0][0] * sizes[0][1] - sizes[-1][0] * sizes[-1][1])
