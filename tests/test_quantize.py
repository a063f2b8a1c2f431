"""A float layer in quantized mode and its integer twin say the same."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nvpcodec.errors import ModelError
from nvpcodec.exact import ExactLayer, direct
from nvpcodec.fixedpoint import FLOAT32_EXACT, accumulator_bounds
from nvpcodec.float_layers import Conv
from nvpcodec.tables import ACTIVATION_MAX, ACTIVATION_MIN, ACTIVATION_UNIT
from nvpcodec.train.quantize import integer_layer


def make_conv(relu: bool, scale: float = 1.0) -> Conv:
    generator = torch.Generator().manual_seed(5)
    conv = Conv([(6, 3), (4, 1)], 8, relu)
    with torch.no_grad():
        for weight in conv.weights:
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale * 0.2)
        conv.bias.copy_(torch.randn(8, generator=generator))
    conv.quantized = True
    return conv


def activations(channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(channels)
    shape = (2, channels, 9, 7)
    return torch.randint(ACTIVATION_MIN, ACTIVATION_MAX + 1, shape, generator=generator).float()


def exact_layer(conv: Conv) -> ExactLayer:
    arrays = integer_layer("layer", conv)
    return ExactLayer.of_integers(
        [arrays[f"layer.weight{i}"] for i in range(len(conv.weights))],
        arrays["layer.bias"],
        arrays["layer.shift"],
        0 if conv.low == 0 else ACTIVATION_MIN,
        direct,
        torch.device("cpu"),
    )


@pytest.mark.parametrize("relu", [False, True])
def test_integer_twin_gives_the_activations_of_the_quantized_float_layer(relu: bool) -> None:
    conv = make_conv(relu)
    inputs = [activations(6), activations(4)]
    twin = conv(*(x / ACTIVATION_UNIT for x in inputs)) * ACTIVATION_UNIT
    difference = (exact_layer(conv)(*inputs) - twin).abs()
    assert difference.max() <= 1  # the float bias is not rounded
    assert difference.mean() < 0.01


def test_arrays_have_the_types_and_shapes_of_a_weights_file() -> None:
    arrays = integer_layer("a.b", make_conv(False))
    assert {name: (a.dtype.name, a.shape) for name, a in arrays.items()} == {
        "a.b.weight0": ("int8", (8, 6, 3, 3)),
        "a.b.weight1": ("int8", (8, 4, 1, 1)),
        "a.b.bias": ("int32", (8,)),
        "a.b.shift": ("int8", (8,)),
    }


def test_a_step_grows_until_the_sums_fit() -> None:
    conv = Conv([(400, 3)], 2)
    with torch.no_grad():
        conv.weights[0].fill_(0.99)
        conv.weights[0][1].mul_(0.001)
        conv.bias.copy_(torch.tensor([0.5, -15.0]))
    arrays = integer_layer("wide", conv)
    bounds = accumulator_bounds([arrays["wide.weight0"]], arrays["wide.bias"], -ACTIVATION_MIN)
    assert bounds.max() < FLOAT32_EXACT
    assert arrays["wide.weight0"][0].max() == 8  # 0.99 in steps of 1/8: the sums allow 9, not 16
    assert arrays["wide.shift"][0] == 3


def test_a_zero_layer_keeps_its_bias() -> None:
    conv = Conv([(3, 1)], 2, zero=True)
    with torch.no_grad():
        conv.bias.copy_(torch.tensor([1.5, -15.99]))
    arrays = integer_layer("zero", conv)
    assert not arrays["zero.weight0"].any()
    result = arrays["zero.bias"] >> arrays["zero.shift"].astype(np.int32)
    assert result.tolist() == [48, -512]


@pytest.mark.parametrize("value", [200.0, float("nan")])
def test_weights_that_no_step_suits_are_refused(value: float) -> None:
    conv = Conv([(3, 1)], 2)
    with torch.no_grad():
        conv.weights[0][1, 0] = value
    with pytest.raises(ModelError, match="layer bad"):
        integer_layer("bad", conv)
