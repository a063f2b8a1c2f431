"""The calls on arrays: shapes and dtypes that come back, those that are refused, and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nvpcodec
from nvpcodec import codec
from nvpcodec.errors import NvpError
from nvpcodec.options import DEFAULT_MAX_PIXELS, DEVICE_VARIABLE
from nvpcodec.pixels import Image, Kind
from tests.helpers import PALETTE, column_of_pixels, flat, gradient, noise, row_of_pixels, text_like

GREY = noise(1, Kind.GREY).samples


def same(left: Any, right: Any) -> bool:
    """Equal values, shape and dtype."""
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA])
def test_arrays_come_back(kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    for image in (gradient(kind, dtype), noise(2, kind, dtype, 5, 7)):
        array = image.samples[..., 0] if kind is Kind.GREY else image.samples
        assert same(nvpcodec.decode(nvpcodec.encode(array)), array)


@pytest.mark.parametrize("image", [flat(), text_like(), row_of_pixels(), column_of_pixels()])
def test_odd_images_come_back(image: Image) -> None:
    assert same(nvpcodec.decode(nvpcodec.encode(image.samples)), image.samples)


def test_bool_arrays_come_back() -> None:
    array = GREY[..., 0] > 100
    assert same(nvpcodec.decode(nvpcodec.encode(array)), array)


def test_a_single_channel_comes_back_flat() -> None:
    assert same(nvpcodec.decode(nvpcodec.encode(GREY)), GREY[..., 0])


@pytest.mark.parametrize(
    "view",
    [
        gradient().samples[::2, ::-1],
        np.asfortranarray(gradient().samples),
        np.moveaxis(np.zeros((3, 4, 5), np.uint8), 0, 2),
        gradient(Kind.RGB, np.uint16).samples.astype(">u2"),
    ],
    ids=["strided", "fortran", "planes first", "big-endian"],
)
def test_memory_layout_does_not_matter(view: Any) -> None:
    decoded = nvpcodec.decode(nvpcodec.encode(view))
    assert np.array_equal(decoded, view)
    assert decoded.dtype.isnative


def test_encoding_is_repeatable() -> None:
    assert nvpcodec.encode(GREY) == nvpcodec.encode(GREY.copy())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2, 3), np.bool_),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros((3, 0, 3), np.uint16),
        np.uint8(3),
        [[1, 2], [3, 4]],
        "text",
        None,
    ],
    ids=repr,
)
def test_other_arrays_are_refused(array: Any) -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError):
        nvpcodec.encode(array)


def test_limits_apply_both_ways() -> None:
    pixels = GREY.shape[0] * GREY.shape[1]
    data = nvpcodec.encode(GREY, options=nvpcodec.Options(max_pixels=pixels))
    small = nvpcodec.Options(max_pixels=pixels - 1)
    with pytest.raises(nvpcodec.ImageTooLargeError):
        nvpcodec.encode(GREY, options=small)
    with pytest.raises(nvpcodec.ImageTooLargeError):
        nvpcodec.decode(data, options=small)


@pytest.mark.parametrize("transparency", [None, b"\0\x80"])
def test_palettes_are_looked_up(transparency: bytes | None) -> None:
    image = Image(gradient(Kind.PALETTE).samples, Kind.PALETTE, PALETTE, transparency)
    array = nvpcodec.decode(codec.encode_image(image, nvpcodec.Options()))
    index = image.samples[3, 4, 0]
    assert array.shape == (image.height, image.width, 3 if transparency is None else 4)
    assert array[3, 4, :3].tobytes() == PALETTE[3 * index : 3 * index + 3]
    if transparency is not None:
        alphas = np.where(image.samples == 0, 0, np.where(image.samples == 1, 0x80, 255))
        assert np.array_equal(array[..., 3:], alphas)


@pytest.mark.parametrize("data", [b"", b"text", b"\x8eNVP", bytes(100)])
def test_other_bytes_are_refused(data: bytes) -> None:
    for call in (nvpcodec.decode, nvpcodec.info):
        with pytest.raises(nvpcodec.FormatError):
            call(data)


def test_bytes_like_objects_are_taken() -> None:
    data = nvpcodec.encode(GREY)
    for form in (bytearray(data), memoryview(data)):
        assert same(nvpcodec.decode(form), GREY[..., 0])
        assert nvpcodec.info(form) == nvpcodec.info(data)
    wrong: Any = 3
    with pytest.raises(nvpcodec.InputError, match="int"):
        nvpcodec.decode(wrong)


# --- files -------------------------------------------------------------------------------------------------


def test_files_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    nvpcodec.write(path, GREY)
    assert same(nvpcodec.read(path), GREY[..., 0])
    assert same(nvpcodec.read(str(path)), GREY[..., 0])
    assert path.read_bytes() == nvpcodec.encode(GREY)
    assert nvpcodec.info(path) == nvpcodec.info(str(path)) == nvpcodec.info(path.read_bytes())


def test_existing_files_are_replaced_on_demand_only(tmp_path: Path) -> None:
    path = tmp_path / "a.nvp"
    path.write_bytes(b"old")
    with pytest.raises(nvpcodec.OutputExistsError):
        nvpcodec.write(path, GREY)
    with pytest.raises(nvpcodec.UnsupportedImageError):
        nvpcodec.write(path, GREY.astype(float), overwrite=True)
    assert path.read_bytes() == b"old"
    nvpcodec.write(path, GREY, overwrite=True)
    assert same(nvpcodec.read(path), GREY[..., 0])
    assert os.listdir(tmp_path) == ["a.nvp"]


def test_missing_files_raise_the_packages_own_error(tmp_path: Path) -> None:
    for call in (nvpcodec.read, nvpcodec.info):
        with pytest.raises(nvpcodec.InputError, match="does not exist"):
            call(tmp_path / "none.nvp")
    with pytest.raises(nvpcodec.OutputError, match="no directory"):
        nvpcodec.write(tmp_path / "none" / "a.nvp", GREY)


# --- info --------------------------------------------------------------------------------------------------


def test_info_accounts_for_every_byte() -> None:
    image = Image(gradient(Kind.PALETTE).samples, Kind.PALETTE, PALETTE)
    data = codec.encode_image(image, nvpcodec.Options())
    info = nvpcodec.info(data)
    assert (info.width, info.height, info.kind, info.channels, info.bit_depth) == (34, 21, "palette", 1, 8)
    assert info.file_bytes == len(data)
    assert info.file_bytes == (
        info.header_bytes + info.side_data_bytes + info.payload_bytes + info.checksum_bytes
    )
    assert info.payload_bytes == sum(region.payload_bytes for region in info.regions)
    assert sum(region.width * region.height for region in info.regions) == 34 * 21
    assert info.side_data == (("palette", len(PALETTE)),)
    assert info.bits_per_dim == pytest.approx(8 * len(data) / (34 * 21))


def test_info_notices_any_changed_byte() -> None:
    data = nvpcodec.encode(GREY[:4, :4])
    for at in range(len(data)):
        with pytest.raises(nvpcodec.FormatError):
            nvpcodec.info(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])


# --- options and names -------------------------------------------------------------------------------------


def test_options_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    assert nvpcodec.Options() == nvpcodec.Options("fast", "auto", DEFAULT_MAX_PIXELS)
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert nvpcodec.Options().device == "cpu"
    assert nvpcodec.Options(device="auto").device == "auto"


def test_options_refuse_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nvpcodec.DeviceError, match="auto, cpu, cuda"):
        nvpcodec.Options(device="gpu")
    with pytest.raises(nvpcodec.InputError):
        nvpcodec.Options(max_pixels=0)
    with pytest.raises(nvpcodec.InputError, match="effort"):
        nvpcodec.Options(effort=10)
    with pytest.raises(nvpcodec.InputError):
        nvpcodec.Options(model="")
    monkeypatch.setenv(DEVICE_VARIABLE, "abacus")
    with pytest.raises(nvpcodec.DeviceError):
        nvpcodec.Options()


def test_every_error_is_exported() -> None:
    def below(error: type[NvpError]) -> set[type[NvpError]]:
        return {error}.union(*(below(child) for child in error.__subclasses__()))

    assert {error.__name__ for error in below(NvpError)} <= set(nvpcodec.__all__)
    assert all(hasattr(nvpcodec, name) for name in nvpcodec.__all__)
    assert nvpcodec.__all__ == sorted(nvpcodec.__all__)
