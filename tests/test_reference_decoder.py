"""The second decoder, in the order of docs/format.md, gives the pixels that the program encoded."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nvpcodec import codec, container, exact, plain
from nvpcodec.container import Container, RegionPart
from nvpcodec.model import Config, CouplingConfig, Model, PhaseConfig, save
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from nvpcodec.pixels import Samples as AnySamples
from nvpcodec.train.base_table import base_table, logistic
from tests import helpers, reference_decoder

Samples = npt.NDArray[np.uint8]


@cache
def phase_model() -> Model:
    return random_model("phase", PhaseConfig(levels=2, width=8, blocks=(1, 2), head_width=6, handed_width=5))


@cache
def realnvp_model(dequant_bits: int) -> Model:
    return random_model("realnvp", CouplingConfig(8, blocks=2, head_width=6, dequant_bits=dequant_bits))


def random_model(kind: str, config: Config) -> Model:
    """A model of random weights, so large that every clamp is reached, as `tests.models` avoids."""
    generator = np.random.default_rng(11)
    tensors: dict[str, npt.NDArray[np.generic]] = {"base": base_table(logistic)}
    for spec in config.layers():
        fan_in = sum(channels * size**2 for channels, size in spec.inputs)
        for i, (channels, size) in enumerate(spec.inputs):
            shape = (spec.outputs, channels, size, size)
            tensors[f"{spec.name}.weight{i}"] = generator.integers(-60, 61, shape).astype(np.int8)
        shift = int(np.log2(60 * fan_in**0.5)) + 2 * spec.zero - generator.integers(0, 4, spec.outputs)
        bias = generator.integers(-8 << shift, 8 << shift)
        tensors[f"{spec.name}.bias"] = bias.astype(np.int32)
        tensors[f"{spec.name}.shift"] = shift.astype(np.int8)
    for table in config.tables():
        low, high = {"scale_num": (150, 300), "base_mean": (-999, 999), "base_scale": (0, 71)}[table.name]
        tensors[table.name] = generator.integers(low, high + 1, table.shape).astype(np.int32)
    return Model(kind, config, tensors)


@cache
def weights(model: Model) -> bytes:
    """The model's weights file."""
    with tempfile.TemporaryDirectory() as folder:
        return save(model, Path(folder), "small").read_bytes()


def scene(seed: int, height: int, width: int, channels: int) -> Samples:
    """Smooth slopes, a flat half, an edge, a few stray pixels and some noise: every kind of symbol occurs."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    slopes = [rows * (c + 1) / 3 + columns / (c + 1) + 40 * (columns > width / 3) for c in range(channels)]
    image = np.stack(slopes, 2) + generator.normal(0, 2, (height, width, channels))
    image[:, width // 2 :] = 90
    strays = generator.random((height, width)) < 0.01
    image[strays] = generator.integers(0, 256, (int(strays.sum()), channels))
    return np.clip(image, 0, 255).astype(np.uint8)


def flow_file(samples: Samples, kind: Kind, model: Model) -> bytes:
    """A file of one flow region."""
    return file_of(samples, kind, 8, (flow_part(samples, kind, model),), samples.shape[1], model)


def flow_part(samples: Samples, kind: Kind, model: Model) -> RegionPart:
    coder = codec.CODERS[model.kind](model, exact.find_device("cpu"))
    return codec._encode_flow(samples, kind, coder)[0]


def file_of(
    samples: AnySamples,
    kind: Kind,
    bit_depth: int,
    parts: tuple[RegionPart, ...],
    region_width: int,
    model: Model | None = None,
) -> bytes:
    height, width = samples.shape[:2]
    return container.write(
        Container(
            kind=int(kind),
            bit_depth=bit_depth,
            width=width,
            height=height,
            region_height=height,
            region_width=region_width,
            model_id=model.model_id if model else None,
            side_data=b"",
            regions=parts,
            pixel_checksum=container.checksum(samples.tobytes()),
        )
    )


SHAPES = [
    (40, 29, Kind.RGB),
    (33, 38, Kind.GREY),
    (27, 22, Kind.RGBA),
    (20, 21, Kind.GREY_ALPHA),
    (4, 4, Kind.RGB),
    (1, 17, Kind.GREY),
    (37, 1, Kind.RGB),
    (3, 50, Kind.RGB),
]


@pytest.mark.parametrize(("height", "width", "kind"), SHAPES)
def test_small_regions(height: int, width: int, kind: Kind) -> None:
    samples = scene(height, height, width, kind.channels)
    assert np.array_equal(
        reference_decoder.decode(flow_file(samples, kind, phase_model()), weights(phase_model())), samples
    )


@pytest.mark.parametrize(("height", "width", "kind"), [(131, 130, Kind.RGB), (128, 129, Kind.GREY)])
def test_regions_with_fits(height: int, width: int, kind: Kind) -> None:
    samples = scene(3, height, width, kind.channels)
    assert np.array_equal(
        reference_decoder.decode(flow_file(samples, kind, phase_model()), weights(phase_model())), samples
    )


@pytest.mark.parametrize(
    ("height", "width", "kind", "dequant_bits"),
    [
        (1, 1, Kind.RGB, 2),
        (40, 29, Kind.RGB, 1),
        (33, 38, Kind.GREY, 4),
        (27, 22, Kind.RGBA, 0),
        (70, 66, Kind.RGB, 2),
        (9, 275, Kind.GREY, 2),
        (270, 5, Kind.RGB, 3),
    ],
)
def test_realnvp(height: int, width: int, kind: Kind, dequant_bits: int) -> None:
    samples = scene(height, height, width, kind.channels)
    model = realnvp_model(dequant_bits)
    assert np.array_equal(reference_decoder.decode(flow_file(samples, kind, model), weights(model)), samples)


def test_regions_of_flow_and_plain_modes_in_one_file() -> None:
    samples = scene(4, 20, 50, 4)
    left, right = (np.ascontiguousarray(part) for part in np.split(samples, [32], 1))
    parts = (RegionPart(*plain.encode(left, 8)), flow_part(right, Kind.RGBA, phase_model()))
    data = file_of(samples, Kind.RGBA, 8, parts, 32, phase_model())
    assert np.array_equal(reference_decoder.decode(data, weights(phase_model())), samples)


PLAIN_IMAGES = [
    *(helpers.gradient(kind, dtype, 9, 13) for kind, dtype in helpers.EVERY_KIND),
    *(helpers.noise(5, kind, dtype, 9, 13) for kind, dtype in helpers.EVERY_KIND),
    helpers.text_like(),
]


@pytest.mark.parametrize("image", PLAIN_IMAGES, ids=lambda image: f"{image.kind.name}-{image.bit_depth}")
def test_every_form_of_the_plain_modes(image: Image) -> None:
    samples = image.samples
    parts = [RegionPart(*plain.encode(samples, image.bit_depth))]
    for form in plain._forms(samples, image.bit_depth):
        raw = plain._to_bytes(samples, form)
        for mode, compress in plain._COMPRESSORS:
            parts.append(RegionPart(mode, form.to_byte() + compress(raw, samples.shape[2])))
    for part in parts:
        data = file_of(samples, image.kind, image.bit_depth, (part,), samples.shape[1])
        assert np.array_equal(reference_decoder.decode(data, b""), samples)


def test_a_file_as_the_program_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    path.write_bytes(weights(phase_model()))
    image = helpers.gradient(Kind.RGBA, height=30, width=41)
    data = codec.encode_image(image, Options(model=str(path)))
    assert np.array_equal(reference_decoder.decode(data, weights(phase_model())), image.samples)
