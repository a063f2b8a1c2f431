"""The second decoder, written from docs/format.md alone, reads what the program writes, refuses alike."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
import torch

from nvpcodec import codec, colour, container, exact, flow_payload, plain, stand_ins
from nvpcodec.container import Container, RegionPart
from nvpcodec.errors import NvpError
from nvpcodec.model import Config, CouplingConfig, Model, PhaseConfig, save
from nvpcodec.options import DEFAULT_EFFORT, Options
from nvpcodec.orientation import Views
from nvpcodec.phase_coder import phase_coder
from nvpcodec.pixels import Image, Kind
from nvpcodec.pixels import Samples as AnySamples
from nvpcodec.stack import Ints
from nvpcodec.train.base_table import base_table, logistic
from nvpcodec.tuning import Tuning
from tests import helpers, second_decoder
from tests.golden import make
from tests.hostile import makers
from tests.refusals import shipped_models
from tests.second_decoder import RefusedError

Samples = npt.NDArray[np.uint8]
SCRIPT = Path(second_decoder.__file__)


def test_it_shares_nothing_with_the_package() -> None:
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add(str(node.module))
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names | {"numpy"}


@pytest.mark.parametrize("name", sorted(make.read_index()))
def test_golden_file(name: str) -> None:
    samples = second_decoder.decode((make.FOLDER / f"{name}.nvp").read_bytes(), shipped_models())
    assert np.array_equal(samples, np.load(make.FOLDER / f"{name}.npy"))


def run_script(*files: Path) -> tuple[int, list[str]]:
    """Exit status and lines of the command, with no weights at hand."""
    command = [sys.executable, str(SCRIPT), "--weights", str(files[0].parent), *map(str, files)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_the_command_has_a_line_for_each_file(tmp_path: Path) -> None:
    for ending in make.ENDINGS:
        shutil.copy(make.FOLDER / f"plain-noise.{ending}", tmp_path)
    shutil.copy(make.FOLDER / "plain-flat.nvp", tmp_path)
    noise, flat = tmp_path / "plain-noise.nvp", tmp_path / "plain-flat.nvp"
    samples = np.load(tmp_path / "plain-noise.npy")
    lines = [
        f"plain-flat {make.sha256(np.load(make.FOLDER / 'plain-flat.npy').tobytes())}",
        f"plain-noise {make.sha256(samples.tobytes())}",
    ]
    assert run_script(flat, noise, tmp_path / "plain-noise.npy") == (0, [lines[0], lines[1] + " ok"])
    np.save(tmp_path / "plain-noise.npy", samples ^ 1)
    assert run_script(flat, noise) == (1, [lines[0], lines[1] + " differs"])
    flat.write_bytes(flat.read_bytes()[:-1])
    assert run_script(flat) == (1, ["plain-flat refused: the bytes end too early"])


@cache
def phase_model(orientations: int = 1, refinement_width: int = 0, refinement_orientations: int = 1) -> Model:
    sizes = PhaseConfig(
        levels=2,
        width=8,
        blocks=(1, 2),
        head_width=6,
        handed_width=5,
        orientations=orientations,
        refinement_width=refinement_width,
        refinement_orientations=refinement_orientations,
    )
    return random_model("phase", sizes)


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


@cache
def second_model(model: Model) -> tuple[bytes, second_decoder.Model]:
    """The model's id and the model, as the second decoder reads them."""
    return second_decoder.read_model(weights(model))


def decoded(data: bytes, model: Model) -> second_decoder.Array:
    return second_decoder.decode(data, dict([second_model(model)]))


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
    """The region through the flow as it is, without ranks or tones."""
    coder = codec.CODERS[model.kind](model, exact.find_device("cpu"), DEFAULT_EFFORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_ins, "find", helpers.as_it_is)
        return codec.encode_flow(samples, kind, coder)[0]


def in_mode(mode: int, part: RegionPart, kind: Kind) -> RegionPart:
    """The same region in another of the flow's modes."""
    colours, alpha = flow_payload.split(part.mode, part.payload, has_alpha=kind in codec.ALPHA_KINDS)
    return RegionPart(mode, flow_payload.join(mode, colours, alpha))


