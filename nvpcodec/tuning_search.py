"""How the encoder finds a tuning: gradient steps on the float twin of the model.

The gradients are floats, so what is found may differ from machine to machine, unlike all else that an encoder
chooses. The file carries it as integers, and every decoder reads the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from nvpcodec.context import all_planes
from nvpcodec.fixedpoint import FLOAT32_EXACT, accumulator_bounds
from nvpcodec.float_layers import Conv, key
from nvpcodec.model import Model, phase_config
from nvpcodec.orientation import Orientation, Views, orientations
from nvpcodec.phase_model import PhaseModel
from nvpcodec.stack import Ints
from nvpcodec.tables import ACTIVATION_MIN, ACTIVATION_UNIT
from nvpcodec.tuning import GAIN_UNIT, GAINS, SHIFTS, STEP_BITS, Tuning, scaled_weights, shifted_bias

#: Smaller images would pay more for the shifts than these save.
TUNED_PIXELS = 1 << 15
CROPS, CROP = 2, 128
#: Sides of crops are multiples of this, so that all scales that the twin sees have even sides.
CROP_MULTIPLE = 16
#: Steps of shifts and of gains that Adam takes at most, at once.
SHIFT_RATE, GAIN_RATE = 0.25, 2.0
WARM_UP_STEPS = 5
#: How far apart windows lie, in parts of the image: powers of the inverse of the plastic number.
EVEN_STEPS = 0.7548776662466927, 0.5698402909980532
#: What a step has to win, in bits. It costs about one.
STEP_COST = 6
#: What a channel that is shifted or scaled has to win at least, in bits: about what it costs.
CHANNEL_COST = 8
#: Tiles of an image that tell which do.
MOST_TILES = 64
SHIFT_STEP, GAIN_STEP = 2.0**STEP_BITS / ACTIVATION_UNIT, 1 / GAIN_UNIT

#: Of each layer, by its name: float32 (out,), in steps.
Steps = Mapping[str, Tensor]

Size = tuple[int, int]


def can_be_tuned(planes: Ints) -> bool:
    """Whether planes (P, H, W) are large enough."""
    height, width = planes.shape[1:]
    return bool(height * width >= TUNED_PIXELS and min(height, width) > CROP_MULTIPLE)


class TuningSearch:
    """Looks for shifts and gains that make int32 planes (P, H, W) likelier, their cost taken into account.

    In these views; if the model as it was is asked beside, it says these `words`. Each round goes on from
    what the one before found.
    """

    def __init__(
        self, model: Model, planes: Ints, device: torch.device, views: Views, words: Sequence[Tensor]
    ) -> None:
        self._model, self._views = model, views
        with torch.inference_mode(False):
            self._scene = _Scene.of(model, planes, device, views, words)
            self._shifts, self._gains = self._scene.nothing_taken(), self._scene.nothing_taken()
        self._windows = map(self._scene.window, count())

    def after(self, steps: int, pace: float, moves: Sequence[Tensor]) -> Tuning:
        """The tuning after a round of so many steps, beside linear parts that move the means by `moves`. A
        slower pace wanders less.
        """
        with torch.inference_mode(False), torch.enable_grad():
            # Copied, as no gradient may pass by what a caller made in inference mode.
            beside = [scale.clone() for scale in moves]
            optimiser = torch.optim.Adam(
                [
                    {"params": list(self._shifts.values()), "rate": pace * SHIFT_RATE},
                    {"params": list(self._gains.values()), "rate": pace * GAIN_RATE},
                ],
                betas=(0.9, 0.98),
            )
            for step in range(steps):
                for group in optimiser.param_groups:
                    group["lr"] = group["rate"] * _schedule(step, steps)
                optimiser.zero_grad()
                self._loss(beside).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            self._round()
            self._take_back(beside)
        found = Tuning(_integers(self._shifts), _integers(self._gains), self._views)
        return within_bounds(found, self._model)

    def _loss(self, moves: Sequence[Tensor]) -> Tensor:
        """Of the next crops, in nats a pixel."""
        windows = list(islice(self._windows, CROPS))
        nats = self._scene.nats(self._shifts, self._gains, windows, moves)
        taken = torch.cat([*self._shifts.values(), *self._gains.values()]).abs().sum()
        costs = taken * (STEP_COST * math.log(2) / math.prod(self._scene.size))
        return nats / (CROPS * windows[0].side ** 2) + costs

    def _round(self) -> None:
        """To whole steps, as files have them."""
        with torch.no_grad():
            for of_layers, legal in ((self._shifts, SHIFTS), (self._gains, GAINS)):
                for taken in of_layers.values():
                    taken.round_().clamp_(*legal)

    def _take_back(self, moves: Sequence[Tensor]) -> None:
        """The steps of channels that the image would miss by less than they cost.

        What it would miss is estimated to the second order, from gradients and, for the curvature, the sum of
        their squares over tiles (the empirical Fisher information).
        """
        scene = self._scene
        steps = [*self._shifts.values(), *self._gains.values()]
        tiles = _Window.tiles(scene.size, scene.seen)
        gradients, squares = ([torch.zeros_like(of_layer) for of_layer in steps] for _ in range(2))
        for tile in tiles:
            nats = scene.nats(self._shifts, self._gains, [tile], moves)
            found = torch.autograd.grad(nats, steps, materialize_grads=True)
            for of_layer, gradient, square in zip(found, gradients, squares, strict=True):
                gradient += of_layer
                square += of_layer**2
        seen = len(tiles) * tiles[0].side ** 2 / math.prod(scene.size)
        with torch.no_grad():
            for taken, gradient, square in zip(steps, gradients, squares, strict=True):
                missed = (square * taken / 2 - gradient) * taken / seen
                taken[missed < CHANNEL_COST * math.log(2)] = 0.0


def within_bounds(tuning: Tuning, model: Model) -> Tuning:
    """With less of shifts and gains where sums could become too large: half of them, as often as it takes."""
    shifts, gains = dict(tuning.shifts), dict(tuning.gains)
    for name in shifts:
        while (too_large := _bounds(model, name, shifts[name], gains[name]) >= FLOAT32_EXACT).any():
            for steps in (shifts, gains):
                steps[name] = np.where(too_large, np.fix(steps[name] / 2), steps[name]).astype(np.int32)
    return replace(tuning, shifts=shifts, gains=gains)


def _bounds(model: Model, layer: str, shifts: Ints, gains: Ints) -> NDArray[np.int64]:
    """Of all partial sums of a tuned layer's channels (out,)."""
    weights, bias = scaled_weights(model, layer, gains), shifted_bias(model, layer, shifts)
    return accumulator_bounds(weights, bias, -ACTIVATION_MIN)


