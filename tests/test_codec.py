"""The whole codec: every image comes back exactly, the same bytes each time, and no file does harm."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nvpcodec import codec, container, exact, flow_payload, regions, zoo
from nvpcodec.codec import decode_image, encode_image, encode_with_report
from nvpcodec.container import FLOW_MODES, MODE_DRAWING, MODE_FLOW, MODE_FLOW_TOP_FIRST, MODE_STORED
from nvpcodec.errors import (
    DamagedFileError,
    FormatError,
    NvpError,
    UnknownModelError,
    UnsupportedImageError,
)
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests import helpers
from tests.models import small_model_path, small_options
from tests.test_plain import icon

DEMO = Path(__file__).resolve().parent.parent / "demo"
KINDS = [Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA]
MODELS = [str(small_model_path()), *zoo.CURRENT]


def some_sizes() -> list[tuple[int, int]]:
    """Three dozen from 1 ... 70 by 1 ... 70."""
    generator = np.random.default_rng(70)
    return [(int(h), int(w)) for h, w in generator.integers(1, 71, (36, 2))]


def options(model: str) -> Options:
    return Options(model=model, device="cpu")


def photograph(name: str, kind: Kind, top: int, left: int, height: int, width: int) -> Image:
    """A crop of a demo photograph; alpha is a slope."""
    with PillowImage.open(DEMO / name) as picture:
        rgb = np.asarray(picture.convert("RGB"))[top : top + height, left : left + width]
    samples = rgb[..., 1:2] if kind in (Kind.GREY, Kind.GREY_ALPHA) else rgb
    if kind in codec.ALPHA_KINDS:
        slope = np.add.outer(np.arange(height), np.arange(width)).clip(0, 255).astype(np.uint8)
        samples = np.concatenate([samples, slope[..., None]], 2)
    return Image(np.ascontiguousarray(samples), kind)


def shaded(seed: int, kind: Kind, height: int, width: int) -> Image:
    """A slope with grain, which the flow is worth trying on."""
    image = helpers.gradient(kind, height=height, width=width)
    grain = np.random.default_rng(seed).integers(0, 9, image.samples.shape)
    return Image((image.samples // 2 + 40 + grain).astype(np.uint8), kind)


def forced_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size, the flow's coding is the one taken."""

    def flow(samples: NDArray[np.uint8], kind: Kind, _depth: int, chosen: Options) -> object:
        coder = codec.coder_of(chosen)
        return codec.encode_flow(samples, kind, coder)

    monkeypatch.setattr(codec, "_encode_region", flow)


def assert_comes_back(image: Image, chosen: Options) -> bytes:
    data = encode_image(image, chosen)
    assert decode_image(data, chosen).equals(image)
    return data


@pytest.mark.parametrize(("height", "width"), some_sizes())
def test_sampled_sizes_through_the_flow(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forced_flow(monkeypatch)
    kind = KINDS[(height + width) % 4]
    data = assert_comes_back(shaded(height, kind, height, width), small_options())
    assert container.parse(data).regions[0].mode == MODE_FLOW_TOP_FIRST


@pytest.mark.parametrize("length", range(1, 71))
def test_thin_images_through_the_flow(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forced_flow(monkeypatch)
    kind = KINDS[length % 4]
    assert_comes_back(shaded(length, kind, 1, length), small_options())
    assert_comes_back(shaded(length, kind, length, 1), small_options())


@pytest.mark.parametrize("model", MODELS, ids=lambda m: Path(m).name)
@pytest.mark.parametrize("kind", KINDS)
def test_photographs(model: str, kind: Kind) -> None:
    for name in ("chelsea.png", "coffee.png"):
        assert_comes_back(photograph(name, kind, 60, 80, 75, 90), options(model))


@pytest.mark.parametrize("model", zoo.CURRENT)
def test_shipped_models_serve_photographs(model: str) -> None:
    data = assert_comes_back(photograph("chelsea.png", Kind.RGB, 60, 80, 128, 128), options(model))
    coarse_first = zoo.by_name(model).kind == "phase"
    assert container.parse(data).regions[0].mode == (MODE_FLOW_TOP_FIRST if coarse_first else MODE_FLOW)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "make", [helpers.gradient, lambda kind: helpers.noise(3, kind)], ids=["slope", "noise"]
)
def test_every_kind(kind: Kind, make: object) -> None:
    image = make(kind)  # type: ignore[operator]
    assert_comes_back(image, small_options())


@pytest.mark.parametrize("image", [helpers.flat(), helpers.text_like(), helpers.row_of_pixels()], ids=str)
def test_drawings(image: Image) -> None:
    assert_comes_back(image, small_options())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (63, 65)])
