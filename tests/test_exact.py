"""Exact layers give what 64-bit integers give, and a device that does not is found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact
from nvpcodec.errors import DeviceError
from nvpcodec.exact import ExactLayer, Lowering, direct, find_device, find_lowering, gemm, known_answer
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN
from tests.models import small_model

CPU = torch.device("cpu")
LOWERINGS = [direct, gemm]
SHAPES = [(1, 1, 1), (4, 54, 1), (8, 8, 3), (3, 48, 3), (2, 1, 3)]


def convolved(x: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zero-padded sums, tap by tap, in int64."""
    size = weight.shape[-1]
    margin = size // 2
    height, width = x.shape[-2:]
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    total = np.zeros((len(x), len(weight), height, width), np.int64)
    for i in range(size):
        for j in range(size):
            window = padded[:, :, i : i + height, j : j + width]
            total += np.einsum("bchw,oc->bohw", window, weight[:, :, i, j])
    return total


def floats(x: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(x.astype(np.float32))


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("low", [0, ACTIVATION_MIN])
@pytest.mark.parametrize("shift", [0, 7, 14, 23])
def test_layer_at_extremes(lowering: Lowering, low: int, shift: int) -> None:
    """Two inputs, weights so large that sums come within a whisker of 2^24; every seed a different mix."""
    generator = np.random.default_rng(shift)
    weights = [generator.choice([-127, 127, -1, 3], (6, c, k, k)) for c, k in ((20, 3), (44, 1))]
    x = [generator.choice([ACTIVATION_MIN, ACTIVATION_MAX, 0, -1], (1, c, 9, 11)) for c in (20, 44)]
    for i in range(2):  # one output and one place reach the largest sum there is
        weights[i][0] = -127
        x[i][..., 2:6, 2:6] = ACTIVATION_MIN
    room = (1 << 24) - 1 - 127 * 512 * (20 * 9 + 44)
    bias = np.array([room, -room, 0, 1, -1, 1 << shift >> 1])
    column = (1, 6, 1, 1)
    layer = ExactLayer(
        tuple(floats(w) for w in weights),
        floats(bias).view(column),
        torch.full(column, 2.0**-shift),
        low,
        lowering,
    )
    total = convolved(x[0], weights[0]) + convolved(x[1], weights[1]) + bias.reshape(column)
    assert total.max() == (1 << 24) - 1
    expected = np.clip(total >> shift, low, ACTIVATION_MAX)
    assert np.array_equal(layer(*map(floats, x)).numpy().astype(np.int64), expected)


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_an_absent_input_counts_as_zero(lowering: Lowering) -> None:
    layer = exact.layers(small_model(), CPU, lowering)["level0.coupling0.stem"]
    generator = np.random.default_rng(1)
    context = floats(generator.integers(-512, 512, (1, 54, 5, 6)))
    assert torch.equal(layer(context, None), layer(context, torch.zeros(1, 4, 5, 6)))
    with pytest.raises(ValueError, match="input"):
        layer(None, None)


def test_both_lowerings_agree_on_a_model() -> None:
    generator = np.random.default_rng(2)
    first, second = (exact.layers(small_model(), CPU, lowering) for lowering in LOWERINGS)
    for spec in small_model().config.layers():
        x = [floats(generator.integers(-512, 512, (1, c, 6, 7))) for c, _ in spec.inputs]
        a, b = first[spec.name](*x), second[spec.name](*x)
        assert torch.equal(a, b)
        assert a.min() >= (0 if spec.relu else ACTIVATION_MIN)
        assert a.max() <= ACTIVATION_MAX


def test_add_is_clamped() -> None:
    a, b = torch.tensor([-512.0, 511, 500, 3]), torch.tensor([-1.0, 1, 11, 4])
    assert exact.add(a, b).tolist() == [-512, 511, 511, 7]


def rounded_to(x: Tensor, bits: int) -> Tensor:
    """x with a mantissa of so many bits behind the leading one."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp((mantissa * 2.0 ** (bits + 1)).round(), exponent - bits - 1)


def tf32(x: Tensor, weight: Tensor) -> Tensor:
    """Products of operands rounded to 10 bits of mantissa, accumulated in float32, then rounded the same."""
    return rounded_to(gemm(rounded_to(x, 10), rounded_to(weight, 10)), 10)


def bf16_operands(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x.bfloat16().float(), weight.bfloat16().float())


def bf16_accumulation(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight).bfloat16().float()


def half_accumulation(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight).half().float()


def off_by_one(x: Tensor, weight: Tensor) -> Tensor:
    result = gemm(x, weight)
    result[..., -1, -1] += 1
    return result


def wrong_padding(x: Tensor, weight: Tensor) -> Tensor:
    margin = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (margin,) * 4, mode="replicate"), weight)


def mirrored(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight.flip(1))


def a_bit_more(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight) + 0.25


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_known_answer_passes(lowering: Lowering, shape: tuple[int, int, int]) -> None:
    assert known_answer(lowering, CPU, *shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "lowering",
    [tf32, bf16_operands, bf16_accumulation, half_accumulation, off_by_one, a_bit_more],
    ids=lambda f: f.__name__,
)
def test_known_answer_finds_faults(lowering: Lowering, shape: tuple[int, int, int]) -> None:
    assert not known_answer(lowering, CPU, *shape)


def test_known_answer_finds_faults_of_shape() -> None:
    assert not known_answer(wrong_padding, CPU, 8, 8, 3)
    assert not known_answer(mirrored, CPU, 8, 8, 3)


def test_known_answer_comes_close_to_the_limit() -> None:
    """Operands that no product of which is above half the range would prove little."""
    seen = []

    def noted(x: Tensor, weight: Tensor) -> Tensor:
        seen.append(float(direct(x, weight).abs().max()))
        return direct(x, weight)

    for channels in (48, 96):
        assert known_answer(noted, CPU, 8, channels, 3)
    assert min(seen) > 1 << 23
    assert max(seen) < 1 << 24


def test_the_fastest_lowering_that_is_right() -> None:
    assert find_lowering(small_model(), CPU) is direct


def test_a_wrong_convolution_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "direct", tf32)
    assert find_lowering(small_model(), CPU) is gemm


def test_a_device_that_is_never_right_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "direct", off_by_one)
    monkeypatch.setattr(exact, "gemm", bf16_accumulation)
    with pytest.raises(DeviceError, match="exactly"):
        find_lowering(small_model(), CPU)


def test_cuda_is_never_asked_for_its_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Lowering] = []

    def noted(lowering: Lowering, *_: object) -> bool:
        asked.append(lowering)
        return True

    monkeypatch.setattr(exact, "known_answer", noted)
    assert find_lowering(small_model(), torch.device("cuda")) is gemm
    assert set(asked) == {gemm}


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("cpu") == find_device("auto") == CPU
    with pytest.raises(DeviceError, match="no CUDA"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("cpu") == CPU
    assert find_device("auto").type == find_device("cuda").type == "cuda"
