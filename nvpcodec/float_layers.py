"""Float layers with the clamps, and on demand the roundings, of the integer ones."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.fixedpoint import WEIGHT_MAX
from nvpcodec.model import LayerSpec
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN, ACTIVATION_UNIT

LOW, HIGH = ACTIVATION_MIN / ACTIVATION_UNIT, ACTIVATION_MAX / ACTIVATION_UNIT


def round_through(x: Tensor) -> Tensor:
    """Round to nearest with the gradient of the identity (straight-through estimator)."""
    return x + (torch.floor(x + 0.5) - x).detach()


def round_activation(x: Tensor) -> Tensor:
    return round_through(x * ACTIVATION_UNIT) / ACTIVATION_UNIT


def weight_step(weight: Tensor) -> Tensor:
    """The power of two per output channel that brings the largest weight under 127: (out, 1, 1, 1)."""
    largest = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return torch.exp2(torch.ceil(torch.log2(largest / (WEIGHT_MAX + 0.49))))


class Conv(nn.Module):
    """Sum of one convolution per input, then a bias, then the clamp of an activation.

    `inputs` lists (channels, kernel) of each input. An input may be absent (None): it then counts as zero.
    A `gain` (out,), where there is one, scales what the weights say.
    """

    gain: Tensor | None

    def __init__(
        self, inputs: list[tuple[int, int]], outputs: int, relu: bool = False, zero: bool = False
    ) -> None:
        super().__init__()
        self.low = 0.0 if relu else LOW
        self.quantized = False
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("gain", None, persistent=False)
        self.weights = nn.ParameterList([torch.empty(outputs, c, k, k) for c, k in inputs])
        fan_in = sum(c * k * k for c, k in inputs)
        for weight in self.weights:
            nn.init.normal_(weight, std=0.0 if zero else (2.0 / fan_in) ** 0.5)

    def forward(self, *xs: Tensor | None) -> Tensor:
        total: Tensor | None = None
        for x, weight in zip(xs, self.rounded_weights(), strict=True):
            if x is not None:
                bias = self.bias.to(x.dtype) if total is None and self.gain is None else None
                y = F.conv2d(x, weight.to(x.dtype), bias, padding=weight.shape[-1] // 2)
                total = y if total is None else total.add_(y)
        assert total is not None
        if self.gain is not None:
            total = torch.addcmul(self.bias[:, None, None], total, self.gain[:, None, None])
        out = F.hardtanh(total, self.low, HIGH, inplace=True)
        return round_activation(out) if self.quantized else out

    def rounded_weights(self) -> list[Tensor]:
        if not self.quantized:
            return list(self.weights)
        step = torch.stack([weight_step(w) for w in self.weights]).amax(0)
        return [round_through(w / step) * step for w in self.weights]


def build_layers(specs: Iterable[LayerSpec]) -> nn.ModuleDict:
    """A layer for each spec, at `key(spec.name)`."""
    return nn.ModuleDict({key(s.name): Conv(list(s.inputs), s.outputs, s.relu, s.zero) for s in specs})


def find_layer(layers: nn.ModuleDict, name: str) -> Conv:
    """The layer of the spec called `name`."""
    layer = layers[key(name)]
    if not isinstance(layer, Conv):
        raise TypeError(f"{name} is no convolution")
    return layer


def key(name: str) -> str:
    """A module's name may hold no dot."""
    return name.replace(".", "/")


def add(trunk: Tensor, update: Tensor) -> Tensor:
    return F.hardtanh(trunk + update, LOW, HIGH, inplace=True)
