"""Pillow opens, loads and saves .nvp files; metadata survive, and previews read only what they need."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import PngImagePlugin, UnidentifiedImageError

import nvpcodec
import nvpcodec.pillow_plugin  # registers the plugin
from nvpcodec import codec, container
from nvpcodec.options import Options
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from tests import helpers
from tests.test_codec import DEMO, photograph
from tests.test_partial import Counting

METADATA = Metadata(
    icc=b"a profile",
    exif=b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0",
    xmp=b"<x:xmpmeta/>",
    density=Density(2835, 2835),
    colour=(("gAMA", (45455).to_bytes(4, "big")), ("sRGB", b"\0")),
    text=(Text("Title", "A cat"), Text("Comment", "grüß dich", "de", "Kommentar")),
)
MODES = {
    "L": helpers.noise(1, Kind.GREY),
    "LA": helpers.noise(1, Kind.GREY_ALPHA),
    "RGB": helpers.noise(1),
    "RGBA": helpers.noise(1, Kind.RGBA),
    "P": helpers.noise(1, Kind.PALETTE),
    "1": helpers.noise(1, Kind.BILEVEL),
    "I;16": helpers.noise(1, Kind.GREY, np.uint16),
}


def file_of(image: Image, **options: Any) -> io.BytesIO:
    return io.BytesIO(codec.encode_image(image, Options(device="cpu", **options)))


def saved(picture: PillowImage.Image, **settings: Any) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, "NVP", **settings)
    stream.seek(0)
    return stream


def record(stream: io.BytesIO) -> Image:
    return codec.decode_image(stream.getvalue(), Options())


# --- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_modes_there_and_back(mode: str) -> None:
    image = MODES[mode]
    with PillowImage.open(file_of(image)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("NVP", mode, (34, 21))
        assert np.array_equal(np.asarray(picture).reshape(image.samples.shape), image.samples)
        assert record(saved(picture)).equals(image)


def test_paths_and_suffix(tmp_path: Path) -> None:
    path = tmp_path / "cat.nvp"
    with PillowImage.open(DEMO / "chelsea.png") as png:
        crop = png.convert("RGB").crop((100, 60, 180, 120))
    crop.save(path, device="cpu")
    with PillowImage.open(path) as picture:
        assert picture.get_format_mimetype() == "image/x-nvp"
        assert np.array_equal(np.asarray(picture), np.asarray(crop))
    assert np.array_equal(nvpcodec.read(path), np.asarray(crop))


def test_opening_reads_the_header_and_loads_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    image = photograph("coffee.png", Kind.RGB, 0, 0, 128, 128)
    path.write_bytes(codec.encode_image(image, Options(device="cpu")))
    program = """
import sys
from PIL import Image
import nvpcodec.pillow_plugin
with Image.open(sys.argv[1]) as picture:
    assert picture.size == (128, 128) and picture.mode == "RGB"
    assert "torch" not in sys.modules
    picture.load()
    assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=300)
    stream = Counting(path.read_bytes())
    with PillowImage.open(stream):
        assert stream.read_bytes <= 1024 < len(stream.getvalue())


def test_pillow_alone_does_not_know_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    path.write_bytes(file_of(MODES["L"]).getvalue())
    program = """
import sys
from PIL import Image, UnidentifiedImageError
import nvpcodec
try:
    Image.open(sys.argv[1])
except UnidentifiedImageError:
    sys.exit(0)
sys.exit("opened")
"""
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=300)


def test_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    path.write_bytes(file_of(MODES["RGB"]).getvalue())
    picture = PillowImage.open(path)
    picture.load()
    path.unlink()
    assert picture.getpixel((3, 4)) == tuple(MODES["RGB"].samples[4, 3])
    stream = file_of(MODES["RGB"])
    with PillowImage.open(stream) as other:
        other.load()
    assert not stream.closed


