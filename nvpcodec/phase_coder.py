"""Regions through the phase flow: the walk, the fits and the symbols, on one stack.

Payload: one byte, the place of the chunks' growth in `recorder.GROWTHS`, then the stack.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec import fit as fitting
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fit import flat_ints, is_fitted, plain_distribution
from nvpcodec.fit_search import find_fit
from nvpcodec.layout import scale_sizes
from nvpcodec.model import Model, PhaseConfig
from nvpcodec.options import DEFAULT_EFFORT
from nvpcodec.phase_flow import PhaseFlow, Prediction
from nvpcodec.recorder import GROWTHS, Recorder
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints, Stack, from_bytes, to_bytes
from nvpcodec.steps import pop_symbols, push_symbols, symbol_bits
from nvpcodec.tables import LEGAL

#: Linear parts that are tried for each phase, by effort from 1 to 9.
FITS_OF_EFFORT = (0, 0, 0, 1, 1, 1, 2, 3, 4)

#: Sees the values (n,) of each prediction and the distributions that they are coded under.
Note = Callable[[Distribution, Ints], None]
#: Sees each prediction and what the values (n,) that it predicts cost, in bits.
Costs = Callable[[Prediction, NDArray[np.float64]], None]


def phase_coder(model: Model, device: torch.device, effort: int = DEFAULT_EFFORT) -> "PhaseCoder":
    """The coder of a phase model on a device whose arithmetic has been tested.

    The effort, 1 to 9, says how many linear parts are tried for each phase.

    Raises
    ------
    DeviceError
        The device does not compute the model's integers exactly.
    """
    if not isinstance(model.config, PhaseConfig):
        raise TypeError("a phase coder needs a phase configuration")
    exact.require_exact_sums(device)
    layers = exact.layers(model, device, exact.find_lowering(model, device))
    flow, table = PhaseFlow(model.config, layers), BaseTable(model.tensors["base"])
    return PhaseCoder(flow, table, device, linear_parts=FITS_OF_EFFORT[effort - 1])


def growth_of(first: bytes) -> int:
    """The growth that the first byte of a payload names.

    Raises
    ------
    DamagedFileError
        There is no byte, or it names none.
    """
    if not first or first[0] >= len(GROWTHS):
        raise DamagedFileError("the payload of a region does not begin like one; get a good copy of the file")
    return GROWTHS[first[0]]


class PhaseCoder:
    """Codes planes Y, Co, Cg or a single grey one."""

    coarse_first = True

    def __init__(
        self, flow: PhaseFlow, table: BaseTable, device: torch.device, linear_parts: int = 1
    ) -> None:
        self._flow = flow
        self._table = table
        self._device = device
        self._linear_parts = linear_parts

    def encode(
        self, planes: Ints, note: Note | None = None, costs: Costs | None = None
    ) -> tuple[bytes, Accounts]:
        """int32 planes (P, H, W), P = 1 or 3, as a payload.

        `note` sees what is coded under what, `costs` what that takes.
        """
        return self.encode_chain([planes], note, costs)

    def encode_chain(
        self, images: Sequence[Ints], note: Note | None = None, costs: Costs | None = None
    ) -> tuple[bytes, Accounts]:
        """Several images' int32 planes (P, H, W), of one P, as one payload: they share the stack.

        The last image is pushed first, so that a decoder meets the images in their order.
        """
        recorder = Recorder(self._table.costs)
        clock = _Clock()
        later = sum(_symbols(planes.shape) for planes in images)
        for planes in images:
            later -= _symbols(planes.shape)
            self._record_image(recorder, clock, planes, later, note, costs)
        with clock.stage("stack"):
            growth = recorder.best_growth()
            stack = Stack()
            recorder.play(stack, growth)
            coded = to_bytes(stack)
        payload = bytes([GROWTHS.index(growth)]) + coded
        ledger = stack.ledger
        accounts = Accounts(ledger.content_bits, ledger.initial_bits, 8 * len(coded), 8, clock.seconds)
        return payload, accounts

    def decode(self, payload: bytes, planes: int, height: int, width: int) -> Ints:
        """int32 planes (P, H, W).

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode` writes.
        """
        return self.decode_chain(payload, planes, [(height, width)])[0]

    def decode_chain(self, payload: bytes, planes: int, sizes: Sequence[tuple[int, int]]) -> list[Ints]:
        """Mirror image of `encode_chain`; `sizes` are height and width of each image.

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode_chain` writes.
        """
        growth = growth_of(payload[:1])
        stack = from_bytes(payload[1:])
        later = sum(_symbols((planes, *size)) for size in sizes)
        images = []
        for size in sizes:
            later -= _symbols((planes, *size))
            images.append(self._pop_image(stack, planes, size, later, growth))
        stack.require_empty()
        return images

    def decode_scale(self, stack: Stack, growth: int, planes: int, size: tuple[int, int], scale: int) -> Ints:
        """int32 planes (P, h, w) of a scale of the one image on the stack: its pixels in rows and columns
        that are multiples of 2^scale, or those of its coarsest scale. What finer scales need stays on the
        stack.

        Raises
        ------
        DamagedFileError
            As for `decode`, as far as these pixels tell.
        """
        return self._pop_image(stack, planes, size, 0, growth, scale)

    def _record_image(
        self,
        recorder: Recorder,
        clock: "_Clock",
        planes: Ints,
        later: int,
        note: Note | None,
        costs: Costs | None,
    ) -> None:
        """Record one image's planes (P, H, W); `later` samples are those of the images behind it."""
        count, height, width = planes.shape
        scales = [torch.from_numpy(planes)[None].float().to(self._device)]
        for _ in scale_sizes(height, width)[1:]:
            scales.append(scales[-1][..., ::2, ::2])
        self._record_coarsest(recorder, flat_ints(scales[-1]).reshape(count, -1))

        def code(prediction: Prediction) -> tuple[Tensor, Tensor]:
            phase, plane = prediction.phase, prediction.plane
            known = scales[prediction.level][0, plane, phase // 2 :: 2, phase % 2 :: 2]
            with clock.pause("network"):
                x = flat_ints(known)
                distribution = self._record(recorder, clock, prediction, x, later)
                if note is not None:
                    note(distribution, x)
                if costs is not None:
                    costs(prediction, symbol_bits(self._table, distribution, x))
            return known, self._on_grid(distribution.mean, prediction)

        with torch.inference_mode(), clock.stage("network"):
            self._flow.walk(height, width, count, scales[-1], code)

    def _pop_image(
        self, stack: Stack, planes: int, size: tuple[int, int], later: int, growth: int, scale: int = 0
    ) -> Ints:
        """Mirror image of `_record_image`, down to `scale`."""
        coarsest = self._pop_coarsest(stack, planes, scale_sizes(*size)[-1])

        def code(prediction: Prediction) -> tuple[Tensor, Tensor]:
            before = prediction.remaining + later
            if is_fitted(prediction):
                regressors = prediction.regressors()
                fit = fitting.pop_fit(stack, self._table, len(regressors), before, growth)
                distribution = fit.apply(prediction, regressors)
            else:
                distribution = plain_distribution(prediction)
            x = pop_symbols(stack, self._table, distribution, before, growth)
            return self._on_grid(x, prediction), self._on_grid(distribution.mean, prediction)

        with torch.inference_mode():
            decoded = self._flow.walk(*size, planes, coarsest, code, scale)
        return decoded[0].to(torch.int32).cpu().numpy()

    def _record(
        self, recorder: Recorder, clock: "_Clock", prediction: Prediction, x: Ints, later: int
    ) -> Distribution:
        """Record one prediction's values (n,); returns what they are coded under."""
        before = prediction.remaining + later
        if is_fitted(prediction):
            with clock.stage("fit"):
                regressors = prediction.regressors()
                fit, distribution = find_fit(prediction, regressors, x, self._table, self._linear_parts)
                fitting.push_fit(recorder, self._table, fit, before)
        else:
            distribution = plain_distribution(prediction)
        with clock.stage("distribution"):
            push_symbols(recorder, self._table, distribution, x, before)
        return distribution

    def _record_coarsest(self, recorder: Recorder, planes: Ints) -> None:
        for values, (low, high) in zip(planes, LEGAL, strict=False):
            recorder.push(values - low, high - low + 1)

    def _pop_coarsest(self, stack: Stack, planes: int, size: tuple[int, int]) -> Tensor:
        values = [stack.pop(size[0] * size[1], high - low + 1) + low for low, high in LEGAL[:planes]]
        return torch.from_numpy(np.stack(values)).float().view(1, planes, *size).to(self._device)

    def _on_grid(self, values: Ints, prediction: Prediction) -> Tensor:
        return torch.from_numpy(values).to(self._device).float().view(prediction.mean.shape)


def _symbols(shape: tuple[int, ...]) -> int:
    """How many samples of planes (P, H, W) are coded as symbols: all but those of the coarsest scale."""
    planes, height, width = shape
    coarsest_height, coarsest_width = scale_sizes(height, width)[-1]
    return planes * (height * width - coarsest_height * coarsest_width)


class _Clock:
    """Seconds by stage; a stage inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"network": 0.0, "fit": 0.0, "distribution": 0.0, "stack": 0.0}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started

    @contextmanager
    def pause(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] -= time.perf_counter() - started
