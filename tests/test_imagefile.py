"""Image files to records and back: kinds, metadata, and everything that must be refused."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import container, files, imagefile, png
from nvpcodec.errors import (
    ImageTooLargeError,
    InputError,
    OutputError,
    OutputExistsError,
    UnsupportedImageError,
)
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from tests.helpers import (
    EVERY_KIND,
    PALETTE,
    column_of_pixels,
    flat,
    foreign_png,
    foreign_samples,
    gradient,
    image_of,
    noise,
    png_chunk,
    row_of_pixels,
    text_like,
    with_chunks,
    without_chunk,
)

LIMIT = 10**6
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa9</x:xmpmeta>"
EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
METADATA = Metadata(
    icc=bytes(range(256)) * 3,
    exif=EXIF,
    xmp=XMP,
    density=Density(2835, 5670, 1),
    colour=(("gAMA", struct.pack(">I", 45455)), ("cHRM", bytes(32)), ("sBIT", b"\5\6\5")),
    text=(
        Text("Title", "a short one, é"),
        Text("Comment", "a long one " * 200),
        Text("Author", "藤原", "ja", "著者"),
        Text("Title", "twice"),
    ),
)


def read(data: bytes) -> Image:
    return imagefile.read(data, max_pixels=LIMIT).image


def saved(picture: PillowImage.Image, kind: str, **options: Any) -> bytes:
    """A file of ``picture`` by Pillow."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def picture_of(image: Image) -> PillowImage.Image:
    return PillowImage.fromarray(image.samples.squeeze(2) if image.kind.channels == 1 else image.samples)


