"""Exact layers give what 64-bit integers give, and a device that does not is found out."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nvpcodec import exact, zoo
from nvpcodec.codec import CODERS
from nvpcodec.errors import DeviceError, UnsupportedImageError
from nvpcodec.exact import (
    SUMMED_MAX,
    ExactLayer,
    Lowering,
    Shape,
    direct,
    find_device,
    find_lowering,
    gemm,
    known_answer,
    known_operands,
    known_sums,
    require_exact_sums,
)
from nvpcodec.fit import MAX_COEFFICIENT_SUM
from nvpcodec.fixedpoint import FLOAT32_EXACT
from nvpcodec.network import Layer
from nvpcodec.options import DEFAULT_EFFORT
from nvpcodec.tables import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    ACTIVITY_FACTOR,
    ACTIVITY_FACTOR_BITS,
    ACTIVITY_RECIPROCAL,
    LEGAL,
    SCALE_STEPS_PER_OCTAVE,
)
from tests.models import small_model

CPU = torch.device("cpu")
LOWERINGS = [direct, gemm]
SHAPES = [Shape(*sizes, True) for sizes in ((1, 1, 1), (4, 54, 1), (8, 8, 3), (3, 48, 3), (2, 1, 3))]


@pytest.fixture
def precision() -> Iterator[Callable[[str], None]]:
    """Sets the precision of torch's float32 products; the one from before comes back."""
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