# --- metadata ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_metadata_there_and_back(mode: str) -> None:
    plain = MODES[mode]
    image = Image(plain.samples, plain.kind, plain.palette, None, METADATA)
    with PillowImage.open(file_of(image)) as picture:
        assert picture.info["icc_profile"] == b"a profile"
        assert picture.getexif()[0x112] == 6
        assert picture.info["xmp"] == b"<x:xmpmeta/>"
        assert picture.info["dpi"] == pytest.approx((72, 72), abs=0.01)
        assert picture.info["gamma"] == 0.45455
        assert isinstance(picture, nvpcodec.pillow_plugin.NvpImageFile)
        assert picture.info["Title"] == picture.text["Title"] == "A cat"
        assert record(saved(picture)).equals(image)


@pytest.mark.parametrize(
    ("mode", "transparency", "seen"),
    [
        ("L", b"\0\x11", 17),
        ("I;16", b"\x12\x34", 0x1234),
        ("1", b"\0\1", 255),
        ("1", b"\0\0", 0),
        ("RGB", b"\0\1\0\2\0\3", (1, 2, 3)),
        ("P", b"\0\x80\xff", b"\0\x80\xff"),
    ],
)
def test_transparency_there_and_back(mode: str, transparency: bytes, seen: object) -> None:
    plain = MODES[mode]
    image = Image(plain.samples, plain.kind, plain.palette, transparency)
    with PillowImage.open(file_of(image)) as picture:
        assert picture.info["transparency"] == seen
        assert record(saved(picture)).equals(image)


def test_a_palette_with_transparency_is_shown_as_it_is_meant() -> None:
    plain = MODES["P"]
    image = Image(plain.samples, plain.kind, plain.palette, bytes(range(0, 200, 2)))
    with PillowImage.open(file_of(image)) as picture:
        shown = np.asarray(picture.convert("RGBA"))
    assert np.array_equal(shown, nvpcodec.decode(file_of(image).getvalue()))


