"""Exact integer layers as torch operations.

All tensors are float32 with integer values. A convolution whose partial sums stay below 2^24 is then exact in
any order of summation, and so is the requantization by a power of two; `model` has proved that bound for
every layer. What it does not cover is an algorithm that is no plain sum of products (Winograd, FFT) or one
that rounds its operands (TF32, bf16). So each lowering has to pass a known-answer test on the device before
it may code.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.errors import DeviceError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.model import LayerSpec, Model
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN

#: Values of an input for which PyTorch leaves its own convolution for oneDNN's, and some more.
LARGER_INPUT = 24000

#: Input (B, C, H, W), weight (O, C, k, k) with k odd -> zero-padded sums (B, O, H, W).
Lowering = Callable[[Tensor, Tensor], Tensor]


def direct(x: Tensor, weight: Tensor) -> Tensor:
    """The library's own convolution."""
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def gemm(x: Tensor, weight: Tensor) -> Tensor:
    """im2col and one matrix product: arithmetic that is known on every device."""
    batch, _, height, width = x.shape
    size = weight.shape[-1]
    columns = F.unfold(x, size, padding=size // 2) if size > 1 else x.flatten(2)
    return (weight.flatten(1) @ columns).view(batch, -1, height, width)


@dataclass(frozen=True)
class ExactLayer:
    """floor((sum of convolutions + bias) / 2^shift), clamped. An input may be absent (None)."""

    weights: tuple[Tensor, ...]
    bias: Tensor
    factor: Tensor
    low: int
    lowering: Lowering

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        total: Tensor | None = None
        for x, weight in zip(inputs, self.weights, strict=True):
            if x is not None:
                part = self.lowering(x, weight)
                total = part if total is None else total.add_(part)
        if total is None:
            raise ValueError("a layer needs at least one input")
        return total.add_(self.bias).mul_(self.factor).floor_().clamp_(self.low, ACTIVATION_MAX)


def add(trunk: Tensor, update: Tensor) -> Tensor:
    return (trunk + update).clamp_(ACTIVATION_MIN, ACTIVATION_MAX)


def layers(model: Model, device: torch.device, lowering: Lowering) -> dict[str, ExactLayer]:
    """All layers of the model on the device, by name."""
    return {spec.name: _layer(model, spec, device, lowering) for spec in model.config.layers()}


def _layer(model: Model, spec: LayerSpec, device: torch.device, lowering: Lowering) -> ExactLayer:
    def on_device(name: str) -> Tensor:
        return torch.from_numpy(model.tensors[f"{spec.name}.{name}"].astype(np.float32)).to(device)

    weights = tuple(
        on_device(f"weight{i}").contiguous(memory_format=torch.channels_last) for i in range(len(spec.inputs))
    )
    column = (1, -1, 1, 1)
    factor = torch.exp2(-on_device("shift")).view(column)
    return ExactLayer(
        weights, on_device("bias").view(column), factor, 0 if spec.relu else ACTIVATION_MIN, lowering
    )


def find_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one.

    Raises
    ------
    DeviceError
        CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError("there is no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def find_lowering(model: Model, device: torch.device) -> Lowering:
    """The fastest lowering that passes the known-answer test for every shape of the model.

    On CUDA the library's convolution is not asked: which algorithm it takes may change from call to call.

    Raises
    ------
    DeviceError
        No lowering passes: the device computes other integers.
    """
    shapes = sorted({(spec.outputs, *shape) for spec in model.config.layers() for shape in spec.inputs})
    for lowering in (direct, gemm) if device.type == "cpu" else (gemm,):
        if all(known_answer(lowering, device, *shape) for shape in shapes):
            return lowering
    raise DeviceError(f"the device {device} does not multiply integers exactly; use --device cpu")


def known_answer(lowering: Lowering, device: torch.device, outputs: int, channels: int, size: int) -> bool:
    """Whether extreme operands, with sums close to 2^24, give what exact sums give.

    Asked of a small and of a larger input, because libraries choose their algorithm by size.
    """
    larger = 24, -(-LARGER_INPUT // (24 * channels))
    return all(_is_exact(lowering, device, (outputs, channels, size), grid) for grid in ((7, 18), larger))


def _is_exact(
    lowering: Lowering, device: torch.device, shape: tuple[int, int, int], grid: tuple[int, int]
) -> bool:
    outputs, channels, size = shape
    i = np.arange(channels * grid[0] * grid[1]).reshape(1, channels, *grid)
    extremes = np.array([ACTIVATION_MIN, ACTIVATION_MAX, 1, -1, 257, ACTIVATION_MIN + 1, 0, 511])
    x = extremes[(i * 2654435761 >> 13) % 8]
    largest = min(127, (FLOAT32_EXACT - 1) // (-ACTIVATION_MIN * channels * size * size))
    j = np.arange(outputs * channels * size * size).reshape(outputs, channels, size, size)
    weight = (j * 2246822519 >> 11) % (2 * largest + 1) - largest
    weight[0] = largest
    x[..., :size, :size] = ACTIVATION_MIN
    got = lowering(
        torch.from_numpy(x.astype(np.float32)).to(device).contiguous(memory_format=torch.channels_last),
        torch.from_numpy(weight.astype(np.float32)).to(device).contiguous(memory_format=torch.channels_last),
    )
    return bool(np.array_equal(got.cpu().numpy(), _reference(x, weight)))


def _reference(x: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sums in float64, which holds every integer up to 2^53."""
    size = weight.shape[-1]
    margin = size // 2
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    sums = np.tensordot(windows, weight.astype(np.float64), ((1, 4, 5), (1, 2, 3)))
    return np.moveaxis(sums, 3, 1)
