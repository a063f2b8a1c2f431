"""Boxes and smaller images are those of the whole image, from no more bytes than they need."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nvpcodec
from nvpcodec import codec, container, flow_payload, outline, partial, sources, stand_ins, zoo
from nvpcodec.codec import encode_image
from nvpcodec.container import MODE_FLOW, MODE_FLOW_TOP_FIRST
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests import helpers
from tests.golden import make
from tests.models import small_options
from tests.test_codec import forced_flow, photograph

FLOW_KINDS = [Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA]


class Counting(io.BytesIO):
    """A file that knows which of its bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.seen = bytearray(len(data))

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        self.seen[start : start + len(data)] = bytes([1]) * len(data)
        return data

    @property
    def read_bytes(self) -> int:
        return sum(self.seen)


def flow_file(image: Image, cell: tuple[int, int], mode: int = MODE_FLOW_TOP_FIRST) -> bytes:
    """A file of several regions of the small model's flow."""
    options = small_options()
    with pytest.MonkeyPatch.context() as patch:
        forced_flow(patch)
        patch.setattr(stand_ins, "find", helpers.as_it_is)
        patch.setattr(codec, "region_size", lambda _height, _width: cell)
        file = container.parse(encode_image(image, options))
    parts = []
    for part in file.regions:
        split = flow_payload.split(part.mode, part.payload, has_alpha=image.kind in codec.ALPHA_KINDS)
        parts.append(container.RegionPart(mode, flow_payload.join(mode, *split)))
    return container.write(replace(file, regions=tuple(parts)))


def shown(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return image.samples[..., 0] if image.kind is Kind.GREY else image.samples


# --- boxes -------------------------------------------------------------------------------------------------

BOXES = [(0, 0, 75, 110), (0, 0, 1, 1), (74, 109, 75, 110), (30, 40, 34, 49), (10, 0, 11, 110)]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("kind", [Kind.GREY, Kind.RGBA])
def test_boxes(box: tuple[int, int, int, int], kind: Kind) -> None:
    image = photograph("chelsea.png", kind, 60, 80, 75, 110)
    data = flow_file(image, (32, 48))
    top, left, bottom, right = box
    part = nvpcodec.read_region(data, box, options=small_options())
    assert np.array_equal(part, shown(image)[top:bottom, left:right])


def test_only_regions_that_the_box_touches_are_read() -> None:
    image = photograph("coffee.png", Kind.RGB, 60, 80, 96, 96)
    data = flow_file(image, (32, 32))
    header = container.parse_header(data)
    stream = Counting(data)
    part = nvpcodec.read_region(stream, (33, 40, 60, 63), options=small_options())
    assert np.array_equal(part, image.samples[33:60, 40:63])
    assert stream.read_bytes <= outline.HEAD_BYTES + header.regions[4].payload_bytes


def test_damage_outside_of_the_box_does_not_matter_inside_it_is_refused() -> None:
    image = photograph("coffee.png", Kind.RGB, 60, 80, 64, 32)
    data = flow_file(image, (32, 32))
    places = list(outline.cells(container.parse_header(data)))
    changed = bytearray(data)
    changed[(places[1].start + places[1].stop) // 2] ^= 4
    good = nvpcodec.read_region(bytes(changed), (0, 0, 32, 32), options=small_options())
    assert np.array_equal(good, image.samples[:32])
    with pytest.raises(nvpcodec.DamagedFileError):
        nvpcodec.read_region(bytes(changed), (32, 0, 33, 1), options=small_options())


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 22, 5), (0, 30, 5, 35), (5, 5, 4, 9)], ids=str
)
def test_boxes_outside_of_the_image_are_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(nvpcodec.InputError, match="21 rows and 34 columns"):
        nvpcodec.read_region(nvpcodec.encode(helpers.noise(1).samples), box)


