"""Latents of a phase flow: each sample's place in its distribution.

A coupling takes a sample to the middle of what it owns of [0, 1) (`quantiles`); where the coder would take
the place within it from the stack, here it is one half. Latents are uniform as far as the model is right, and
the image follows from them alone. Linear parts are left out: they belong to a file, not to the model.

The inverse of uniform latents is a sample of the model. What the format stores plainly has no model: there a
sample has colours of which all are as likely.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import colour, exact, quantiles
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import InputError
from nvpcodec.fit import plain_distribution, plain_mean
from nvpcodec.layout import scale_sizes
from nvpcodec.model import PLANES, Model, phase_config
from nvpcodec.phase_flow import Part, PhaseFlow, Prediction
from nvpcodec.quantiles import Fractions, Words
from nvpcodec.stack import Ints
from nvpcodec.tables import SCALES

NAME = "latents"
#: High bits of a random word that make a sample of 8 bits.
_SAMPLE_SHIFT = 24


class PhaseLatents:
    """Planes to latents and back.

    Raises
    ------
    DeviceError
        The device does not compute the model's integers exactly.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        layers = exact.layers(model, device, exact.find_lowering(model, device))
        self._flow, self._table = PhaseFlow(phase_config(model), layers), BaseTable(model.tensors["base"])
        self._device = device

    def forward(self, planes: Ints) -> dict[str, NDArray[Any]]:
        """`latents`, uint32 (P, H, W), of int32 planes (P, H, W): that of each sample stands in its place."""
        fractions = np.empty(planes.shape, np.uint32)
        _coarsest(fractions)[...] = quantiles.uniform_to_fractions(_coarsest(planes))

        def code(window: Any, distribution: Distribution) -> Ints:
            x: Ints = planes[window]
            fractions[window] = quantiles.to_fractions(self._table, distribution, x.ravel()).reshape(x.shape)
            return x

        self._walk(planes, code)
        return {NAME: fractions}

    def inverse(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, int, int]) -> Ints:
        """Mirror image of `forward`: planes of `shape`.

        Raises
        ------
        InputError
            There is no such array.
        """
        fractions = arrays.get(NAME)
        if fractions is None or fractions.dtype != np.uint32 or fractions.shape != shape:
            raise InputError(f"the latents of this model are an array {NAME!r}, uint32 {shape}")
        return self._values(fractions, 0)

    def sample(self, words: Words, height: int, width: int, scale_steps: int = 0) -> Ints:
        """Planes (3, H, W) made of random words; `scale_steps` are added to each scale index."""
        fractions = words(PLANES * height * width).reshape(PLANES, height, width)
        coarsest = _coarsest(fractions)
        colours = np.moveaxis(coarsest >> _SAMPLE_SHIFT, 0, 2).astype(np.uint8)
        coarsest[...] = quantiles.uniform_to_fractions(colour.to_planes(colours))
        return self._values(fractions, scale_steps)

    def _values(self, fractions: Fractions, scale_steps: int) -> Ints:
        planes = np.empty(fractions.shape, np.int32)
        _coarsest(planes)[...] = quantiles.uniform_from_fractions(_coarsest(fractions))

        def code(window: Any, d: Distribution) -> Ints:
            scale = np.clip(d.scale + scale_steps, 0, SCALES - 1).astype(np.int32)
            x = quantiles.from_fractions(self._table, replace(d, scale=scale), fractions[window].ravel())
            planes[window] = x = x.reshape(planes[window].shape)
            return x

        self._walk(planes, code)
        return planes

    def _walk(self, planes: Ints, code: Callable[[Any, Distribution], Ints]) -> None:
        """Ask `code` for the values of each prediction, by their window in the planes (P, H, W)."""

        def answer(prediction: Prediction) -> tuple[Tensor, Tensor]:
            def values(part: Part) -> Tensor:
                return self._tensor(
                    code(_window(prediction, part), plain_distribution(part, prediction.legal))
                )

            mean = plain_mean(prediction)
            return prediction.ask(mean, values), mean

        count, height, width = planes.shape
        with torch.inference_mode():
            self._flow.walk(height, width, count, self._tensor(_coarsest(planes))[None], answer)

    def _tensor(self, values: Ints) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device).float()


def _coarsest(planes: Any) -> Any:
    """A view of the samples (P, h, w) that the format stores plainly, in planes (P, H, W)."""
    step = 1 << (len(scale_sizes(*planes.shape[1:])) - 1)
    return planes[:, ::step, ::step]


def _window(prediction: Prediction, part: Part) -> tuple[int, slice, slice]:
    """Where the samples of a part lie in the planes."""
    step = 1 << prediction.level
    rows, columns = (
        slice(step * (corner + 2 * (every.start or 0)), None, 2 * step * (every.step or 1))
        for corner, every in zip(divmod(prediction.phase, 2), part.place, strict=True)
    )
    return prediction.plane, rows, columns