def float_twin(model: Model) -> PhaseModel:
    """The float model whose weights are the integer model's."""
    config = phase_config(model)
    twin = PhaseModel(config)
    twin.requires_grad_(False)
    for spec in config.layers():
        layer: Conv = twin.layer(spec.name)
        shift = model.tensors[f"{spec.name}.shift"].astype(np.int64)
        units = np.exp2(-shift.astype(np.float64))
        half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
        for i, weight in enumerate(layer.weights):
            integers = model.tensors[f"{spec.name}.weight{i}"]
            weight.copy_(torch.from_numpy(integers * units[:, None, None, None]))
        bias = (model.tensors[f"{spec.name}.bias"] - half) * units / ACTIVATION_UNIT
        layer.bias.copy_(torch.from_numpy(bias))
    return twin


def _tuned(twin: PhaseModel, shifts: Steps, gains: Steps) -> dict[str, Tensor]:
    """The twin's parameters and buffers, by their names in it, with these steps taken.

    Gains scale results instead of weights, so that no gradient of weights is worked out.
    """
    tuned = {}
    for name, shift in shifts.items():
        prefix = f"layers.{key(name)}"
        tuned[f"{prefix}.bias"] = twin.layer(name).bias + SHIFT_STEP * shift
        tuned[f"{prefix}.gain"] = 1 + GAIN_STEP * gains[name]
    return tuned