def record(tag: int, *parts: bytes) -> bytes:
    content = b"\0".join(parts)
    return bytes([tag]) + makers.varint(len(content)) + content


PALETTE = record(1, bytes(6))


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
            side_data=b"\0" + PALETTE if kind is Kind.PALETTE else b"",
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
    part = flow_part(samples, kind, phase_model())
    for mode in (container.MODE_FLOW, container.MODE_FLOW_TOP_FIRST):
        data = file_of(samples, kind, 8, (in_mode(mode, part, kind),), width, phase_model())
        assert np.array_equal(decoded(data, phase_model()), samples)


@pytest.mark.parametrize("orientations", [2, 4, 8])
@pytest.mark.parametrize(("height", "width", "kind"), SHAPES)
def test_turned_regions(height: int, width: int, kind: Kind, orientations: int) -> None:
    samples = scene(height, height, width, kind.channels)
    model = phase_model(orientations)
    data = flow_file(samples, kind, model)
    assert np.array_equal(decoded(data, model), samples)
    assert data != flow_file(samples, kind, phase_model()) or min(height, width) < 8


@pytest.mark.parametrize("orientations", [(1, 1), (2, 1), (4, 2), (8, 4)])
@pytest.mark.parametrize(
    ("height", "width", "kind"),
    [(33, 31, Kind.RGB), (40, 39, Kind.GREY), (1, 513, Kind.RGB), (513, 1, Kind.GREY), (130, 131, Kind.RGBA)],
)
def test_refined_regions(height: int, width: int, kind: Kind, orientations: tuple[int, int]) -> None:
    samples = scene(height, height, width, kind.channels)
    model = phase_model(orientations[0], 7, orientations[1])
    data = flow_file(samples, kind, model)
    assert np.array_equal(decoded(data, model), samples)


def tuned_part(
    samples: Samples, kind: Kind, model: Model, gained: bool = False, views: Views = Views.ALL
) -> RegionPart:
    """A region coded with random shifts and, if asked, gains."""
    generator = np.random.default_rng(2)

    def steps(most: int) -> dict[str, Ints]:
        layers = model.config.layers()
        return {
            spec.name: generator.integers(-most, most + 1, spec.outputs).astype(np.int32) for spec in layers
        }

    tuning = Tuning(steps(2), steps(31) if gained else {}, views)
    coder = phase_coder(model, torch.device("cpu"))
    planes = colour.to_planes(samples)
    return RegionPart(container.MODE_FLOW, coder._encode([planes], tuning)[0])


@pytest.mark.parametrize("gained", [False, True])
@pytest.mark.parametrize("refinement_width", [0, 7])
@pytest.mark.parametrize(("height", "width", "kind"), [(33, 34, Kind.RGB), (40, 29, Kind.GREY)])
def test_tuned_regions(height: int, width: int, kind: Kind, refinement_width: int, gained: bool) -> None:
    samples = scene(height, height, width, kind.channels)
    model = phase_model(1, refinement_width)
    part = tuned_part(samples, kind, model, gained)
    for mode in (container.MODE_FLOW, container.MODE_FLOW_TOP_FIRST):
        data = file_of(samples, kind, 8, (in_mode(mode, part, kind),), width, model)
        assert np.array_equal(decoded(data, model), samples)


@pytest.mark.parametrize("orientations", [(4, 1), (8, 1), (8, 4)])
@pytest.mark.parametrize(("height", "width", "kind"), [(33, 34, Kind.RGB), (40, 29, Kind.GREY)])
def test_tuned_regions_in_some_views(
    height: int, width: int, kind: Kind, orientations: tuple[int, int]
) -> None:
    samples = scene(height, height, width, kind.channels)
    model = phase_model(orientations[0], 7, orientations[1])
    parts = [tuned_part(samples, kind, model, True, views) for views in Views]
    assert len({part.payload[1:] for part in parts}) == len(Views)
    for part in parts:
        for mode in (container.MODE_FLOW, container.MODE_FLOW_TOP_FIRST):
            data = file_of(samples, kind, 8, (in_mode(mode, part, kind),), width, model)
            assert np.array_equal(decoded(data, model), samples)


