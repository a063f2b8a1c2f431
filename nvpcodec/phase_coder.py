"""Regions through the phase flow: the walk, the fits and the symbols, on one stack.

Payload: the byte of `phase_head`, then the stack.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec import fit as fitting
from nvpcodec.distribution import BaseTable, Distribution
from nvpcodec.errors import DamagedFileError
from nvpcodec.fit import Fit, flat_ints, is_fitted, plain_distribution, plain_mean
from nvpcodec.fit_search import (
    LinearPart,
    find_corrections,
    find_linear_part,
    find_refined_linear_part,
    no_linear_part,
)
from nvpcodec.heard import Heard
from nvpcodec.layout import pixels_of, scale_sizes
from nvpcodec.model import Model, PhaseConfig, phase_config
from nvpcodec.options import DEFAULT_EFFORT
from nvpcodec.phase_flow import Part, PhaseFlow, Prediction
from nvpcodec.phase_head import Head
from nvpcodec.recorder import Recorder
from nvpcodec.report import Accounts
from nvpcodec.stack import Ints, Stack, from_bytes, to_bytes
from nvpcodec.steps import pop_symbols, push_symbols, symbol_bits
from nvpcodec.tables import LEGAL
from nvpcodec.tuner import ROUNDS_OF_EFFORT, Tuner
from nvpcodec.tuning import UNTUNED, Tuning, pop_tuning, push_tuning


@dataclass(frozen=True)
class Search:
    """How linear parts are looked for, if at all: in so many rounds behind the refinement, or before it."""

    linear_parts: bool = True
    rounds: int = 0


#: By effort from 1 to 9.
SEARCHES = (*3 * (Search(linear_parts=False),), *2 * (Search(),), *(Search(rounds=n) for n in range(1, 5)))
#: Beside networks in several orientations, a round takes a tenth of the time.
ROUNDS_BESIDE_ORIENTATIONS = 1

#: Sees the values (n,) of each prediction and the distributions that they are coded under.
Note = Callable[[Distribution, Ints], None]
#: Sees each prediction and what the values (n,) that it predicts cost, in bits.
Costs = Callable[[Prediction, NDArray[np.float64]], None]
#: Sees each prediction, the mean (h, w) that it is asked with, and the values (h, w) that it predicts.
Asked = Callable[[Prediction, Tensor, Tensor], None]


@dataclass(frozen=True)
class _Listeners:
    """Who wants to know what an encoder does."""

    note: Note | None = None
    costs: Costs | None = None
    asked: Asked | None = None


_NOBODY = _Listeners()


def phase_coder(model: Model, device: torch.device, effort: int = DEFAULT_EFFORT) -> "PhaseCoder":
    """The coder of a phase model on a device whose arithmetic has been tested.

    The effort, 1 to 9, says how linear parts are looked for, and how long the model is tuned to large images.

    Raises
    ------
    DeviceError
        The device does not compute the model's integers exactly.
    """
    config = phase_config(model)
    exact.require_exact_sums(device)
    tuner = Tuner(model, device, exact.find_lowering(model, device), ROUNDS_OF_EFFORT[effort - 1])
    table = BaseTable(model.tensors["base"])
    return PhaseCoder(tuner.untuned, table, device, search_of(config, effort), tuner)


def search_of(config: PhaseConfig, effort: int = DEFAULT_EFFORT) -> Search:
    """How linear parts are looked for at an effort of 1 to 9."""
    search = SEARCHES[effort - 1]
    if search.linear_parts and config.orientations > 1:
        return replace(search, rounds=max(search.rounds, ROUNDS_BESIDE_ORIENTATIONS))
    return search


class PhaseCoder:
    """Codes planes Y, Co, Cg or a single grey one."""

    coarse_first = True

    def __init__(
        self,
        flow: PhaseFlow,
        table: BaseTable,
        device: torch.device,
        search: Search,
        tuner: Tuner | None = None,
    ) -> None:
        self._flow = flow
        self._table = table
        self._device = device
        self._search = search
        self._tuner = tuner

    def encode(
        self,
        planes: Ints,
        note: Note | None = None,
        costs: Costs | None = None,
        asked: Asked | None = None,
    ) -> tuple[bytes, Accounts]:
        """int32 planes (P, H, W), P = 1 or 3, as a payload.

        `note` sees what is coded under what, `costs` what that takes, `asked` what predictions were asked.
        """
        listeners = _Listeners(note, costs, asked)
        if self._tuner is None or not self._tuner.is_for(planes):
            return self._encode([planes], UNTUNED, listeners)
        started = time.perf_counter()
        chosen = min(self._trials(planes, self._tuner), key=len)
        payload, accounts = chosen.payload, chosen.accounts
        seconds = time.perf_counter() - started - sum(accounts.seconds.values())
        if listeners != _NOBODY:
            payload, accounts = self._encode([planes], chosen.tuning, listeners)
        fit = accounts.seconds["fit"] + seconds
        return payload, replace(accounts, seconds={**accounts.seconds, "fit": fit})

    def _trials(self, planes: Ints, tuner: Tuner) -> Iterator["_Trial"]:
        """Planes (P, H, W) untuned, and with tunings that get better, each beside the linear parts that the
        one before it left to find: in the first round one for each kind of views, then the best goes on.
        """
        latest = untuned = self._trial(planes, UNTUNED)
        yield untuned
        words = untuned.heard.words
        searches = [tuner.search(planes, views, words) for views in tuner.views]
        for of_round in tuner.rounds:
            steps, pace, moves = of_round.steps, of_round.pace, latest.heard.moves
            trials = [self._trial(planes, search.after(steps, pace, moves), words) for search in searches]
            yield from trials
            latest, search = min(zip(trials, searches, strict=True), key=lambda found: len(found[0]))
            searches = [search]

    def _trial(self, planes: Ints, tuning: Tuning, words: Sequence[Tensor] | None = None) -> "_Trial":
        """That of planes (P, H, W) of which the untuned model is known to have said these words."""
        heard = Heard.nothing(planes.shape, self._device)
        coded = self._encode([planes], tuning, _Listeners(asked=heard.note), words)
        return _Trial(tuning, *coded, heard)

    def encode_chain(self, images: Sequence[Ints]) -> tuple[bytes, Accounts]:
        """Several images' int32 planes (P, H, W), of one P, as one payload: they share the stack.

        The last image is pushed first, so that a decoder meets the images in their order.
        """
        return self._encode(images)

    def _encode(
        self,
        images: Sequence[Ints],
        tuning: Tuning = UNTUNED,
        listeners: _Listeners = _NOBODY,
        words: Sequence[Tensor] | None = None,
    ) -> tuple[bytes, Accounts]:
        flow = self._tuned(tuning, words) if tuning.shifts else self._flow
        run = _Recording(flow, Recorder(self._table.costs), _Clock(), listeners)
        later = sum(_symbols(planes.shape) for planes in images)
        if tuning.shifts:
            push_tuning(run.recorder, self._table, tuning, later)
        for planes in images:
            later -= _symbols(planes.shape)
            self._record_image(run, planes, later)
        with run.clock.stage("stack"):
            head = Head.with_tuning(run.recorder.best_growth(), tuning)
            stack = Stack(even=head.even)
            run.recorder.play(stack, head.growth)
            coded = to_bytes(stack)
        payload = bytes(head) + coded
        ledger = stack.ledger
        accounts = Accounts(ledger.content_bits, ledger.initial_bits, 8 * len(coded), 8, run.clock.seconds)
        return payload, accounts

    def decode(self, payload: bytes, planes: int, height: int, width: int) -> Ints:
        """int32 planes (P, H, W).

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode` writes.
        """
        return self._decode(payload, planes, [(height, width)])[0]

    def decode_chain(self, payload: bytes, planes: int, sizes: Sequence[tuple[int, int]]) -> list[Ints]:
        """Mirror image of `encode_chain`; `sizes` are height and width of each image.

        Raises
        ------
        DamagedFileError
            The payload is not one that `encode_chain` writes.
        """
        if Head.of(payload[:1]).tuned:
            raise DamagedFileError("a chain of images has a tuning; get a good copy of the file")
        return self._decode(payload, planes, sizes)

    def _decode(self, payload: bytes, planes: int, sizes: Sequence[tuple[int, int]]) -> list[Ints]:
        head = Head.of(payload[:1])
        stack = from_bytes(payload[1:], even=head.even)
        later = sum(_symbols((planes, *size)) for size in sizes)
        flow = self._pop_flow(stack, head, later)
        images = []
        for size in sizes:
            later -= _symbols((planes, *size))
            images.append(self._pop_image(flow, stack, planes, size, later, head.growth))
        stack.require_empty()
        return images

    def decode_scale(self, stack: Stack, head: Head, planes: int, size: tuple[int, int], scale: int) -> Ints:
        """int32 planes (P, h, w) of a scale of the one image on the stack: its pixels in rows and columns
        that are multiples of 2^scale, or those of its coarsest scale. What finer scales need stays on the
        stack.

        Raises
        ------
        DamagedFileError
            As for `decode`, as far as these pixels tell.
        """
        flow = self._pop_flow(stack, head, _symbols((planes, *size)))
        return self._pop_image(flow, stack, planes, size, 0, head.growth, scale)

    def _tuned(self, tuning: Tuning, words: Sequence[Tensor] | None = None) -> PhaseFlow:
        if self._tuner is None:
            raise TypeError("this coder has no model to tune")
        return self._tuner.tuned(tuning, words)

    def _pop_flow(self, stack: Stack, head: Head, before: int) -> PhaseFlow:
        """The flow that a payload was coded with; what it says of that is the first on the stack."""
        if head.tuned is None:
            return self._flow
        layers = self._flow.config.layers()
        tuning = pop_tuning(stack, self._table, layers, before, head.growth, head.tuned.gained)
        return self._tuned(replace(tuning, views=head.tuned.views))

    def _record_image(self, run: "_Recording", planes: Ints, later: int) -> None:
        """Record one image's planes (P, H, W); `later` samples are those of the images behind it."""
        count, height, width = planes.shape
        scales = [torch.from_numpy(planes)[None].float().to(self._device)]
        for _ in scale_sizes(height, width)[1:]:
            scales.append(scales[-1][..., ::2, ::2])
        self._record_coarsest(run.recorder, flat_ints(scales[-1]).reshape(count, -1))

        def code(prediction: Prediction) -> tuple[Tensor, Tensor]:
            phase, plane = prediction.phase, prediction.plane
            known = scales[prediction.level][(0, plane, *pixels_of(phase))]
            mean, parts = self._record(run, prediction, known, later)
            self._tell(run.listeners, prediction, parts)
            if run.listeners.asked is not None:
                run.listeners.asked(prediction, mean, known)
            return known, mean

        with torch.inference_mode(), run.clock.stage("network"):
            run.flow.walk(height, width, count, scales[-1], code)

    def _pop_image(
        self,
        flow: PhaseFlow,
        stack: Stack,
        planes: int,
        size: tuple[int, int],
        later: int,
        growth: int,
        scale: int = 0,
    ) -> Ints:
        """Mirror image of `_record_image`, down to `scale`."""
        coarsest = self._pop_coarsest(stack, planes, scale_sizes(*size)[-1])

        def code(prediction: Prediction) -> tuple[Tensor, Tensor]:
            fit, mean = None, plain_mean(prediction)
            if is_fitted(prediction):
                regressors = prediction.regressors()
                before = prediction.remaining + later
                fit = fitting.pop_fit(stack, self._table, len(regressors), before, growth)
                mean = fitting.moved_mean(prediction, regressors, fit.coefficients)

            def values(part: Part) -> Tensor:
                distribution = plain_distribution(part, prediction.legal)
                if fit is not None:
                    distribution = fit.corrected(distribution)
                x = pop_symbols(stack, self._table, distribution, part.remaining + later, growth)
                return torch.from_numpy(x).to(self._device).float().view(part.mean.shape)

            return prediction.ask(mean, values), mean

        with torch.inference_mode():
            decoded = flow.walk(*size, planes, coarsest, code, scale)
        return decoded[0].to(torch.int32).cpu().numpy()

    def _tell(self, listeners: _Listeners, prediction: Prediction, parts: "_Parts") -> None:
        """Say what was recorded, and what it costs, to those who want to know."""
        if listeners.note is None and listeners.costs is None:
            return
        bits = torch.zeros(prediction.mean.shape, dtype=torch.float64)
        for part, distribution, x in parts:
            if listeners.note is not None:
                listeners.note(distribution, x)
            if listeners.costs is not None:
                spent = symbol_bits(self._table, distribution, x)
                bits[part.place] = torch.from_numpy(spent).view(part.mean.shape)
        if listeners.costs is not None:
            listeners.costs(prediction, bits.flatten().numpy())

    def _record(
        self, run: "_Recording", prediction: Prediction, known: Tensor, later: int
    ) -> tuple[Tensor, "_Parts"]:
        """Record one prediction's values (h, w); returns the mean that it was asked with, and the
        distributions and values (n,) of its parts.
        """
        linear_part = None
        with run.clock.stage("fit"):
            if is_fitted(prediction):
                linear_part = self._linear_part(prediction, known)
            mean = plain_mean(prediction) if linear_part is None else linear_part.mean
        parts = _asked(prediction, mean, known)
        if linear_part is not None:
            with run.clock.stage("fit"):
                fit = Fit(linear_part.coefficients, self._corrections(parts))
                fitting.push_fit(run.recorder, self._table, fit, prediction.remaining + later)
                parts = [(part, fit.corrected(d), x) for part, d, x in parts]
        with run.clock.stage("distribution"):
            for part, d, x in parts:
                push_symbols(run.recorder, self._table, d, x, part.remaining + later)
        return mean, parts

    def _linear_part(self, prediction: Prediction, known: Tensor) -> LinearPart:
        """The one that the search finds for the known values (h, w)."""
        regressors, x = prediction.regressors(), flat_ints(known)
        if not self._search.linear_parts:
            return no_linear_part(prediction, regressors)
        if not self._search.rounds:
            return find_linear_part(prediction, regressors, x, self._table)

        def refine(mean: Tensor) -> Distribution:
            return _in_raster_order(_asked(prediction, mean, known), known.shape)

        return find_refined_linear_part(prediction, regressors, x, self._table, self._search.rounds, refine)

    def _corrections(self, parts: "_Parts") -> Ints:
        """Corrections for all parts together."""
        return find_corrections(_joined(parts), np.concatenate([x for _, _, x in parts]), self._table)

    def _record_coarsest(self, recorder: Recorder, planes: Ints) -> None:
        for values, (low, high) in zip(planes, LEGAL, strict=False):
            recorder.push(values - low, high - low + 1)

    def _pop_coarsest(self, stack: Stack, planes: int, size: tuple[int, int]) -> Tensor:
        values = [stack.pop(size[0] * size[1], high - low + 1) + low for low, high in LEGAL[:planes]]
        return torch.from_numpy(np.stack(values)).float().view(1, planes, *size).to(self._device)


def _symbols(shape: tuple[int, ...]) -> int:
    """How many samples of planes (P, H, W) are coded as symbols: all but those of the coarsest scale."""
    planes, height, width = shape
    coarsest_height, coarsest_width = scale_sizes(height, width)[-1]
    return planes * (height * width - coarsest_height * coarsest_width)


#: Parts of a prediction with their distributions and values (n,).
_Parts = list[tuple[Part, Distribution, Ints]]


def _asked(prediction: Prediction, mean: Tensor, known: Tensor) -> _Parts:
    """What the prediction comes to with a mean (h, w), for known values (h, w)."""
    parts: _Parts = []

    def values(part: Part) -> Tensor:
        x = known[part.place]
        parts.append((part, plain_distribution(part, prediction.legal), flat_ints(x)))
        return x

    prediction.ask(mean, values)
    return parts


def _joined(parts: _Parts) -> Distribution:
    """The distributions of all parts, one after another."""
    distributions = [d for _, d, _ in parts]
    return replace(
        distributions[0],
        mean=np.concatenate([d.mean for d in distributions]),
        scale=np.concatenate([d.scale for d in distributions]),
    )


def _in_raster_order(parts: _Parts, size: tuple[int, ...]) -> Distribution:
    """The distributions of all parts of a prediction of this size (h, w)."""
    places = np.arange(math.prod(size)).reshape(size)
    order = np.concatenate([places[part.place].ravel() for part, _, _ in parts])
    return _joined(parts)[np.argsort(order)]


@dataclass(frozen=True)
class _Trial:
    """An image's payload with one tuning, and what was heard of it."""

    tuning: Tuning
    payload: bytes
    accounts: Accounts
    heard: Heard

    def __len__(self) -> int:
        return len(self.payload)


@dataclass(frozen=True)
class _Recording:
    """One payload as it is recorded: with which flow, where, and who wants to know."""

    flow: PhaseFlow
    recorder: Recorder
    clock: "_Clock"
    listeners: _Listeners


class _Clock:
    """Seconds by stage; a stage inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"network": 0.0, "fit": 0.0, "distribution": 0.0, "stack": 0.0}
        self._outer: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._outer.append(name)
        yield
        self._outer.pop()
        seconds = time.perf_counter() - started
        self.seconds[name] += seconds
        if self._outer:
            self.seconds[self._outer[-1]] -= seconds