@pytest.fixture(autouse=True)
def nothing_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins like a process."""
    monkeypatch.setattr(exact, "_passed", set())


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
    layer = ExactLayer.of_integers(weights, bias, np.full(6, shift), low, lowering, CPU)
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


def with_bias(sums: Callable[[Tensor, Tensor], Tensor]) -> Lowering:
    """The lowering of these sums, to which a bias is added."""

    @functools.wraps(sums)
    def lowering(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found = sums(x, weight)
        return found if bias is None else found + bias.view(-1, 1, 1)

    return lowering


@with_bias
def tf32(x: Tensor, weight: Tensor) -> Tensor:
    """Products of operands rounded to 10 bits of mantissa, accumulated in float32, then rounded the same."""
    return rounded_to(gemm(rounded_to(x, 10), rounded_to(weight, 10), None), 10)


@with_bias
def tf32_operands(x: Tensor, weight: Tensor) -> Tensor:
    """What TF32 does: operands of 10 bits behind the leading one, float32 sums."""
    return gemm(rounded_to(x, 10), rounded_to(weight, 10), None)


def transformed(x: Tensor, weight: Tensor, held: Callable[[Tensor], Tensor] = lambda t: t) -> Tensor:
    """F(2x2, 3x3) of Lavin and Gray 2016, section 4.1; `held` is how the transformed operands are kept."""
    if weight.shape[-1] != 3:
        return gemm(x, weight, None)
    into = x.new_tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    widen = x.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    back = x.new_tensor([[1, 1, 1, 0], [0, 1, -1, -1]])
    height, width = x.shape[2:]
    tiles = F.pad(x, (1, 1 + width % 2, 1, 1 + height % 2)).unfold(2, 4, 2).unfold(3, 4, 2)
    products = torch.einsum(
        "ocij,bchwij->bohwij", held(widen @ weight @ widen.T), held(into @ tiles @ into.T)
    )
    cells = (back @ products @ back.T).permute(0, 1, 2, 4, 3, 5)
    return cells.flatten(4, 5).flatten(2, 3)[..., :height, :width]


@with_bias
def winograd(x: Tensor, weight: Tensor) -> Tensor:
    return transformed(x, weight)


@with_bias
def winograd_in_doubles(x: Tensor, weight: Tensor) -> Tensor:
    return transformed(x.double(), weight.double()).float()


@with_bias
def winograd_in_halves(x: Tensor, weight: Tensor) -> Tensor:
    return transformed(x, weight, lambda t: t.half().float())


@with_bias
def winograd_in_bf16(x: Tensor, weight: Tensor) -> Tensor:
    return transformed(x, weight, lambda t: t.bfloat16().float())


@with_bias
def bf16_operands(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x.bfloat16().float(), weight.bfloat16().float(), None)


@with_bias
def bf16_accumulation(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight, None).bfloat16().float()


@with_bias
def half_accumulation(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight, None).half().float()


def half_operands(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """They hold all integers that occur, but divided by large powers of two many are flushed to zero."""
    return gemm(x.half().float(), torch.where(weight.abs() < 2**-14, 0, weight), bias)


def bf16_bias(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return gemm(x, weight, None if bias is None else bias.bfloat16().float())


def no_bias(x: Tensor, weight: Tensor, _bias: Tensor | None) -> Tensor:
    return gemm(x, weight, None)


@with_bias
def off_by_one(x: Tensor, weight: Tensor) -> Tensor:
    result = gemm(x, weight, None)
    result[..., -1, -1] += 1
    return result


@with_bias
def wrong_padding(x: Tensor, weight: Tensor) -> Tensor:
    margin = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (margin,) * 4, mode="replicate"), weight)


@with_bias
def mirrored(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight.flip(1), None)


@with_bias
def a_bit_more(x: Tensor, weight: Tensor) -> Tensor:
    return gemm(x, weight, None) + 0.25


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_known_answer_passes(lowering: Lowering, shape: Shape) -> None:
    assert known_answer(lowering, CPU, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "lowering",
    [tf32, bf16_operands, bf16_accumulation, half_accumulation, no_bias, off_by_one, a_bit_more],
    ids=lambda f: f.__name__,
)
def test_known_answer_finds_faults(lowering: Lowering, shape: Shape) -> None:
    """Some show with a bias, some without."""
    assert not all(known_answer(lowering, CPU, shape._replace(biased=biased)) for biased in (False, True))


WIDE = Shape(48, 48, 3, biased=True)


@pytest.mark.parametrize("lowering", [half_operands, bf16_bias], ids=lambda f: f.__name__)
def test_known_answer_finds_what_powers_of_two_and_biases_bring(lowering: Lowering) -> None:
    assert not known_answer(lowering, CPU, WIDE)


@pytest.mark.parametrize(
    "lowering", [winograd, winograd_in_halves, winograd_in_bf16], ids=lambda f: f.__name__
)
def test_known_answer_finds_winograd(lowering: Lowering) -> None:
    """Its products are quarters, and a sum of quarters is exact below 2^22 only."""
    assert known_answer(winograd_in_doubles, CPU, WIDE)
    assert not known_answer(lowering, CPU, WIDE)


def test_winograd_of_few_channels() -> None:
    """Few channels leave float32 room for the quarters, bf16 not."""
    assert known_answer(winograd, CPU, Shape(32, 4, 3, biased=True))
    assert not known_answer(winograd_in_bf16, CPU, Shape(32, 4, 3, biased=True))


@pytest.mark.parametrize("shape", [*SHAPES, WIDE])
def test_tf32_operands_are_exact(shape: Shape) -> None:
    """So a GPU that multiplies in TF32 and adds in float32 gives the same integers."""
    assert known_answer(tf32_operands, CPU, shape)


def test_every_activation_and_weight_is_a_tf32() -> None:
    values = torch.arange(ACTIVATION_MIN, ACTIVATION_MAX + 1).float()
    assert torch.equal(rounded_to(values, 10), values)
    assert not torch.equal(values.bfloat16().float(), values)


@pytest.mark.parametrize(
    ("shape", "grid", "digest", "first"),
    [
        (WIDE, (7, 18), "826f7f53f0fb29f1fbeff5d5ac80eee777613b1e795cfffeb35d5957904f2ec1", -7372800),
        (
            Shape(2, 32, 1, biased=True),
            (24, 32),
            "a90c363639bf49d5fd07bc98413ce43c98287e55bf61f5f30b3a0a7317d48655",
            -2080768,
        ),
    ],
)
def test_known_answers_are_known(shape: Shape, grid: tuple[int, int], digest: str, first: int) -> None:
    """Stored once: NumPy of any version on any machine must come to these integers."""
    x, weight, bias = known_operands(shape, grid)
    sums = known_sums(x, weight)
    assert sums[0, 0, 0, 0] == first  # 48 channels of 4 places, or 32 of one: 75 or 127 times -512 each
    assert known_sums(x, weight, bias)[0, 0].min() == 1 - FLOAT32_EXACT
    assert hashlib.sha256(sums.astype("<i4").tobytes()).hexdigest() == digest


def test_known_sums_are_convolutions() -> None:
    for shape in SHAPES:
        x, weight, _ = known_operands(shape, (5, 6))
        assert np.array_equal(known_sums(x, weight), convolved(x, weight))


def test_a_shape_is_asked_once_a_setting(
    monkeypatch: pytest.MonkeyPatch, precision: Callable[[str], None]
) -> None:
    asked = []

    def noted(_lowering: Lowering, _device: torch.device, shape: Shape) -> bool:
        asked.append(shape)
        return True

    monkeypatch.setattr(exact, "known_answer", noted)
    precision("highest")
    layer = exact.layers(small_model(), CPU, direct)["level0.up"]
    for _ in range(3):
        layer(torch.zeros(1, 8, 4, 4))
    assert asked == [Shape(16, 8, 1, biased=True)]
    precision("medium")
    layer(torch.zeros(1, 8, 4, 4))
    assert asked == [Shape(16, 8, 1, biased=True)] * 2


def test_a_setting_that_spoils_a_lowering_is_noticed(precision: Callable[[str], None]) -> None:
    """A library that multiplies in bf16 as soon as it may."""

    def as_allowed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        coarse = torch.get_float32_matmul_precision() == "medium"
        return bf16_operands(x, weight, bias) if coarse else gemm(x, weight, bias)

    layer = exact.layers(small_model(), CPU, as_allowed)["level0.up"]
    layer(torch.zeros(1, 8, 4, 4))
    precision("medium")
    with pytest.raises(DeviceError, match='set_float32_matmul_precision\\("highest"\\)'):
        layer(torch.zeros(1, 8, 4, 4))


@pytest.mark.parametrize("allowed", ["high", "medium"])
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_less_precision_changes_nothing_or_is_refused(
    precision: Callable[[str], None], lowering: Lowering, allowed: str
) -> None:
    """On this machine, whatever its libraries make of the permission."""
    precision(allowed)
    generator = np.random.default_rng(4)
    x = generator.integers(-512, 512, (1, 48, 60, 70))
    weight = generator.integers(-74, 75, (48, 48, 3, 3))
    zero, shift = np.zeros(48), np.full(48, 13)
    layer = ExactLayer.of_integers([weight], zero, shift, ACTIVATION_MIN, lowering, CPU)
    try:
        result = layer(floats(x))
    except DeviceError:
        return
    expected = np.clip(known_sums(x, weight) >> 13, ACTIVATION_MIN, ACTIVATION_MAX)
    assert np.array_equal(result.numpy(), expected)


def test_sums_of_fits_have_known_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = exact.weighted_sum
    require_exact_sums(CPU)
    monkeypatch.setattr(exact, "weighted_sum", lambda c, r: right(rounded_to(c, 10), rounded_to(r, 10)))
    require_exact_sums(CPU)  # TF32 holds them too


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.bfloat16().float(),
        lambda t: t.half().float(),
        lambda t: rounded_to(t, 10),
        lambda t: t + 1,
    ],
    ids=["bf16", "half", "tf32", "one more"],
)
def test_wrong_sums_of_fits_are_refused(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Tensor], Tensor]
) -> None:
    right = exact.weighted_sum
    monkeypatch.setattr(exact, "weighted_sum", lambda c, r: spoil(right(c, r)))
    with pytest.raises(DeviceError, match="exactly"):
        require_exact_sums(CPU)


def test_coarse_operands_of_fits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = exact.weighted_sum
    monkeypatch.setattr(exact, "weighted_sum", lambda c, r: right(c, r.bfloat16().float()))
    with pytest.raises(DeviceError, match="exactly"):
        require_exact_sums(CPU)


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_layers_hold_integers_divided_by_powers_of_two(name: str) -> None:
    model = zoo.by_name(name)
    for layer_name, layer in exact.layers(model, CPU, direct).items():
        powers = 2.0 ** model.tensors[f"{layer_name}.shift"].astype(np.float64)
        assert (layer.bias.double().numpy() * powers).tolist() == model.tensors[f"{layer_name}.bias"].tolist()
        for i, weight in enumerate(layer.weights):
            integers = weight.double().numpy() * powers[:, None, None, None]
            assert np.array_equal(integers, model.tensors[f"{layer_name}.weight{i}"])


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_a_winograd_library_makes_shipped_models_fall_back(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(exact.LOWERINGS, "cpu", (winograd, gemm))
    assert find_lowering(zoo.by_name(name), CPU) is gemm


def test_known_answer_finds_faults_of_shape() -> None:
    assert not known_answer(wrong_padding, CPU, Shape(8, 8, 3, biased=True))
    assert not known_answer(mirrored, CPU, Shape(8, 8, 3, biased=True))


def test_known_answer_comes_close_to_the_limit() -> None:
    """Operands that no product of which is above half the range would prove little."""
    alone, biased = list[float](), list[float]()

    def noted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        sums = direct(x, weight, bias)
        (alone if bias is None else biased).append(float(sums.abs().max()))
        return sums

    for channels in (48, 96):
        assert all(known_answer(noted, CPU, Shape(8, channels, 3, biased)) for biased in (False, True))
    assert min(alone) > 1 << 23
    assert set(biased) == {FLOAT32_EXACT - 1}


def test_the_fastest_lowering_that_is_right() -> None:
    assert find_lowering(small_model(), CPU) is direct


def test_a_wrong_convolution_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exact.LOWERINGS, "cpu", (tf32, gemm))
    assert find_lowering(small_model(), CPU) is gemm


def test_a_device_that_is_never_right_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exact.LOWERINGS, "cpu", (off_by_one, bf16_accumulation))
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


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_inputs_of_every_layer_are_activations(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What the bounds of `model` rest on: whole numbers in [-512, 511], whatever the pixels are."""
    model, make = zoo.by_name(name), exact.layers
    seen: set[str] = set()

    def watched(layer_name: str, layer: ExactLayer) -> Layer:
        def watch(*inputs: Tensor | None) -> Tensor:
            for x in inputs:
                if x is not None:
                    assert x.min() >= ACTIVATION_MIN
                    assert x.max() <= ACTIVATION_MAX
                    assert torch.equal(x, x.floor())
            seen.add(layer_name)
            return layer(*inputs)

        return watch

    monkeypatch.setattr(exact, "layers", lambda *given: {n: watched(n, y) for n, y in make(*given).items()})
    generator = np.random.default_rng(9)
    # So large that three scales are refined.
    planes = np.stack([generator.choice([*ends, sum(ends) // 2], (130, 126)) for ends in LEGAL])
    with contextlib.suppress(UnsupportedImageError):  # the RealNVP may be taken out of its range
        CODERS[model.kind](model, CPU, DEFAULT_EFFORT).encode(planes.astype(np.int32))
    assert seen == {spec.name for spec in model.config.layers()}


def test_arithmetic_beside_the_layers_is_exact() -> None:
    """The largest operands of every formula in float32 that is no layer, from the ranges of its inputs."""
    difference = max(4 * (high - low) for low, high in LEGAL)  # quarter steps, also residuals
    moved = -ACTIVATION_MIN * max(ACTIVITY_FACTOR) + 64
    largest = {
        "the sum that the activity is read off": 16 * difference,
        "normalisation": difference * max(ACTIVITY_RECIPROCAL) + 128,
        "shift": moved,
        "mean": 16 * max(high for _, high in LEGAL) + (moved >> ACTIVITY_FACTOR_BITS),
        "scale": -ACTIVATION_MIN * SCALE_STEPS_PER_OCTAVE + 16,
        "sum of a fit": SUMMED_MAX * MAX_COEFFICIENT_SUM + 32,
        "shift of the RealNVP": -ACTIVATION_MIN * 3,
    }
    assert max(largest.values()) < 1 << 24, largest
    innovation = max(16 * (high - low) // 4 for low, high in LEGAL)
    assert max(difference, innovation) == SUMMED_MAX