@pytest.mark.parametrize(
    ("height", "width", "kind"),
    [(131, 130, Kind.RGB), (128, 129, Kind.GREY), (8193, 1, Kind.RGB), (1, 8193, Kind.GREY)],
)
def test_regions_with_fits(height: int, width: int, kind: Kind) -> None:
    samples = scene(3, height, width, kind.channels)
    assert np.array_equal(decoded(flow_file(samples, kind, phase_model()), phase_model()), samples)


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
    assert np.array_equal(decoded(flow_file(samples, kind, model), model), samples)


def test_regions_of_flow_and_plain_modes_in_one_file() -> None:
    samples = scene(4, 20, 50, 4)
    left, right = (np.ascontiguousarray(part) for part in np.split(samples, [32], 1))
    parts = (RegionPart(*plain.encode(left, 8)), flow_part(right, Kind.RGBA, phase_model()))
    data = file_of(samples, Kind.RGBA, 8, parts, 32, phase_model())
    assert np.array_equal(decoded(data, phase_model()), samples)


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
        assert np.array_equal(second_decoder.decode(data, {}), samples)


def test_a_file_as_the_program_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    path.write_bytes(weights(phase_model()))
    image = helpers.gradient(Kind.RGBA, height=30, width=41)
    data = codec.encode_image(image, Options(model=str(path)))
    assert np.array_equal(decoded(data, phase_model()), image.samples)


@pytest.mark.parametrize(
    "data", (makers.lies() | makers.huge_claims()).values(), ids=[*makers.lies(), *makers.huge_claims()]
)
def test_malformed_files_are_refused(data: bytes) -> None:
    with pytest.raises(RefusedError):
        second_decoder.decode(data, {})


def small_files() -> list[bytes]:
    samples = scene(2, 5, 7, 2)
    return [
        makers.raw_file(),
        flow_file(samples, Kind.GREY_ALPHA, phase_model()),
        flow_file(samples, Kind.GREY_ALPHA, realnvp_model(2)),
    ]


@pytest.mark.parametrize("make_damage", [makers.flipped, makers.cuts])
def test_damaged_files_are_refused(make_damage: Callable[[bytes], Iterator[tuple[str, bytes]]]) -> None:
    models = dict(second_model(model) for model in (phase_model(), realnvp_model(2)))
    for data in small_files():
        second_decoder.decode(data, models)
        for _, damaged in make_damage(data):
            with pytest.raises(RefusedError):
                second_decoder.decode(damaged, models)


def outcome(decode: Callable[[], npt.NDArray[Any]]) -> object:
    """The samples, or None if the payload was refused."""
    try:
        return decode().tolist()
    except (NvpError, RefusedError):
        return None


