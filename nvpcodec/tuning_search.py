"""How the encoder finds a tuning: gradient steps on the float twin of the model.

The gradients are floats, so what is found may differ from machine to machine, unlike all else that an encoder
chooses. The file carries it as integers, and every decoder reads the same.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from nvpcodec.context import all_planes
from nvpcodec.fixedpoint import FLOAT32_EXACT, accumulator_bounds
from nvpcodec.float_layers import Conv, key
from nvpcodec.model import Model, PhaseConfig
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
#: What a step has to win, in bits. It costs about one; much of what it wins, fits would win too.
STEP_COST = 4
SHIFT_STEP, GAIN_STEP = 2.0**STEP_BITS / ACTIVATION_UNIT, 1 / GAIN_UNIT

#: Of each layer, by its name: float32 (out,), in steps.
Taken = Mapping[str, Tensor]


def can_be_tuned(planes: Ints) -> bool:
    """Whether planes (P, H, W) are large enough."""
    height, width = planes.shape[1:]
    return bool(height * width >= TUNED_PIXELS and min(height, width) > CROP_MULTIPLE)


def find_tuning(
    model: Model, planes: Ints, device: torch.device, steps: int, upright: bool = False
) -> Tuning:
    """Shifts and gains that make int32 planes (P, H, W) likelier, their own cost taken into account."""
    with torch.inference_mode(False), torch.enable_grad():
        twin = float_twin(model).to(device)
        shifts, gains = _none_taken(twin, device), _none_taken(twin, device)
        optimiser = torch.optim.Adam(
            [
                {"params": list(shifts.values()), "rate": SHIFT_RATE},
                {"params": list(gains.values()), "rate": GAIN_RATE},
            ],
            betas=(0.9, 0.98),
        )
        coded = torch.from_numpy(planes).float().to(device)
        seen = orientations(twin.config.orientations, upright)
        generator = np.random.default_rng(steps)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * _schedule(step, steps)
            turned = generator.integers(len(seen), size=CROPS)
            crops = torch.stack([_crop(coded, generator, seen[i]) for i in turned])
            tuned = _tuned(twin, shifts, gains)
            nats = functional_call(twin, tuned, (all_planes(crops),))[:, : len(planes)].sum() / crops.numel()
            taken = torch.cat([*shifts.values(), *gains.values()]).abs().sum()
            loss = nats + taken * (STEP_COST * math.log(2) / planes.size)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    found = Tuning(_rounded(shifts, SHIFTS), _rounded(gains, GAINS), upright)
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
    if not isinstance(model.config, PhaseConfig):
        raise TypeError("only a phase model has a twin here")
    twin = PhaseModel(model.config)
    twin.requires_grad_(False)
    for spec in model.config.layers():
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


def _none_taken(twin: PhaseModel, device: torch.device) -> dict[str, Tensor]:
    specs = twin.config.layers()
    return {spec.name: torch.zeros(spec.outputs, device=device, requires_grad=True) for spec in specs}


def _tuned(twin: PhaseModel, shifts: Taken, gains: Taken) -> dict[str, Tensor]:
    """The twin's parameters, by their names in it, with these steps taken."""
    tuned = {}
    for name, shift in shifts.items():
        layer, prefix = twin.layer(name), f"layers.{key(name)}"
        tuned[f"{prefix}.bias"] = layer.bias + SHIFT_STEP * shift
        factor = (1 + GAIN_STEP * gains[name])[:, None, None, None]
        tuned |= {f"{prefix}.weights.{i}": weight * factor for i, weight in enumerate(layer.weights)}
    return tuned


def _schedule(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to nothing."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


def _crop(planes: Tensor, generator: np.random.Generator, orientation: Orientation) -> Tensor:
    """A random part (P, h, w) of planes (P, H, W), turned as scales are: rows and columns that are even in
    the image are even in the part.
    """
    planes = planes.transpose(1, 2) if orientation.transposed else planes
    side = min(CROP, (min(planes.shape[1:]) - 1) // CROP_MULTIPLE * CROP_MULTIPLE)
    for axis, is_reversed in ((1, orientation.down), (2, orientation.across)):
        places = (planes.shape[axis] - side - is_reversed) // 2 + 1
        planes = planes.narrow(axis, 2 * int(generator.integers(places)) + is_reversed, side)
        planes = planes.flip(axis) if is_reversed else planes
    return planes


def _rounded(taken: Taken, legal: tuple[int, int]) -> dict[str, Ints]:
    return {name: x.detach().round().clamp(*legal).to(torch.int32).cpu().numpy() for name, x in taken.items()}
