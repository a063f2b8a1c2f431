"""The integer RealNVP: what is pushed is popped, files match theory, hostile data is refused."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from nvpcodec.coupling_coder import CouplingCoder
from nvpcodec.coupling_flow import Affine, CouplingFlow, squeeze, unsqueeze
from nvpcodec.coupling_layout import LARGEST_TILE, PIXELS_BELOW, TILE_UNIT, tiles
from nvpcodec.errors import DamagedFileError, ModelError
from nvpcodec.exact import direct
from nvpcodec.model import CouplingConfig, Model, load, save
from nvpcodec.stack import Ints, Stack
from nvpcodec.train.coupling_model import LOG_SCALE_UNIT, MEAN_UNIT, CouplingModel, centre
from nvpcodec.train.export_coupling import export_coupling

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 7), (9, 17), (40, 33)]


@cache
def float_model(dequant_bits: int = 2) -> CouplingModel:
    """A small network of random weights, the last layers included; its base suits `waves`."""
    torch.manual_seed(7)
    model = CouplingModel(CouplingConfig(width=8, blocks=1, head_width=8, dequant_bits=dequant_bits))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("layers"):
                parameter.add_(0.01 * torch.randn_like(parameter))
        latents, _ = model.latents(centre(torch.from_numpy(waves(64, 64))[None].float()))
        model.base_mean.copy_(torch.cat([z.mean((0, 2, 3)) for z in latents]) / MEAN_UNIT)
        model.base_log_scale.copy_(torch.cat([z.std((0, 2, 3)).log() for z in latents]) / LOG_SCALE_UNIT)
    return model


@cache
def small_model(dequant_bits: int = 2) -> Model:
    return export_coupling(float_model(dequant_bits), [])


@cache
def flow(dequant_bits: int = 2) -> CouplingFlow:
    return CouplingFlow(small_model(dequant_bits), CPU, direct)


def noise(planes: int, height: int, width: int) -> Ints:
    generator = np.random.default_rng(height * width)
    x = generator.integers(-255, 256, (planes, height, width)).astype(np.int32)
    x[0] = abs(x[0])
    return x


def waves(height: int, width: int) -> Ints:
    """Smooth planes with a little noise."""
    rows, columns = np.mgrid[:height, :width]
    y = 130 + 20 * np.sin(rows / 9) + 10 * np.cos(columns / 7)
    grain = np.random.default_rng(1).normal(0, 3, (3, height, width))
    return (np.stack([y, 9 * np.sin(columns / 11), 5 * np.cos(rows / 13)]) + grain).round().astype(np.int32)


def extremes(height: int, width: int) -> Ints:
    board = np.indices((height, width)).sum(0) % 2
    return np.stack([255 * board, 510 * board - 255, 255 - 510 * board]).astype(np.int32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("planes", [1, 3])
def test_a_region_comes_back_and_leaves_the_stack_empty(planes: int, size: tuple[int, int]) -> None:
    x, stack = noise(planes, *size), Stack()
    flow().push_region(stack, x)
    assert np.array_equal(flow().pop_region(stack, planes, *size), x)
    stack.require_empty()


@pytest.mark.parametrize("dequant_bits", [0, 1, 3])
def test_other_grids_come_back_too(dequant_bits: int) -> None:
    x, stack = waves(24, 24), Stack()
    flow(dequant_bits).push_region(stack, x)
    assert np.array_equal(flow(dequant_bits).pop_region(stack, 3, 24, 24), x)
    stack.require_empty()


def test_extreme_values_come_back() -> None:
    x, stack = extremes(32, 40), Stack()
    flow().push_region(stack, x)
    assert np.array_equal(flow().pop_region(stack, 3, 32, 40), x)


def test_a_tile_leaves_what_lay_below_it() -> None:
    stack = Stack()
    stack.push(np.arange(2000, dtype=np.int32), 2048)
    words = stack.words()
    x = waves(16, 24)
    flow().forward(stack, x, 1000)
    assert np.array_equal(flow().inverse(stack, 3, 16, 24, 1000), x)
    assert np.array_equal(stack.words(), words)


def test_an_affine_step_costs_the_logarithm_of_its_scale() -> None:
    generator = np.random.default_rng(2)
    x = generator.integers(-9000, 9000, (2, 10, 10))
    affine = Affine(
        generator.integers(-300, 300, x.shape), generator.integers(2, 3000, x.shape).astype(np.int32)
    )
    stack = Stack()
    stack.push(generator.integers(0, 1 << 20, 500).astype(np.int32), 1 << 20)
    before = stack.ledger.content_bits
    z = flow()._scale_up(stack, affine, x, 0)
    cost = stack.ledger.content_bits - before
    assert cost == pytest.approx((8 - np.log2(affine.scale_num)).sum())
    assert abs(z - (x + affine.shift) * affine.scale_num / 256).max() <= affine.scale_num.max() / 256 + 1
    assert np.array_equal(flow()._scale_down(stack, affine, z, 0), x)
    assert stack.ledger.initial_bits == 0


def test_file_bits_are_theory_and_initial_bits() -> None:
    payload, accounts = CouplingCoder(small_model(), CPU).encode(waves(64, 64))
    assert accounts.stack_bits == 8 * len(payload)
    assert abs(accounts.coder_bits) < 0.004 * accounts.theory_bits + 64
    dequantized = 2 * 3 * TILE_UNIT**2  # all that the first tile pops before it pushes
    assert dequantized <= accounts.initial_bits < dequantized + 200


def test_theory_is_the_density_of_the_float_twin() -> None:
    x = waves(64, 64)
    _, accounts = CouplingCoder(small_model(), CPU).encode(x)
    torch.manual_seed(0)
    with torch.no_grad():
        nats = sum(
            float_model()(torch.from_numpy(x[:, *tile.window])[None].float()).item() for tile in tiles(64, 64)
        )
    assert accounts.theory_bits == pytest.approx(nats / math.log(2), rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (17, 900), (300, 5), (700, 530)])
def test_tiles_cover_a_region_once(size: tuple[int, int]) -> None:
    covered, before = np.zeros(size, np.int32), 0
    for tile in tiles(*size):
        assert tile.before == before
        assert max(tile.height, tile.width) <= LARGEST_TILE
        covered[tile.window] += 1
        pixels = tile.padded[0] * tile.padded[1]
        assert pixels == TILE_UNIT**2 or PIXELS_BELOW * pixels <= before
        before += pixels
    assert (covered == 1).all()


@pytest.mark.parametrize("length", [0, 1, 40, 4000])
def test_random_bytes_are_refused(length: int) -> None:
    coder = CouplingCoder(small_model(), CPU)
    for seed in range(2):
        payload = np.random.default_rng(seed).integers(1, 256, length).astype(np.uint8).tobytes()
        with pytest.raises(DamagedFileError):
            coder.decode(payload, 3, 24, 20)


def test_squeeze_is_undone() -> None:
    x = noise(3, 8, 12).astype(np.int64)
    assert np.array_equal(unsqueeze(squeeze(x)), x)


def test_a_weights_file_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = small_model()
    path = save(model, tmp_path_factory.mktemp("weights"), "realnvp")
    assert load(path).model_id == model.model_id
    assert load(path).config == model.config


@pytest.mark.parametrize(
    ("name", "value"), [("scale_num", 1), ("scale_num", 1 << 20), ("base_scale", 72), ("base_mean", 1 << 21)]
)
def test_tables_out_of_range_are_refused(name: str, value: int) -> None:
    model = small_model()
    table = model.tensors[name].copy()
    table.flat[-1] = value
    with pytest.raises(ModelError, match=name):
        Model("realnvp", model.config, {**model.tensors, name: table})


@pytest.mark.parametrize("fields", [{"dequant_bits": 5}, {"dequant_bits": -1}, {"scale_bits": 13}])
def test_configurations_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="dequant_bits"):
        CouplingConfig(**fields)