def damaged_payloads(payload: bytes, seed: int, count: int) -> Iterator[bytes]:
    """The payload with a byte changed, taken away or put in, most often near its beginning."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        at = int(len(payload) * generator.random() ** 2)
        new = generator.integers(0, 256, 1, np.uint8).tobytes()
        yield payload[:at] + (new, b"", new + payload[at : at + 1])[generator.integers(3)] + payload[at + 1 :]


@pytest.mark.parametrize(
    "model", [phase_model(), realnvp_model(0), realnvp_model(4)], ids=["phase", "k=0", "k=4"]
)
@pytest.mark.parametrize(
    ("height", "width", "kind"), [(1, 3, Kind.RGB), (5, 9, Kind.GREY_ALPHA), (6, 5, Kind.RGBA)]
)
def test_damaged_flow_payloads_have_the_same_outcome(
    model: Model, height: int, width: int, kind: Kind
) -> None:
    samples = scene(height, height, width, kind.channels)
    coder = codec.CODERS[model.kind](model, exact.find_device("cpu"), DEFAULT_EFFORT)
    second = second_model(model)[1]
    part = flow_part(samples, kind, model)
    for payload in damaged_payloads(part.payload, width, 10):
        damaged = RegionPart(part.mode, payload)
        first = outcome(lambda: codec._decode_flow(damaged, samples.shape, kind, coder))  # noqa: B023
        other = outcome(lambda: second_decoder.decode_flow(part.mode, payload, samples.shape, second))  # noqa: B023
        assert first == other


@pytest.mark.parametrize("image", PLAIN_IMAGES, ids=lambda image: f"{image.kind.name}-{image.bit_depth}")
def test_damaged_plain_payloads_have_the_same_outcome(image: Image) -> None:
    shape, bits = image.samples.shape, image.bit_depth
    for mode, compress in plain._COMPRESSORS:
        for form in plain._forms(image.samples, bits):
            coded = compress(plain._to_bytes(image.samples, form), shape[2])
            for payload in damaged_payloads(form.to_byte() + coded, form.to_byte()[0], 5):
                first = outcome(lambda: plain.decode(mode, payload, shape, bits))  # noqa: B023
                assert first == outcome(lambda: second_decoder.decode_plain(mode, payload, shape, bits))  # noqa: B023


def deflated(records: bytes, claimed: int) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return b"\1" + makers.varint(claimed) + packer.compress(records) + packer.flush()


#: Side data by what they are: the file's kind, whether they are allowed, the bytes.
SIDE_DATA = {
    "no records": (Kind.GREY, True, b"\0"),
    "a reserved coding": (Kind.GREY, False, b"\2"),
    "no deflated records": (Kind.GREY, True, deflated(b"", 0)),
    "a byte less than claimed": (Kind.GREY, False, deflated(record(3, b"icc"), 6)),
    "a byte more than claimed": (Kind.GREY, False, deflated(record(3, b"icc"), 4)),
    "a byte after the stream": (Kind.GREY, False, deflated(record(3, b"icc"), 5) + b"\0"),
    "a record cut": (Kind.GREY, False, b"\0" + record(3, b"icc")[:-1]),
    "a tag twice": (Kind.GREY, False, b"\0" + record(3, b"icc") * 2),
    "tags out of order": (Kind.GREY, False, b"\0" + record(4, b"exif") + record(3, b"icc")),
    "a reserved tag": (Kind.GREY, False, b"\0" + record(9, b"")),
    "a palette of grey": (Kind.GREY, False, b"\0" + PALETTE),
    "no palette": (Kind.PALETTE, False, b""),
    "a palette": (Kind.PALETTE, True, b"\0" + PALETTE),
    "a palette of no colour": (Kind.PALETTE, False, b"\0" + record(1, b"")),
    "a palette of a colour and a half": (Kind.PALETTE, False, b"\0" + record(1, bytes(5))),
    "a palette of 257 colours": (Kind.PALETTE, False, b"\0" + record(1, bytes(771))),
    "alpha of every colour": (Kind.PALETTE, True, b"\0" + PALETTE + record(2, bytes(2))),
    "alpha of more colours": (Kind.PALETTE, False, b"\0" + PALETTE + record(2, bytes(3))),
    "alpha of no colour": (Kind.PALETTE, False, b"\0" + PALETTE + record(2, b"")),
    "a transparent grey": (Kind.GREY, True, b"\0" + record(2, b"\xff\xff")),
    "a transparent grey of one byte": (Kind.GREY, False, b"\0" + record(2, b"\xff")),
    "a density of another unit": (Kind.GREY, False, b"\0" + record(6, bytes(8) + b"\2")),
    "a density of 8 bytes": (Kind.GREY, False, b"\0" + record(6, bytes(8))),
    "two empty colour chunks": (Kind.GREY, True, b"\0" + record(7, b"gAMA") * 2),
    "a chunk of another name": (Kind.GREY, False, b"\0" + record(7, b"tIME")),
    "zero bytes and no UTF-8 in a text": (Kind.GREY, True, b"\0" + record(8, b"k", b"", b"\xff", b"\xff\0")),
    "a text without translation": (Kind.GREY, False, b"\0" + record(8, b"k", b"", b"text")),
    "a keyword of 79 characters": (Kind.GREY, True, b"\0" + record(8, b"\xc3\xa9" * 79, b"", b"", b"")),
    "a keyword of 80 characters": (Kind.GREY, False, b"\0" + record(8, b"k" * 80, b"", b"", b"")),
    "a keyword beyond Latin-1": (Kind.GREY, False, b"\0" + record(8, b"\xc4\x80", b"", b"", b"")),
    "a keyword that is no UTF-8": (Kind.GREY, False, b"\0" + record(8, b"\xe9", b"", b"", b"")),
    "a language beyond ASCII": (Kind.GREY, False, b"\0" + record(8, b"k", b"\xc3\xa9", b"", b"")),
}


@pytest.mark.parametrize(("kind", "allowed", "side_data"), SIDE_DATA.values(), ids=SIDE_DATA)
def test_side_data_have_the_same_outcome(kind: Kind, allowed: bool, side_data: bytes) -> None:
    body = side_data + b"\x03abcdef"
    data = makers.raw_file(form=kind | 8, side_bytes=makers.varint(len(side_data)), body=body)
    samples = outcome(lambda: second_decoder.decode(data, {}))
    assert samples == outcome(lambda: codec.decode_image(data, Options()).samples)
    assert (samples is not None) == allowed


def with_tensors(model: Model, tensors: dict[str, npt.NDArray[Any]]) -> bytes:
    """A weights file of the model's configuration, whatever the tensors are."""
    return safetensors.numpy.save(tensors, {"config": model.config_json()})


