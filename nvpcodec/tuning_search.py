"""How the encoder finds a tuning: gradient steps on the float twin of the model.

The gradients are floats, so what is found may differ from machine to machine, unlike all else that an encoder
chooses. The file carries it as integers, and every decoder reads the same.
"""

import math

import numpy as np
import torch
from torch import Tensor

from nvpcodec.context import all_planes
from nvpcodec.float_layers import Conv
from nvpcodec.model import Model, PhaseConfig
from nvpcodec.orientation import Orientation, orientations
from nvpcodec.phase_model import PhaseModel
from nvpcodec.stack import Ints
from nvpcodec.tables import ACTIVATION_UNIT
from nvpcodec.tuning import SHIFT_MAX, SHIFT_MIN, STEP_BITS, Tuning

#: Smaller images would pay more for the shifts than these save.
TUNED_PIXELS = 1 << 15
CROPS, CROP = 2, 128
#: Sides of crops are multiples of this, so that all scales that the twin sees have even sides.
CROP_MULTIPLE = 16
LEARNING_RATE, WARM_UP_STEPS = 1.6e-2, 5
#: What a step of a shift has to win, in bits. It costs about one; much of what it wins, fits would win too.
STEP_COST = 6
STEP = 2.0**STEP_BITS / ACTIVATION_UNIT


def can_be_tuned(planes: Ints) -> bool:
    """Whether planes (P, H, W) are large enough."""
    height, width = planes.shape[1:]
    return bool(height * width >= TUNED_PIXELS and min(height, width) > CROP_MULTIPLE)


def find_tuning(
    model: Model, planes: Ints, device: torch.device, steps: int, upright: bool = False
) -> Tuning:
    """Shifts that make int32 planes (P, H, W) likelier, their own cost taken into account."""
    with torch.inference_mode(False), torch.enable_grad():
        twin = float_twin(model).to(device)
        biases = {spec.name: twin.layer(spec.name).bias for spec in model.config.layers()}
        start = {name: bias.detach().clone() for name, bias in biases.items()}
        optimiser = torch.optim.Adam(biases.values(), lr=LEARNING_RATE, betas=(0.9, 0.98))
        coded = torch.from_numpy(planes).float().to(device)
        seen = orientations(twin.config.orientations, upright)
        generator = np.random.default_rng(steps)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * _rate(step, steps)
            turned = generator.integers(len(seen), size=CROPS)
            crops = torch.stack([_crop(coded, generator, seen[i]) for i in turned])
            nats = twin(all_planes(crops))[:, : len(planes)].sum() / crops.numel()
            moved = torch.stack([(biases[name] - start[name]).abs().sum() for name in biases]).sum()
            loss = nats + moved * (STEP_COST * math.log(2) / STEP / planes.size)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    shifts = {name: _in_steps(bias.detach() - start[name]) for name, bias in biases.items()}
    return Tuning(shifts, upright)


def float_twin(model: Model) -> PhaseModel:
    """The float model whose weights are the integer model's; only its biases ask for gradients."""
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
        layer.bias.copy_(torch.from_numpy(bias)).requires_grad_(True)
    return twin


def _rate(step: int, steps: int) -> float:
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


def _in_steps(moved: Tensor) -> Ints:
    steps: Ints = (moved / STEP).round().clamp(SHIFT_MIN, SHIFT_MAX).to(torch.int32).cpu().numpy()
    return steps
