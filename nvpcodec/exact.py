"""Exact integer layers as torch operations.

All tensors are float32 with integer values. A convolution whose partial sums stay below 2^24 is then exact in
any order of summation, and so is the requantization by a power of two; `model` has proved that bound for
every layer. What it does not cover is an algorithm that is no plain sum of products (Winograd, FFT) or one
that rounds its operands (bf16). So each lowering has to pass a known-answer test on the device before it may
code, for every shape of layer, and again whenever the program around us lets torch multiply less precisely.

The power of two by which a layer divides is in its weights and its bias beforehand. That moves the exponents
of all products and sums alike and touches none of their digits, so the bound holds as it does for integers.

TF32 has 11 significant bits. It holds every activation, of 10 bits with their sign, and every weight, of 8.
So it rounds no operand here, and the known answers hold whether it is allowed or not.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec.errors import DeviceError
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.model import MAX_SHIFT, LayerSpec, Model
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN

#: Values of an input for which PyTorch leaves its own convolution for oneDNN's, and some more.
LARGER_INPUT = 24000
#: Largest magnitude that `weighted_sum` is given.
SUMMED_MAX = 2040

#: Input (B, C, H, W), weight (O, C, k, k) with k odd, bias (O,) or None -> zero-padded sums (B, O, H, W).
Lowering = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def direct(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The library's own convolution."""
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def gemm(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """im2col and one matrix product: arithmetic that is known on every device."""
    batch, _, height, width = x.shape
    size = weight.shape[-1]
    columns = F.unfold(x, size, padding=size // 2) if size > 1 else x.flatten(2)
    sums = (weight.flatten(1) @ columns).view(batch, -1, height, width)
    return sums if bias is None else sums.add_(bias.view(-1, 1, 1))


def weighted_sum(coefficients: Tensor, rows: Tensor) -> Tensor:
    """Sums (m,) of rows (n, m), each times its coefficient (n,); exact while they stay below 2^24."""
    return coefficients @ rows


#: Lowerings that a kind of device may use, the fastest first. CUDA's own convolution is not among them: which
#: algorithm it takes may change from call to call.
LOWERINGS: dict[str, tuple[Lowering, ...]] = {"cpu": (direct, gemm), "cuda": (gemm,)}


def float32_settings() -> tuple[object, ...]:
    """How precisely torch has been told to multiply float32; since 2.9 each library has a setting."""
    mkldnn = torch.backends.mkldnn
    places = (torch.backends.cuda.matmul, getattr(mkldnn, "matmul", None), getattr(mkldnn, "conv", None))
    settings = tuple(getattr(place, "fp32_precision", None) for place in places)
    return settings if any(settings) else (torch.get_float32_matmul_precision(),)


class Shape(NamedTuple):
    """Of a weight (outputs, channels, size, size), and whether a bias goes with it."""

    outputs: int
    channels: int
    size: int
    biased: bool


def is_proved(lowering: Lowering, device: torch.device, shape: Shape) -> bool:
    """Whether the known answers of this shape come out: asked once a process, and again after torch has been
    given other settings.
    """
    case = (lowering, device, shape, *float32_settings())
    if case not in _passed and known_answer(lowering, device, shape):
        _passed.add(case)
    return case in _passed


#: Cases that have passed their known-answer test in this process.
_passed: set[tuple[object, ...]] = set()


@dataclass(frozen=True)
class ExactLayer:
    """floor(sum of convolutions + bias), clamped. An input may be absent (None).

    Weights (O, C, k, k), one for each input, and bias (O,) are integers divided by 2^shift.

    Raises
    ------
    DeviceError
        The lowering fails its known-answer test, which it may have passed under other settings of torch.
    """

    weights: tuple[Tensor, ...]
    bias: Tensor
    low: int
    lowering: Lowering

    @classmethod
    def of_integers(
        cls,
        weights: Sequence[NDArray[Any]],
        bias: NDArray[Any],
        shift: NDArray[Any],
        low: int,
        lowering: Lowering,
        device: torch.device,
    ) -> "ExactLayer":
        """From integers: weights (O, C, k, k), bias (O,) and shift (O,)."""
        return cls(
            tuple(_on(device, w, shift).contiguous(memory_format=torch.channels_last) for w in weights),
            _on(device, bias, shift),
            low,
            lowering,
        )

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        total: Tensor | None = None
        for x, weight in zip(inputs, self.weights, strict=True):
            if x is not None:
                bias = self.bias if total is None else None
                outputs, channels, size, _ = weight.shape
                if not is_proved(self.lowering, x.device, Shape(outputs, channels, size, bias is not None)):
                    raise _inexact(x.device)
                part = self.lowering(x, weight, bias)
                total = part if total is None else total.add_(part)
        if total is None:
            raise ValueError("a layer needs at least one input")
        return total.floor_().clamp_(self.low, ACTIVATION_MAX)


def add(trunk: Tensor, update: Tensor) -> Tensor:
    """The clamped sum, in the memory of the update."""
    return update.add_(trunk).clamp_(ACTIVATION_MIN, ACTIVATION_MAX)


def layers(model: Model, device: torch.device, lowering: Lowering) -> dict[str, ExactLayer]:
    """All layers of the model on the device, by name."""
    return {spec.name: _layer(model, spec, device, lowering) for spec in model.config.layers()}


def _layer(model: Model, spec: LayerSpec, device: torch.device, lowering: Lowering) -> ExactLayer:
    def tensor(part: str) -> NDArray[Any]:
        return model.tensors[f"{spec.name}.{part}"]

    return ExactLayer.of_integers(
        [tensor(f"weight{i}") for i in range(len(spec.inputs))],
        tensor("bias"),
        tensor("shift"),
        0 if spec.relu else ACTIVATION_MIN,
        lowering,
        device,
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

    Raises
    ------
    DeviceError
        No lowering passes: the device computes other integers.
    """
    shapes = shapes_of(model.config.layers())
    for lowering in LOWERINGS[device.type]:
        if all(is_proved(lowering, device, shape) for shape in shapes):
            return lowering
    raise _inexact(device)


def shapes_of(specs: Iterable[LayerSpec]) -> list[Shape]:
    """Those of all inputs; the first of a layer takes its bias."""
    return sorted({Shape(spec.outputs, *x, i == 0) for spec in specs for i, x in enumerate(spec.inputs)})


def require_exact_sums(device: torch.device) -> None:
    """Ask `weighted_sum` for known answers, of few and of many columns.

    Raises
    ------
    DeviceError
        They do not come out.
    """
    for count, columns in ((48, 126), (96, LARGER_INPUT)):
        magnitude = (FLOAT32_EXACT - 1) // (count * SUMMED_MAX)
        i, j = np.arange(count), np.arange(count * columns).reshape(count, columns)
        coefficients = magnitude - (i * 2654435761 >> 13) % 3
        rows = SUMMED_MAX - (j * 2246822519 >> 11) % (2 * SUMMED_MAX + 1)
        rows[:, :2] = SUMMED_MAX, -SUMMED_MAX
        rows[:, 2] = SUMMED_MAX - 1
        got = weighted_sum(_on(device, coefficients), _on(device, rows)).cpu().numpy()
        if not np.array_equal(got, np.einsum("n,nm->m", coefficients, rows)):
            raise _inexact(device)


def known_answer(lowering: Lowering, device: torch.device, shape: Shape) -> bool:
    """Whether extreme operands, with sums close to 2^24, give what exact sums give.

    Asked of a small and of a larger input, because libraries choose their algorithm by size, and with all
    powers of two that a layer may divide by.
    """
    larger = 24, -(-LARGER_INPUT // (24 * shape.channels))
    return all(_is_exact(lowering, device, shape, grid) for grid in ((7, 18), larger))


def _is_exact(lowering: Lowering, device: torch.device, shape: Shape, grid: tuple[int, int]) -> bool:
    x, weight, bias = known_operands(shape, grid)
    shift = np.arange(shape.outputs) % (MAX_SHIFT + 1)
    got = lowering(
        _on(device, x).contiguous(memory_format=torch.channels_last),
        _on(device, weight, shift).contiguous(memory_format=torch.channels_last),
        None if bias is None else _on(device, bias, shift),
    )
    powers = np.exp2(shift).astype(np.float32).reshape(-1, 1, 1)
    return np.array_equal(got.cpu().numpy() * powers, known_sums(x, weight, bias))


def known_operands(
    shape: Shape, grid: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
    """Input (1, C, h, w) on a grid, weight (O, C, k, k) and bias (O,), if the shape has one: extremes, one
    sum the largest that there is, 1 - 2^24 with a bias.

    Odd outputs have large weights of all signs, output 1 the largest odd one everywhere, and signs of the
    input come in blocks of 2x2: what passes through a Winograd transform is largest then, with fractions.
    """
    outputs, channels, size, biased = shape
    i = np.arange(channels * grid[0] * grid[1]).reshape(1, channels, *grid)
    extremes = np.array([ACTIVATION_MIN, ACTIVATION_MAX, 1, -1, 257, ACTIVATION_MIN + 1, 0, 511])
    x = extremes[(i * 2654435761 >> 13) % 8]
    largest = min(127, (FLOAT32_EXACT - 1) // (-ACTIVATION_MIN * channels * size * size))
    j = np.arange(outputs * channels * size * size).reshape(outputs, channels, size, size)
    weight = (j * 2246822519 >> 11) % (2 * largest + 1) - largest
    weight[1::2] = np.where(weight[1::2] < 0, -largest, largest - j[1::2] % 2)
    weight[1:2] = largest - 1 + largest % 2
    weight[0] = largest
    blocks = x[..., -4:, : grid[1] // 2]
    rows, columns = np.indices(blocks.shape[2:])
    blocks[:] = np.where((rows // 2 + columns // 2) % 2, ACTIVATION_MAX, ACTIVATION_MIN)
    x[..., :size, :size] = ACTIVATION_MIN
    room = FLOAT32_EXACT - 1 + largest * ACTIVATION_MIN * channels * size * size
    bias = np.where(np.arange(outputs) % 2, room, -room)
    return x, weight, bias if biased else None


def known_sums(
    x: NDArray[np.int64], weight: NDArray[np.int64], bias: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """What a lowering must give, in 64-bit integers, which no setting and no library can round."""
    size = weight.shape[-1]
    margin = size // 2
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    sums = np.zeros((len(x), len(weight), height, width), np.int64)
    for down in range(size):
        for right in range(size):
            window = padded[:, :, down : down + height, right : right + width]
            sums += np.einsum("oc,bchw->bohw", weight[:, :, down, right], window)
    return sums if bias is None else sums + bias.reshape(-1, 1, 1)


def _on(device: torch.device, values: NDArray[Any], shift: NDArray[Any] | None = None) -> Tensor:
    """Integers (O, ...) on the device, divided by 2^shift (O,)."""
    exponents = 0 if shift is None else -shift.astype(np.int32).reshape(-1, *(1,) * (values.ndim - 1))
    # Not by the device's exp2, which may be off in its last place.
    return torch.from_numpy(np.ldexp(values.astype(np.float32), exponents)).to(device)


def _inexact(device: torch.device) -> DeviceError:
    advice = "use --device cpu"
    if device.type == "cpu":
        advice = 'call torch.set_float32_matmul_precision("highest") first, or update torch'
    return DeviceError(f"the device {device} does not multiply integers exactly; {advice}")