# --- PNG: pixels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
@pytest.mark.parametrize("interlace", [False, True])
def test_reads_what_another_writer_wrote(
    kind: Kind, dtype: type[np.unsignedinteger], interlace: bool
) -> None:
    for image in (gradient(kind, dtype), noise(3, kind, dtype), noise(4, kind, dtype, 1, 1)):
        assert read(foreign_png(image, interlace=interlace)).equals(image)


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_another_reader_reads_what_is_written(kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    for image in (gradient(kind, dtype), noise(5, kind, dtype), noise(6, kind, dtype, 9, 1)):
        written = png.write(image)
        assert np.array_equal(foreign_samples(written), image.samples.reshape(image.height, -1))
        assert read(written).equals(image)


@pytest.mark.parametrize("image", [flat(), text_like(), row_of_pixels(), column_of_pixels()])
def test_pillow_reads_what_is_written(image: Image) -> None:
    with PillowImage.open(io.BytesIO(png.write(image))) as picture:
        assert np.array_equal(np.asarray(picture), image.samples)


def test_blocks_of_rows_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row of a block is filtered against the last of the block before."""
    image = gradient(height=50)
    whole = png.write(image)
    monkeypatch.setattr(png, "_BLOCK_BYTES", 7 * image.width * 3)
    assert png.write(image) == whole
    assert np.array_equal(foreign_samples(whole), image.samples.reshape(50, -1))


def test_each_filter_gets_chosen() -> None:
    """Otherwise the tests above would not have tried all of them."""
    rows = np.concatenate([image.samples for image in (gradient(), noise(0), flat(width=34))])
    rows = np.cumsum(np.cumsum(rows % 3, axis=0), axis=1).astype(np.uint8)
    blends = np.concatenate([rows, gradient().samples, flat(width=34).samples, noise(0).samples])
    image = Image(np.ascontiguousarray(blends), Kind.RGB)
    written = png.write(image)
    start = written.index(b"IDAT") + 4
    size = int.from_bytes(written[start - 8 : start - 4], "big")
    filtered = zlib.decompress(written[start : start + size])
    assert {filtered[row * (34 * 3 + 1)] for row in range(image.height)} >= {0, 1, 2, 4}
    assert read(written).equals(image)


def test_size_is_near_pillows() -> None:
    image = gradient(height=200, width=300)
    assert len(png.write(image)) < 1.05 * len(saved(picture_of(image), "PNG"))


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_few_bits_becomes_8_bits_of_equal_brightness(depth: int) -> None:
    small = image_of(noise(7, Kind.GREY).samples // np.uint8(256 >> depth), Kind.GREY)
    keyed = with_chunks(foreign_png(small, depth), ("tRNS", b"\0\2"))
    source = imagefile.read(keyed, max_pixels=LIMIT)
    scale = 255 // (2**depth - 1)
    assert np.array_equal(source.image.samples, small.samples * scale)
    assert source.image.transparency == bytes((0, 2 * scale))
    assert "8-bit grey" in " ".join(source.notes)


@pytest.mark.parametrize("entries", [1, 2, 3, 4, 5, 16, 17, 256])
def test_palettes_keep_their_order_and_take_few_bits(entries: int) -> None:
    palette = bytes(range(256)) * 3
    indices = np.arange(40, dtype=np.uint8).reshape(5, 8, 1) % min(entries, 40)
    image = Image(indices, Kind.PALETTE, palette[: 3 * entries], b"\x80")
    written = png.write(image)
    depth = written[24]
    assert depth == next(bits for bits in (1, 2, 4, 8) if entries <= 2**bits)
    assert read(written).equals(image)


@pytest.mark.parametrize(
    ("kind", "key"), [(Kind.GREY, b"\0\x07"), (Kind.BILEVEL, b"\0\1"), (Kind.RGB, b"\0\1\0\2\0\3")]
)
def test_colour_keys_are_kept(kind: Kind, key: bytes) -> None:
    data = with_chunks(foreign_png(noise(8, kind)), ("tRNS", key))
    assert read(data).transparency == key
    assert read(png.write(read(data))).equals(read(data))


# --- PNG: metadata -----------------------------------------------------------------------------------------


def test_metadata_survives() -> None:
    image = Image(gradient().samples, Kind.RGB, metadata=METADATA)
    assert read(png.write(image)).equals(image)


def test_long_texts_are_deflated() -> None:
    text = Text("Comment", "a long one " * 2000)
    image = Image(gradient().samples, Kind.RGB, metadata=Metadata(text=(text,)))
    assert len(png.write(image)) < len(png.write(gradient())) + 500


def test_pillow_sees_the_metadata() -> None:
    image = Image(gradient().samples, Kind.RGB, metadata=METADATA)
    with PillowImage.open(io.BytesIO(png.write(image))) as picture:
        picture.load()
        info = picture.info
        assert info["icc_profile"] == METADATA.icc
        assert info["exif"].removeprefix(b"Exif\0\0") == EXIF
        assert info["xmp"] == XMP
        assert info["dpi"] == pytest.approx((72, 144), abs=0.1)
        assert info["Comment"] == "a long one " * 200
        assert info["Author"] == "藤原"
        assert picture.getexif()[0x0112] == 6, "the orientation is neither applied nor dropped"


def test_chunks_of_another_writer_are_read() -> None:
    packed = zlib.compress("größer".encode("latin-1"))
    data = with_chunks(
        foreign_png(gradient()),
        ("iCCP", b"name\0\0" + zlib.compress(b"profile")),
        ("zTXt", b"Comment\0\0" + packed),
        ("iTXt", b"Title\0\1\0en\0Titel\0" + zlib.compress("語".encode())),
        ("eXIf", EXIF),
        ("tIME", bytes(7)),
        ("PLTE", PALETTE),
    )
    source = imagefile.read(data, max_pixels=LIMIT)
    assert source.image.metadata == Metadata(
        icc=b"profile", exif=EXIF, text=(Text("Comment", "größer"), Text("Title", "語", "en", "Titel"))
    )
    assert source.notes == ("chunks that are not kept: PLTE, tIME",)


@pytest.mark.parametrize(
    "chunk",
    [
        ("iCCP", b"no end"),
        ("iCCP", b"name\0\0" + zlib.compress(b"profile")[:-6]),
        ("iCCP", b"name\0\0" + zlib.compress(bytes(2**26 + 1))),
        ("pHYs", b"short"),
        ("pHYs", bytes(8) + b"\2"),
        ("tEXt", b"no keyword's end"),
        ("tEXt", b"\0empty keyword"),
        ("zTXt", b"a\0\0no zlib"),
        ("iTXt", b"a\0"),
        ("iTXt", b"a\0\0\0en"),
        ("tRNS", b"odd"),
    ],
)
def test_malformed_chunks_are_refused(chunk: tuple[str, bytes]) -> None:
    with pytest.raises(InputError):
        read(with_chunks(foreign_png(gradient()), chunk))


# --- PNG: refused ------------------------------------------------------------------------------------------


def test_every_cut_of_a_png_is_refused() -> None:
    data = png.write(Image(noise(9, height=4, width=5).samples, Kind.RGB, metadata=Metadata(exif=EXIF)))
    for cut in range(len(data)):
        with pytest.raises(InputError):
            read(data[:cut])


def test_every_changed_byte_of_a_png_is_refused() -> None:
    data = foreign_png(noise(9, height=4, width=5))
    for at in range(len(data)):
        with pytest.raises(InputError):
            read(data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :])


@pytest.mark.parametrize("name", ["IHDR", "IDAT", "PLTE"])
def test_a_missing_chunk_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        read(without_chunk(foreign_png(noise(1, Kind.PALETTE)), name))


def zero_png(packed: bytes) -> bytes:
    """A grey PNG of 5x5 zeros if ``packed`` holds 30 bytes of them."""
    header = png_chunk("IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 0, 0, 0, 0))
    return png.SIGNATURE + header + png_chunk("IDAT", packed) + png_chunk("IEND", b"")


@pytest.mark.parametrize("packed", [zlib.compress(bytes(29)), zlib.compress(bytes(30))[:-1] + b"!", b""])
def test_pixels_that_end_early_or_fail_their_own_checksum_are_refused(packed: bytes) -> None:
    """The checksums of all chunks are right."""
    assert not read(zero_png(zlib.compress(bytes(30)))).samples.any()
    with pytest.raises(InputError, match="pixels"):
        read(zero_png(packed))


def test_large_images_are_refused_before_their_pixels_are_looked_at() -> None:
    header = png_chunk("IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 16, 6, 0, 0, 0))
    with pytest.raises(ImageTooLargeError, match="max-pixels"):
        read(png.SIGNATURE + header + png_chunk("IDAT", b"") + png_chunk("IEND", b""))


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "TIFF", "GIF", "JPEG", "PPM"])
def test_large_images_of_other_formats_are_refused(kind: str) -> None:
    data = saved(PillowImage.new("RGB", (30, 20)), kind)
    with pytest.raises(ImageTooLargeError):
        imagefile.read(data, max_pixels=599)
    assert imagefile.read(data, max_pixels=600).image.samples.shape[:2] == (20, 30)


def test_pillows_own_limit_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 10)
    assert read(foreign_png(gradient())).equals(gradient())
    assert PillowImage.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_animations_and_many_pages_are_refused(kind: str) -> None:
    frames = [PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match=r"animation|frame"):
        read(data)


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "LAB"])
def test_other_pixels_are_refused(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match="convert"):
        read(saved(PillowImage.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is text\n" * 20, "no image"),
        (container.MAGIC + bytes(40), "already"),
        (png.SIGNATURE, "truncated"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "image"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(data)


def test_wide_colour_that_pillow_would_cut_is_refused() -> None:
    sixteen = b"P6 2 1 65535\n" + bytes(range(12))
    with pytest.raises(UnsupportedImageError):
        read(sixteen)
    with pytest.raises(UnsupportedImageError, match="in grey"):
        read(b"P5 2 1 100\n" + bytes(range(2)))
    with pytest.raises(UnsupportedImageError, match="16-bit PNG"):
        read(one_pixel_tiff(bits=16))
    with pytest.raises(UnsupportedImageError, match="beyond"):
        read(one_pixel_tiff(channels=4))
    assert read(one_pixel_tiff()).samples.ravel().tolist() == [1, 2, 3]


def one_pixel_tiff(bits: int = 8, channels: int = 3) -> bytes:
    """A TIFF of one RGB pixel, channels beyond the three without a meaning."""
    entries = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, channels, 200),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 210),
        (277, 3, 1, channels),
        (278, 3, 1, 1),
        (279, 4, 1, channels * bits // 8),
        (338, 3, channels - 3, 0),
    ][: 9 + (channels > 3)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4)
    return start.ljust(200, b"\0") + (struct.pack("<H", bits) * channels).ljust(10, b"\0") + b"\1\2\3\4\5\6"


# --- other formats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "PPM"])
def test_lossless_formats_give_their_pixels(kind: str) -> None:
    image = noise(11)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(read(saved(picture_of(image), kind, **options)).samples, image.samples)


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        (b"P1 3 1 1 0 1", [0, 1, 0]),
        (b"P2 3 1 255 1 0 200", [1, 0, 200]),
        (b"P2 3 1 65535 1 0 65000", [1, 0, 65000]),
        (b"P3 1 1 255 1 0 200", [1, 0, 200]),
        (b"P4 3 1\n\xa0", [0, 1, 0]),
        (b"P5 3 1 255\n\1\0\xc8", [1, 0, 200]),
        (b"P5 2 1 65535\n\1\0\0\xc8", [256, 200]),
        (b"P6 1 1 255\n\1\0\xc8", [1, 0, 200]),
    ],
)
def test_each_form_of_ppm_is_read(data: bytes, samples: list[int]) -> None:
    assert read(data).samples.ravel().tolist() == samples


@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_16_bit_grey_of_other_formats(kind: str) -> None:
    image = noise(12, Kind.GREY, np.uint16)
    opened = read(saved(picture_of(image), kind))
    assert opened.samples.dtype == np.uint16
    assert np.array_equal(opened.samples, image.samples)


def test_jpeg_is_its_pixels_and_says_so() -> None:
    data = saved(picture_of(gradient()), "JPEG", exif=b"Exif\0\0" + EXIF, dpi=(300, 300), icc_profile=b"icc")
    source = imagefile.read(data, max_pixels=LIMIT)
    with PillowImage.open(io.BytesIO(data)) as picture:
        assert np.array_equal(source.image.samples, np.asarray(picture))
    assert source.image.metadata == Metadata(icc=b"icc", exif=EXIF, density=Density(11811, 11811))
    assert any("JPEG" in note for note in source.notes)


def test_the_first_picture_of_a_camera_file_is_read() -> None:
    """A JPEG with a second picture behind it is no animation."""
    first, preview = picture_of(gradient()), PillowImage.new("RGB", (8, 8))
    data = saved(first, "MPO", save_all=True, append_images=[preview])
    assert read(data).samples.shape == gradient().samples.shape


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_metadata_of_other_formats_is_kept(kind: str) -> None:
    options: dict[str, Any] = {"exif": EXIF, "xmp": XMP}
    if kind == "TIFF":
        options = {"dpi": (100, 100), "tiffinfo": {700: XMP}}
    data = saved(picture_of(gradient()), kind, icc_profile=b"icc profile", **options)
    density = Density(3937, 3937) if kind == "TIFF" else None
    exif = EXIF if kind == "WEBP" else None
    assert read(data).metadata == Metadata(icc=b"icc profile", exif=exif, xmp=XMP, density=density)


def test_a_turned_tiff_is_kept_upright() -> None:
    data = saved(picture_of(gradient()), "TIFF", tiffinfo={0x0112: 6})
    source = imagefile.read(data, max_pixels=LIMIT)
    assert np.array_equal(source.image.samples, np.rot90(gradient().samples, -1))
    assert any("upright" in note for note in source.notes)


def test_a_transparent_gif_keeps_its_palette() -> None:
    picture = PillowImage.fromarray(noise(13, Kind.PALETTE).samples.squeeze(2) % 8)
    picture.putpalette(PALETTE[:24])
    image = read(saved(picture, "GIF", transparency=3, optimize=False))
    assert (image.kind, image.palette, image.transparency) == (Kind.PALETTE, PALETTE[:24], b"\xff\xff\xff\0")
    assert np.array_equal(image.samples.squeeze(2), np.asarray(picture))


def test_every_cut_of_other_formats_raises_input_errors_only() -> None:
    messages = []
    for kind in ("WEBP", "TIFF", "BMP", "GIF", "JPEG", "PPM"):
        data = saved(picture_of(noise(14, height=6, width=7)), kind)
        for cut in range(0, len(data), 7):
            try:
                read(data[:cut])
            except InputError as error:
                messages.append(str(error))
    assert len(messages) > 50
    assert not any("\n" in message for message in messages)


# --- files -------------------------------------------------------------------------------------------------


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"new", overwrite=False)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_an_existing_file_is_kept_or_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with pytest.raises(OutputExistsError):
        files.write(target, b"new", overwrite=False)
    assert target.read_bytes() == b"old"
    files.write(target, b"new", overwrite=True)
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o640)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_device_is_not_replaced() -> None:
    files.write(Path(os.devnull), b"gone", overwrite=False)
    assert not Path(os.devnull).is_file()


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "a"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="no space left"):
        files.write(target, b"new", overwrite=True)
    assert os.listdir(tmp_path) == ["a"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["", "missing/a", "file/a", "x" * 300, "loop"])
def test_unwritable_targets_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError):
        files.write(tmp_path / name, b"new", overwrite=True)


@pytest.mark.parametrize("name", ["", "missing", "file/a", "x" * 300, "loop", "a\0b"])
def test_unreadable_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError):
        files.read(tmp_path / name)