def _schedule(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to nothing."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


@dataclass(frozen=True)
class _Window:
    """Where a square crop of an image lies, and how it is turned: as scales are, so that what is even in a
    scale of the image is even in that of the crop.

    top, left: multiples of CROP_MULTIPLE; in each scale, what is reversed begins a row or a column later
    """

    orientation: Orientation
    top: int
    left: int
    side: int

    @classmethod
    def numbered(cls, number: int, size: Size, seen: Sequence[Orientation]) -> "_Window":
        """Of an image (H, W) in which there is room for one, in one orientation after another: the point of
        this number in a sequence that fills the square evenly (Roberts 2018, R2).
        """
        orientation, side = seen[number % len(seen)], _side(size)
        top, left = (
            CROP_MULTIPLE * int((0.5 + number * step) % 1 * ((length - side - late) // CROP_MULTIPLE + 1))
            for length, step, late in zip(size, EVEN_STEPS, _reversals(orientation), strict=True)
        )
        return cls(orientation, top, left, side)

    @classmethod
    def tiles(cls, size: Size, seen: Sequence[Orientation]) -> "list[_Window]":
        """Of an image (H, W), all over it as evenly as may be, in one of these orientations after another."""
        side = _side(size)
        tops, lefts = (
            CROP_MULTIPLE
            * np.linspace(0, (length - side - 1) // CROP_MULTIPLE, -(-length // side)).astype(int)
            for length in size
        )
        places = [(int(top), int(left)) for top in tops for left in lefts]
        evenly = places[:: -(-len(places) // MOST_TILES)]
        return [cls(orientation, *place, side) for orientation, place in zip(cycle(seen), evenly)]

    def of(self, planes: Tensor, scale: int = 0) -> Tensor:
        """The crop (..., h, w) of planes (..., H, W) of a scale."""
        side = self.side >> scale
        late = _reversals(self.orientation)
        for axis, start, is_reversed in zip((-2, -1), (self.top, self.left), late, strict=True):
            planes = planes.narrow(axis, (start >> scale) + is_reversed, side)
            planes = planes.flip(axis) if is_reversed else planes
        return planes.transpose(-2, -1) if self.orientation.transposed else planes


def _reversals(orientation: Orientation) -> tuple[bool, bool]:
    """Whether rows and columns of the image are reversed; an orientation transposes first."""
    reversals = orientation.down, orientation.across
    return reversals[::-1] if orientation.transposed else reversals


def _side(size: Size) -> int:
    """Of crops of an image (H, W); a reversed one begins one later."""
    return min(CROP, (min(size) - 1) // CROP_MULTIPLE * CROP_MULTIPLE)


@dataclass(frozen=True)
class _Scene:
    """What the twin of a model is shown of an image, and in which orientations: planes (P, H, W), and, if the
    model as it was is asked beside, what that says of all scales.
    """

    twin: PhaseModel
    seen: Sequence[Orientation]
    planes: Tensor
    words: Sequence[Tensor] | None

    @classmethod
    def of(
        cls, model: Model, planes: Ints, device: torch.device, views: Views, words: Sequence[Tensor]
    ) -> "_Scene":
        twin = float_twin(model).to(device)
        said = [scale.clone() for scale in words] if views is Views.BESIDE else None
        seen = orientations(twin.config.orientations, views)
        return cls(twin, seen, torch.from_numpy(planes).float().to(device), said)

    @property
    def size(self) -> Size:
        return self.planes.shape[1], self.planes.shape[2]

    def window(self, number: int) -> _Window:
        return _Window.numbered(number, self.size, self.seen)

    def nothing_taken(self) -> dict[str, Tensor]:
        """No steps of any layer, of which gradients are wanted."""
        return {
            spec.name: torch.zeros(spec.outputs, device=self.planes.device, requires_grad=True)
            for spec in self.twin.config.layers()
        }

    def nats(
        self, shifts: Steps, gains: Steps, windows: Sequence[_Window], moves: Sequence[Tensor]
    ) -> Tensor:
        """What crops take with these steps."""

        def crops(planes: Tensor, scale: int = 0) -> Tensor:
            return all_planes(torch.stack([window.of(planes, scale) for window in windows]))

        shown = [
            None
            if scales is None
            else [crops(scale, i) for i, scale in enumerate(scales[: self.twin.scales])]
            for scales in (moves, self.words)
        ]
        tuned = _tuned(self.twin, shifts, gains)
        nats: Tensor = functional_call(self.twin, tuned, (crops(self.planes), *shown))
        return nats[:, : len(self.planes)].sum()


def _integers(steps: Steps) -> dict[str, Ints]:
    return {name: taken.detach().to(torch.int32).cpu().numpy() for name, taken in steps.items()}