def test_noise_hardly_grows(kind: Kind, size: tuple[int, int]) -> None:
    image = helpers.noise(5, kind, height=size[0], width=size[1])
    assert len(assert_comes_back(image, small_options())) <= image.samples.size + 64


def test_a_flat_image_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the flow was asked")

    monkeypatch.setattr(codec, "_coder", fail)
    assert len(assert_comes_back(helpers.flat(77, 1000, 1000), small_options())) < 1000


def test_what_a_flow_cannot_take_is_coded_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def encode(self, planes: object) -> None:
            raise UnsupportedImageError("too far")

    monkeypatch.setattr(codec, "_coder", lambda *_: Refusing())
    data = assert_comes_back(photograph("coffee.png", Kind.RGB, 60, 80, 75, 90), small_options())
    assert container.parse(data).regions[0].mode not in FLOW_MODES


@pytest.mark.parametrize("name", ["disc", "sign"])
def test_icons_are_hardly_larger_than_png(name: str) -> None:
    samples = icon(name)
    stream = io.BytesIO()
    PillowImage.fromarray(samples).save(stream, "PNG", optimize=True)
    data = assert_comes_back(Image(samples, Kind.RGBA), small_options())
    assert len(data) <= len(stream.getvalue()) + 40


@pytest.mark.parametrize("model", MODELS, ids=lambda m: Path(m).name)
def test_bytes_do_not_depend_on_threads_or_chance(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """130x131, so that fits are made as well."""
    forced_flow(monkeypatch)
    image = photograph("coffee.png", Kind.RGB, 100, 100, 130, 131)
    before = torch.get_num_threads()
    files = set()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            files.add(encode_image(image, options(model)))
    finally:
        torch.set_num_threads(before)
    assert len(files) == 1


def test_the_matrix_product_gives_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA runs, on the CPU."""
    forced_flow(monkeypatch)
    image = photograph("coffee.png", Kind.RGB, 100, 100, 130, 70)
    data = encode_image(image, small_options())
    codec._coder.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(exact, "find_lowering", lambda _model, _device: exact.gemm)
            assert encode_image(image, small_options()) == data
            assert decode_image(data, small_options()).equals(image)
    finally:
        codec._coder.cache_clear()


def test_progress_counts_regions_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "region_size", lambda _height, _width: (20, 33))
    told: list[tuple[int, int]] = []
    image = helpers.noise(3, height=40, width=33)
    data = encode_image(image, small_options(), lambda *heard: told.append(heard))
    decode_image(data, small_options(), lambda *heard: told.append(heard))
    assert told == [(1, 2), (2, 2)] * 2


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.GREY_ALPHA])
def test_several_regions(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "region_size", lambda _height, _width: (20, 33))
    image = shaded(1, kind, 47, 70)
    image.samples[:20, :33] = 5
    image.samples[20:40, :33] = np.random.default_rng(1).integers(0, 256, (20, 33, kind.channels))
    data = assert_comes_back(image, small_options())
    file = container.parse(data)
    assert len(file.regions) == 9
    monkeypatch.undo()
    assert decode_image(data, small_options()).equals(image), "the decoder goes by the file"


def figures(height: int, width: int) -> NDArray[np.uint8]:
    """Five colours in rectangles."""
    generator = np.random.default_rng(8)
    cells = generator.integers(0, 5, (height // 8, width // 20))
    indices = cells.repeat(8, 0).repeat(20, 1)
    indices[1::16, 3::7] = 4
    colours: NDArray[np.uint8] = generator.integers(0, 256, (5, 3)).astype(np.uint8)[indices]
    return colours


def test_a_drawing_is_coded_as_one_and_no_network_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "coder_of", lambda *_: pytest.fail("the flow was asked"))
    data = assert_comes_back(Image(figures(96, 160), Kind.RGB), small_options())
    assert [part.mode for part in container.parse(data).regions] == [MODE_DRAWING]


def test_a_drawing_beside_a_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions are so small there that each side has some of its own."""
    monkeypatch.setattr(codec, "MIXED_SIDE", 128)
    photo = photograph("coffee.png", Kind.RGB, 100, 100, 128, 128).samples
    image = Image(np.hstack([figures(128, 160)[:, :128], photo.astype(np.uint8)]), Kind.RGB)
    data = assert_comes_back(image, Options(device="cpu"))
    modes = [part.mode for part in container.parse(data).regions]
    assert modes[0] == MODE_DRAWING
    assert modes[1] in FLOW_MODES


def test_alpha_of_few_levels_is_a_drawing_in_the_flow_payload() -> None:
    photo = photograph("coffee.png", Kind.RGB, 100, 100, 128, 160).samples
    alpha = figures(128, 160)[..., :1]
    image = Image(np.concatenate([photo, alpha], 2), Kind.RGBA)
    data = assert_comes_back(image, Options(device="cpu"))
    (part,) = container.parse(data).regions
    assert part.mode in FLOW_MODES
    assert part.payload[0] == MODE_DRAWING


def test_long_images_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "REGION_SIDE", 32)
    data = assert_comes_back(shaded(2, Kind.GREY, 70, 9), small_options())
    assert len(container.parse(data).regions) == 1
    data = assert_comes_back(shaded(2, Kind.GREY, 70, 40), small_options())
    assert len(container.parse(data).regions) == 6