def test_a_png_keeps_what_it_carries() -> None:
    """Through Pillow's own PNG plugin, which is where most pictures come from."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    info.add_itxt("Title", "Katze", "de", "Titel")
    png = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x112] = 3
    source = PillowImage.fromarray(helpers.noise(2).samples)
    source.save(png, "PNG", pnginfo=info, dpi=(300, 300), icc_profile=b"p", exif=exif)
    with PillowImage.open(png) as picture:
        metadata = record(saved(picture)).metadata
    assert metadata.text == (Text("Author", "somebody"), Text("Title", "Katze", "de", "Titel"))
    assert metadata.density == Density.from_dpi(300, 300)
    assert metadata.icc == b"p"
    assert metadata.exif == exif.tobytes().removeprefix(b"Exif\0\0")


def test_settings_go_before_info() -> None:
    with PillowImage.open(file_of(Image(MODES["L"].samples, Kind.GREY, None, b"\0\1", METADATA))) as picture:
        stream = saved(
            picture,
            icc_profile=None,
            dpi=(100, 50),
            xmp="<new/>",
            exif=b"Exif\0\0II*\0",
            text={},
            transparency=9,
        )
    again = record(stream)
    assert again.metadata == Metadata(
        exif=b"II*\0", xmp=b"<new/>", density=Density.from_dpi(100, 50), colour=METADATA.colour
    )
    assert again.transparency == b"\0\x09"


def test_a_ratio_of_sides_is_kept() -> None:
    image = Image(MODES["L"].samples, Kind.GREY, metadata=Metadata(density=Density(2, 3, 0)))
    with PillowImage.open(file_of(image)) as picture:
        assert picture.info["aspect"] == (2, 3)
        assert record(saved(picture)).equals(image)


# --- smaller images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_draft_reads_the_coarse_scales_only(factor: int) -> None:
    image = photograph("coffee.png", Kind.RGB, 0, 0, 256, 384)
    stream = Counting(file_of(image).getvalue())
    with PillowImage.open(stream) as picture:
        drafted = picture.draft(None, (384 // factor, 256 // factor))
        assert drafted == ("RGB", (0, 0, 384 / factor, 256 / factor))
        assert picture.size == (384 // factor, 256 // factor)
        assert picture.draft(None, (1, 1)) is None, "once only"
        assert np.array_equal(np.asarray(picture), image.samples[::factor, ::factor])
    assert stream.read_bytes < {2: 0.62, 4: 0.25, 8: 0.08}[factor] * len(stream.getvalue())


@pytest.mark.parametrize(
    ("asked", "got"),
    [((34, 21), (34, 21)), ((18, 1), (34, 21)), ((17, 10), (17, 11)), ((8, 5), (9, 6)), ((1, 1), (3, 2))],
)
def test_a_draft_is_no_smaller_than_asked(asked: tuple[int, int], got: tuple[int, int]) -> None:
    for mode, image in MODES.items():
        with PillowImage.open(file_of(image)) as picture:
            picture.draft(None, asked)
            assert picture.size == got
            factor = -(-34 // got[0])
            step = next(f for f in (1, 2, 4, 8, 16) if f >= factor)
            pixels = np.asarray(picture).reshape(got[1], got[0], -1)
            assert np.array_equal(pixels, image.samples[::step, ::step]), mode


def test_thumbnails() -> None:
    image = photograph("coffee.png", Kind.RGB, 0, 0, 200, 300)
    stream = Counting(file_of(image).getvalue())
    with PillowImage.open(stream) as picture:
        picture.thumbnail((30, 30))
        assert picture.size == (30, 20)
        exact = PillowImage.fromarray(image.samples)
        exact.thumbnail((30, 30))
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(exact)).mean() < 12
    assert stream.read_bytes < len(stream.getvalue()) // 2


# --- errors ------------------------------------------------------------------------------------------------


def test_verify() -> None:
    good = file_of(MODES["RGB"]).getvalue()
    PillowImage.open(io.BytesIO(good)).verify()
    changed = good[:-20] + bytes([good[-20] ^ 1]) + good[-19:]
    with pytest.raises(OSError, match="checksum"):
        PillowImage.open(io.BytesIO(changed)).verify()


def test_damaged_pixels_are_an_os_error() -> None:
    good = file_of(MODES["RGB"]).getvalue()
    changed = good[:-20] + bytes([good[-20] ^ 1]) + good[-19:]
    with PillowImage.open(io.BytesIO(changed)) as picture, pytest.raises(OSError, match="checksum"):
        picture.load()


@pytest.mark.parametrize("cut", [5, 12, 200])
def test_what_has_no_whole_header_is_not_identified(cut: int) -> None:
    with pytest.raises(UnidentifiedImageError):
        PillowImage.open(io.BytesIO(file_of(MODES["RGB"]).getvalue()[:cut]))


def test_sixteen_bit_colour_is_refused_with_advice() -> None:
    with pytest.raises(OSError, match=r"nvpcodec\.read"):
        PillowImage.open(file_of(helpers.noise(1, Kind.RGB, np.uint16)))


def test_a_newer_version_is_named() -> None:
    data = bytearray(file_of(MODES["L"]).getvalue())
    data[4] = 9
    with pytest.raises(OSError, match="version 9"):
        PillowImage.open(io.BytesIO(bytes(data)))


def test_a_model_that_is_not_here_is_an_os_error() -> None:
    image = photograph("coffee.png", Kind.RGB, 0, 0, 64, 64)
    file = container.parse(file_of(image).getvalue())
    data = container.write(
        container.Container(**{name: getattr(file, name) for name in file.__slots__} | {"model_id": bytes(8)})
    )
    with PillowImage.open(io.BytesIO(data)) as picture, pytest.raises(OSError, match="needs the model"):
        picture.load()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "F", "I", "HSV", "PA"])
def test_other_modes_are_refused(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"mode {mode}"):
        PillowImage.new(mode, (4, 4)).save(tmp_path / "a.nvp")
    assert not (tmp_path / "a.nvp").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "no such model"},
        {"device": "abacus"},
        {"effort": 0},
        {"dpi": 72},
        {"text": ["a"]},
        {"text": {"": "no keyword"}},
        {"transparency": 70000},
    ],
    ids=str,
)
def test_bad_settings_are_os_errors(settings: dict[str, Any]) -> None:
    with PillowImage.open(DEMO / "chelsea.png") as png:
        crop = png.convert("L").crop((100, 60, 164, 124))
    with pytest.raises(OSError, match=r"there is no|effort|keyword|dots|transparency|dict"):
        saved(crop, **settings)


def test_large_images_are_for_pillow_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(PillowImage.DecompressionBombError):
        PillowImage.open(file_of(MODES["RGB"]))