@pytest.mark.parametrize(("kind", "dtype"), helpers.EVERY_KIND)
def test_every_kind(kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    image = helpers.noise(4, kind, dtype)
    data = encode_image(image, Options())
    assert np.array_equal(nvpcodec.read_region(data, (3, 4, 9, 30)), nvpcodec.decode(data)[3:9, 4:30])
    assert np.array_equal(nvpcodec.read_preview(data, 17), nvpcodec.decode(data)[::2, ::2])


def test_limits_count_the_regions_that_are_decoded() -> None:
    image = photograph("coffee.png", Kind.GREY, 60, 80, 64, 64)
    data = flow_file(image, (32, 32))
    small = replace(small_options(), max_pixels=32 * 32)
    nvpcodec.read_region(data, (0, 0, 3, 3), options=small)
    with pytest.raises(nvpcodec.ImageTooLargeError):
        nvpcodec.read_region(data, (30, 0, 33, 3), options=small)
    nvpcodec.read_preview(data, 32, options=small)
    with pytest.raises(nvpcodec.ImageTooLargeError):
        nvpcodec.read_preview(data, 64, options=small)


# --- smaller images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [MODE_FLOW, MODE_FLOW_TOP_FIRST])
@pytest.mark.parametrize("kind", FLOW_KINDS)
def test_previews_are_the_images_pixels(kind: Kind, mode: int) -> None:
    """Down to one pixel, where most regions have no scale as coarse."""
    image = photograph("chelsea.png", kind, 60, 80, 75, 110)
    data = flow_file(image, (64, 64), mode)
    for size, factor in ((111, 1), (110, 1), (56, 1), (55, 2), (28, 4), (27, 4), (14, 8), (7, 16), (2, 64)):
        preview = nvpcodec.read_preview(data, size, options=small_options())
        assert np.array_equal(preview, shown(image)[::factor, ::factor]), size
    assert nvpcodec.read_preview(data, 1, options=small_options()).shape[:2] == (2, 2)


@pytest.mark.parametrize(
    ("image", "mode"),
    [(make.stretched(kind), container.MODE_RANKS) for kind in FLOW_KINDS]
    + [(make.toned(kind), container.MODE_TONES) for kind in (Kind.RGB, Kind.RGBA)]
    + [(make.jpeg_coloured(kind), container.MODE_YCBCR) for kind in (Kind.RGB, Kind.RGBA)],
)
def test_previews_of_what_stands_in_for_colours(image: Image, mode: int) -> None:
    data = encode_image(image, Options())
    assert [part.mode for part in container.parse(data).regions] == [mode]
    stream = Counting(data)
    for size, factor in ((15, 8), (59, 2)):
        preview = nvpcodec.read_preview(stream, size)
        assert np.array_equal(preview, shown(image)[::factor, ::factor])
    box = nvpcodec.read_region(data, (10, 11, 40, 50))
    assert np.array_equal(box, shown(image)[10:40, 11:50])


def test_regions_of_other_sides_are_reduced_each_from_its_corner() -> None:
    image = photograph("chelsea.png", Kind.RGB, 60, 80, 50, 31)
    data = flow_file(image, (21, 31))
    expected = [image.samples[top : min(top + 21, 50)][::4, ::4] for top in (0, 21, 42)]
    preview = nvpcodec.read_preview(data, 12, options=small_options())
    assert np.array_equal(preview, np.concatenate(expected))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_preview_reads_the_beginning_of_payloads_only(factor: int) -> None:
    image = photograph("coffee.png", Kind.RGB, 0, 0, 256, 384)
    data = encode_image(image, Options(device="cpu"))
    stream = Counting(data)
    preview = nvpcodec.read_preview(stream, 384 // factor)
    assert np.array_equal(preview, image.samples[::factor, ::factor])
    # A quarter of the pixels has more than a quarter of the bits; and blocks are read, not single bytes.
    share = {2: 0.62, 4: 0.25, 8: 0.08}[factor]
    assert stream.read_bytes < share * len(data)
    assert not any(stream.seen[int(share * len(data)) :]), "only the beginning"


def test_a_preview_needs_no_byte_of_the_rest() -> None:
    """What follows the bytes that were read may be anything."""
    image = photograph("coffee.png", Kind.RGB, 0, 0, 256, 256)
    data = encode_image(image, Options(device="cpu"))
    stream = Counting(data)
    preview = nvpcodec.read_preview(stream, 64)
    read = stream.seen.rindex(1) + 1
    assert read < len(data) // 2
    other = data[:read] + bytes(len(data) - read)
    assert np.array_equal(nvpcodec.read_preview(other, 64), preview)


def test_a_preview_of_realnvp_is_right_too() -> None:
    image = photograph("coffee.png", Kind.RGB, 0, 0, 64, 72)
    data = encode_image(image, Options(model="realnvp", device="cpu"))
    assert container.parse_header(data).model_id == zoo.by_name("realnvp").model_id
    assert np.array_equal(nvpcodec.read_preview(data, 18), image.samples[::4, ::4])


def test_no_preview_of_nothing() -> None:
    with pytest.raises(nvpcodec.InputError, match="1 or more"):
        nvpcodec.read_preview(nvpcodec.encode(helpers.flat().samples), 0)


def test_hostile_beginnings_are_refused_or_harmless() -> None:
    image = photograph("coffee.png", Kind.RGBA, 0, 0, 40, 40)
    data = flow_file(image, (40, 40))
    cell = next(outline.cells(container.parse_header(data)))
    generator = np.random.default_rng(3)
    for position in [*range(10), *generator.integers(10, cell.stop - cell.start, 10)]:
        changed = bytearray(data)
        changed[cell.start + position] ^= 1 << int(generator.integers(8))
        try:
            preview = nvpcodec.read_preview(bytes(changed), 10, options=small_options())
            assert preview.shape == (10, 10, 4)
        except nvpcodec.FormatError:
            continue


# --- where the bytes are -----------------------------------------------------------------------------------


def test_paths_bytes_and_files_give_the_same(tmp_path: Path) -> None:
    array = helpers.noise(2).samples
    path = tmp_path / "a.nvp"
    nvpcodec.write(path, array)
    data = path.read_bytes()
    with path.open("rb") as stream:
        for place in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), stream):
            assert np.array_equal(nvpcodec.read_region(place, (2, 3, 4, 5)), array[2:4, 3:5])
        assert not stream.closed


