"""From a trained float layer to the integers of its twin."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nvpcodec.errors import ModelError
from nvpcodec.fixedpoint import FLOAT32_EXACT, WEIGHT_MAX, accumulator_bounds
from nvpcodec.float_layers import Conv, weight_step
from nvpcodec.model import MAX_SHIFT, LayerSpec
from nvpcodec.tables import ACTIVATION_MIN, ACTIVATION_UNIT


def integer_layer(name: str, conv: Conv) -> dict[str, NDArray[Any]]:
    """Tensors `<name>.weight<i>` int8 (out, in, k, k), `.bias` int32 (out,) and `.shift` int8 (out,).

    A weight is a multiple of 2^-shift, the same for all inputs of an output channel: the step that
    training rounded with, or the next larger one that keeps every partial sum under 2^24.

    Raises
    ------
    ModelError
        A channel's weights or its bias are too large for any step, or not finite.
    """
    weights = [w.detach().double().cpu().numpy() for w in conv.weights]
    bias = conv.bias.detach().double().cpu().numpy()
    if not all(np.isfinite(values).all() for values in (*weights, bias)):
        raise ModelError(f"layer {name} has weights that are not finite; train it again")
    step = torch.stack([weight_step(w) for w in conv.weights]).amax(0).flatten()
    shift = np.minimum(-torch.log2(step).cpu().numpy().round().astype(np.int64), MAX_SHIFT)
    while True:
        if shift.min() < 0:
            raise ModelError(f"layer {name}, channel {shift.argmin()}: too large for 8-bit weights")
        integers, integer_bias = _round(weights, bias, shift)
        too_large = _too_large(integers, integer_bias)
        if not too_large.any():
            break
        shift = shift - too_large
    arrays: dict[str, NDArray[Any]] = {f"{name}.weight{i}": w.astype(np.int8) for i, w in enumerate(integers)}
    return arrays | {f"{name}.bias": integer_bias.astype(np.int32), f"{name}.shift": shift.astype(np.int8)}


def integer_layers(specs: Iterable[LayerSpec], layer: Callable[[str], Conv]) -> dict[str, NDArray[Any]]:
    """The tensors of all layers, each found by its name.

    Raises
    ------
    ModelError
        As for `integer_layer`.
    """
    return {k: v for spec in specs for k, v in integer_layer(spec.name, layer(spec.name)).items()}


def _round(
    weights: list[NDArray[np.float64]], bias: NDArray[np.float64], shift: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Weights in steps of 2^-shift; the bias in steps of a product, plus half of what the shift drops."""
    steps = np.exp2(shift)
    half = np.where(shift > 0, np.exp2(shift - 1), 0)
    integers = [np.floor(w * steps[:, None, None, None] + 0.5).astype(np.int64) for w in weights]
    largest = FLOAT32_EXACT
    scaled = np.clip(np.floor(bias * ACTIVATION_UNIT * steps + 0.5) + half, -largest, largest)
    return integers, scaled.astype(np.int64)


def _too_large(weights: list[NDArray[np.int64]], bias: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Output channels whose weights leave int8 or whose sums may leave what float32 holds exactly."""
    largest = np.max([np.abs(w).max((1, 2, 3)) for w in weights], axis=0)
    clipped = [np.clip(w, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8) for w in weights]
    sums = accumulator_bounds(clipped, bias.astype(np.int32), -ACTIVATION_MIN)
    unsuitable: NDArray[np.bool_] = (largest > WEIGHT_MAX) | (sums >= FLOAT32_EXACT)
    return unsuitable