def test_a_report_adds_up() -> None:
    image = photograph("coffee.png", Kind.RGBA, 100, 100, 60, 70)
    data, report = encode_with_report(image, small_options())
    parts = report.theory_bits + report.coder_bits + report.initial_bits + report.side_bits
    assert report.file_bits == 8 * len(data) == pytest.approx(parts + report.container_bits)
    assert report.dims == image.samples.size
    assert 8 * 24 < report.container_bits < 8 * 40


def flow_file(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> tuple[Image, bytes]:
    image = shaded(4, kind, 22, 19)
    with monkeypatch.context() as patch:
        forced_flow(patch)
        return image, encode_image(image, small_options())


def with_payload(data: bytes, payload: bytes, mode: int = MODE_FLOW_TOP_FIRST) -> bytes:
    """The file with another payload and right checksums."""
    file = container.parse(data)
    return container.write(replace(file, regions=(container.RegionPart(mode, payload),)))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_payloads_are_refused_or_harmless(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes flipped, cut, added, exchanged, under right checksums: an NvpError or the very image."""
    image, data = flow_file(monkeypatch, kind)
    payload = container.parse(data).regions[0].payload
    generator = np.random.default_rng(9)
    hostile = [payload[: len(payload) * i // 6] for i in range(6)]
    hostile += [payload + b"\x00", payload + b"\x01\x02\x03\x04", b"\xff" * 50, bytes(60), payload * 2]
    for position in [*range(8), *generator.integers(0, len(payload), 12).tolist()]:
        changed = bytearray(payload)
        changed[position] ^= 1 << int(generator.integers(8))
        hostile.append(bytes(changed))
    refused = 0
    for other in hostile:
        try:
            assert decode_image(with_payload(data, other), small_options()).equals(image)
        except NvpError:
            refused += 1
    assert refused >= len(hostile) - 2


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_the_bottom_first_are_read(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode 16, as files had it before."""
    image, data = flow_file(monkeypatch, kind)
    part = container.parse(data).regions[0]
    parts = flow_payload.split(part.mode, part.payload, has_alpha=kind in codec.ALPHA_KINDS)
    payload = flow_payload.join(MODE_FLOW, *parts)
    assert payload != part.payload
    assert decode_image(with_payload(data, payload, MODE_FLOW), small_options()).equals(image)


def test_the_top_comes_first_with_one_kind_of_model_only() -> None:
    data = encode_image(photograph("chelsea.png", Kind.RGB, 60, 80, 64, 64), options("realnvp"))
    wrong = with_payload(data, container.parse(data).regions[0].payload)
    with pytest.raises(FormatError, match="does not go with"):
        decode_image(wrong, Options(device="cpu"))


def test_a_wrong_pixel_checksum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = flow_file(monkeypatch, Kind.RGB)
    file = container.parse(data)
    wrong = container.write(replace(file, pixel_checksum=file.pixel_checksum ^ 1))
    with pytest.raises(DamagedFileError, match="checksum"):
        decode_image(wrong, small_options())


def test_another_geometry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = flow_file(monkeypatch, Kind.RGB)
    file = container.parse(data)
    turned = replace(
        file, width=file.height, height=file.width, region_width=file.height, region_height=file.width
    )
    with pytest.raises(DamagedFileError):
        decode_image(container.write(turned), small_options())


def test_a_model_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = flow_file(monkeypatch, Kind.GREY)
    with pytest.raises(UnknownModelError, match="--model"):
        decode_image(data, Options(device="cpu"))


def test_plain_regions_carry_no_model() -> None:
    file = container.parse(encode_image(helpers.noise(1), small_options()))
    assert file.model_id is None
    assert file.regions[0].mode == MODE_STORED


def test_effort_changes_the_file_and_not_the_pixels() -> None:
    """Efforts that look for as many linear parts write the same bytes."""
    image = photograph("coffee.png", Kind.RGB, 60, 150, 256, 256)
    coded = {effort: encode_image(image, Options(effort=effort)) for effort in (1, 3, 5, 8)}
    assert coded[1] == coded[3]
    assert len(coded[8]) < len(coded[5]) < len(coded[1])
    for data in coded.values():
        assert decode_image(data, Options()).equals(image)