def test_objects_are_read_by_range() -> None:
    pytest.importorskip("fsspec")
    array = helpers.noise(2).samples
    nvpcodec.write("memory://partial/a.nvp", array, overwrite=True)
    assert np.array_equal(nvpcodec.read_region("memory://partial/a.nvp", (2, 3, 4, 5)), array[2:4, 3:5])
    assert np.array_equal(nvpcodec.read_preview("memory://partial/a.nvp", 17), array[::2, ::2])


def test_a_long_header_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    image = helpers.noise(1, Kind.GREY)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "region_size", lambda _height, _width: (5, 5))
        data = encode_image(image, Options())
    monkeypatch.setattr(outline, "HEAD_BYTES", 9)
    assert np.array_equal(nvpcodec.read_region(data, (20, 30, 21, 34)), shown(image)[20:, 30:])


@pytest.mark.parametrize("count", [0, 3, 20, 40, -1])
def test_cut_files_are_refused(count: int) -> None:
    data = nvpcodec.encode(helpers.noise(1).samples)[:count]
    with pytest.raises(nvpcodec.FormatError):
        nvpcodec.read_preview(data, 4)
    with pytest.raises(nvpcodec.FormatError):
        nvpcodec.read_region(data, (0, 0, 1, 1))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "none.nvp", tmp_path, 3, io.StringIO("text")):
        with pytest.raises(nvpcodec.InputError):
            nvpcodec.read_preview(place, 4)  # type: ignore[arg-type]


def test_a_file_that_shrinks_is_refused() -> None:
    data = nvpcodec.encode(helpers.noise(1).samples)
    source = sources.Source(lambda start, stop: data[:60][start:stop], len(data))
    with sources.opened(io.BytesIO(data)) as opened:
        header = outline.read_header(opened)
    with pytest.raises(nvpcodec.DamagedFileError):
        partial.read_box(source, header, (0, 0, 1, 1), Options())
