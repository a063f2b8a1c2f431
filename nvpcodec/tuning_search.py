"""How the encoder finds a tuning: gradient steps on the float twin of the model.

The gradients are floats, so what is found may differ from machine to machine, unlike all else that an encoder
chooses. The file carries it as integers, and every decoder reads the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from nvpcodec.context import all_planes
from nvpcodec.fixedpoint import FLOAT32_EXACT, accumulator_bounds
from nvpcodec.float_layers import Conv, key
from nvpcodec.model import Model, phase_config
from nvpcodec.moves import Moves
from nvpcodec.orientation import Orientation, orientations
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
#: What a step has to win, in bits. It costs about one.
STEP_COST = 4
SHIFT_STEP, GAIN_STEP = 2.0**STEP_BITS / ACTIVATION_UNIT, 1 / GAIN_UNIT

#: Of each layer, by its name: float32 (out,), in steps.
Steps = Mapping[str, Tensor]


def can_be_tuned(planes: Ints) -> bool:
    """Whether planes (P, H, W) are large enough."""
    height, width = planes.shape[1:]
    return bool(height * width >= TUNED_PIXELS and min(height, width) > CROP_MULTIPLE)


def find_tuning(
    model: Model, planes: Ints, device: torch.device, steps: int, moves: Moves, start: Tuning
) -> Tuning:
    """Shifts and gains that make int32 planes (P, H, W) likelier, their own cost taken into account, while
    linear parts move the means by `moves`: from a tuning that is known on, in its orientations.
    """
    with torch.inference_mode(False), torch.enable_grad():
        twin = float_twin(model).to(device)
        shifts, gains = _taken(twin, start.shifts, device), _taken(twin, start.gains, device)
        optimiser = torch.optim.Adam(
            [
                {"params": list(shifts.values()), "rate": SHIFT_RATE},
                {"params": list(gains.values()), "rate": GAIN_RATE},
            ],
            betas=(0.9, 0.98),
        )
        coded = torch.from_numpy(planes).float().to(device)
        # Copied, as no gradient may pass by what a caller made in inference mode.
        moved = [scale.clone() for scale in moves.scales[: twin.scales]]
        seen = orientations(twin.config.orientations, start.views)
        generator = np.random.default_rng(steps)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * _schedule(step, steps)
            turned = [seen[i] for i in generator.integers(len(seen), size=CROPS)]
            windows = [_Window.random(generator, planes.shape[1:], orientation) for orientation in turned]
            crops, beside = _cut(coded, windows), [_cut(scale, windows, i) for i, scale in enumerate(moved)]
            taken = torch.cat([*shifts.values(), *gains.values()]).abs().sum()
            loss = _nats(twin, _tuned(twin, shifts, gains), crops, beside) / crops.numel()
            loss = loss + taken * (STEP_COST * math.log(2) / planes.size)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    found = Tuning(_rounded(shifts, SHIFTS), _rounded(gains, GAINS), start.views)
    return within_bounds(found, model)


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


def _taken(twin: PhaseModel, steps: Mapping[str, Ints], device: torch.device) -> dict[str, Tensor]:
    """Those to start from: none, unless there are `steps` of a layer."""
    taken = {}
    for spec in twin.config.layers():
        known = torch.from_numpy(steps.get(spec.name, np.zeros(spec.outputs, np.int32)))
        taken[spec.name] = known.to(device, torch.float32).requires_grad_()
    return taken


def _tuned(twin: PhaseModel, shifts: Steps, gains: Steps) -> dict[str, Tensor]:
    """The twin's parameters, by their names in it, with these steps taken."""
    tuned = {}
    for name, shift in shifts.items():
        layer, prefix = twin.layer(name), f"layers.{key(name)}"
        tuned[f"{prefix}.bias"] = layer.bias + SHIFT_STEP * shift
        factor = (1 + GAIN_STEP * gains[name])[:, None, None, None]
        tuned |= {f"{prefix}.weights.{i}": weight * factor for i, weight in enumerate(layer.weights)}
    return tuned


def _nats(twin: PhaseModel, tuned: dict[str, Tensor], crops: Tensor, moves: Sequence[Tensor]) -> Tensor:
    """What crops (B, P, h, w) take, while linear parts move the means of their scales' planes."""
    shown = all_planes(crops), [all_planes(scale) for scale in moves]
    nats: Tensor = functional_call(twin, tuned, shown)
    return nats[:, : crops.shape[1]].sum()


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
    def random(
        cls, generator: np.random.Generator, size: tuple[int, ...], orientation: Orientation
    ) -> "_Window":
        """Of an image (H, W) in which there is room for one."""
        side = min(CROP, (min(size) - 1) // CROP_MULTIPLE * CROP_MULTIPLE)
        top, left = (
            CROP_MULTIPLE * int(generator.integers((length - side - late) // CROP_MULTIPLE + 1))
            for length, late in zip(size, _reversals(orientation), strict=True)
        )
        return cls(orientation, top, left, side)

    def of(self, planes: Tensor, scale: int = 0) -> Tensor:
        """The crop (P, h, w) of planes (P, H, W) of a scale."""
        side = self.side >> scale
        late = _reversals(self.orientation)
        for axis, start, is_reversed in zip((1, 2), (self.top, self.left), late, strict=True):
            planes = planes.narrow(axis, (start >> scale) + is_reversed, side)
            planes = planes.flip(axis) if is_reversed else planes
        return planes.transpose(1, 2) if self.orientation.transposed else planes


def _reversals(orientation: Orientation) -> tuple[bool, bool]:
    """Whether rows and columns of the image are reversed; an orientation transposes first."""
    reversals = orientation.down, orientation.across
    return reversals[::-1] if orientation.transposed else reversals


def _cut(planes: Tensor, windows: Sequence[_Window], scale: int = 0) -> Tensor:
    """Crops (B, P, h, w) of planes (P, H, W) of a scale."""
    return torch.stack([window.of(planes, scale) for window in windows])


def _rounded(taken: Steps, legal: tuple[int, int]) -> dict[str, Ints]:
    return {name: x.detach().round().clamp(*legal).to(torch.int32).cpu().numpy() for name, x in taken.items()}