def entry_set(model: Model, name: str, value: int) -> bytes:
    """A weights file in which a tensor ends with another value."""
    tensor = model.tensors[name].copy()
    tensor.flat[-1] = value
    return with_tensors(model, {**model.tensors, name: tensor})


@pytest.mark.parametrize("model", [phase_model(), realnvp_model(2)], ids=lambda model: model.kind)
def test_models_of_other_tensors_are_refused(model: Model) -> None:
    tensors = dict(model.tensors)
    assert second_decoder.read_model(with_tensors(model, tensors))[0] == model.model_id
    without = {name: tensor for name, tensor in tensors.items() if name != "base"}
    wide = {**tensors, "base": tensors["base"][None]}
    retyped = {name: tensor.astype(np.int32) for name, tensor in tensors.items()}
    for other in (without, wide, retyped, {**tensors, "more": tensors["base"]}):
        with pytest.raises(RefusedError):
            second_decoder.read_model(with_tensors(model, other))


@pytest.mark.parametrize("orientations", [1, 3, 16, "2"])
def test_other_numbers_of_orientations_are_refused(orientations: object) -> None:
    model = phase_model(2)
    config = json.loads(model.config_json()) | {"orientations": orientations}
    data = safetensors.numpy.save(dict(model.tensors), {"config": json.dumps(config)})
    with pytest.raises(RefusedError):
        second_decoder.read_model(data)


@pytest.mark.parametrize("width", [0, -1, 6])
def test_other_widths_of_the_refinement_are_refused(width: int) -> None:
    model = phase_model(1, refinement_width=7)
    config = json.loads(model.config_json()) | {"refinement_width": width}
    data = safetensors.numpy.save(dict(model.tensors), {"config": json.dumps(config)})
    with pytest.raises(RefusedError):
        second_decoder.read_model(data)


@pytest.mark.parametrize(("orientations", "of_refinement"), [(8, 3), (8, 8), (4, 4), (2, 1), (8, "2")])
def test_other_orientations_of_the_refinement_are_refused(orientations: int, of_refinement: object) -> None:
    model = phase_model(orientations, 7, 2)
    config = json.loads(model.config_json()) | {"refinement_orientations": of_refinement}
    data = safetensors.numpy.save(dict(model.tensors), {"config": json.dumps(config)})
    with pytest.raises(RefusedError):
        second_decoder.read_model(data)


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (phase_model(), "base", 2**16 - 1),
        (phase_model(), "level0.up.shift", 24),
        (phase_model(), "level1.coupling1.head2_out.bias", -(2**24)),
        (realnvp_model(2), "scale2.coupling3.linear.shift", -1),
        (realnvp_model(2), "scale_num", 1),
        (realnvp_model(2), "base_mean", 2**20 + 1),
        (realnvp_model(2), "base_scale", 72),
    ],
)
def test_models_that_break_a_bound_are_refused(model: Model, name: str, value: int) -> None:
    with pytest.raises(RefusedError):
        second_decoder.read_model(entry_set(model, name, value))
