"""What is taken as an array, whatever its memory looks like, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nvpcodec
from nvpcodec import arrays
from nvpcodec.pixels import Kind
from tests.helpers import gradient, noise

RGB = gradient().samples
GREY16 = gradient(Kind.GREY, np.uint16).samples[..., 0]


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray(RGB),
        RGB[::-1],
        RGB[:, ::-1, ::-1],
        RGB[3:17:2, 5::3],
        np.moveaxis(np.moveaxis(RGB, 2, 0).copy(), 0, 2),
        np.broadcast_to(RGB[:1], RGB.shape),
        np.asfortranarray(GREY16)[::-2],
    ],
    ids=["fortran", "upside down", "mirrored", "strided", "planes", "broadcast", "grey of 16 bits"],
)
def test_strides_do_not_matter(view: Any) -> None:
    image = arrays.to_image(view)
    assert image.samples.flags.c_contiguous
    assert np.array_equal(arrays.from_image(image), view)


@pytest.mark.parametrize("array", [RGB, GREY16, RGB[..., :2].copy()], ids=["rgb", "16 bits", "grey, alpha"])
def test_memoryviews_with_a_shape(array: Any) -> None:
    assert np.array_equal(nvpcodec.decode(nvpcodec.encode(memoryview(array))), array)


def test_a_buffer_that_was_given_a_shape() -> None:
    view = memoryview(RGB.tobytes()).cast("B", RGB.shape)
    assert np.array_equal(nvpcodec.decode(nvpcodec.encode(view)), RGB)


@pytest.mark.parametrize("data", [RGB.tobytes(), bytearray(8)])
def test_bytes_without_a_shape_are_refused(data: bytes) -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError, match="cast"):
        nvpcodec.encode(data)


def test_bool_is_two_levels() -> None:
    assert arrays.to_image(RGB[..., 0] > 90).kind is Kind.BILEVEL


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint32, np.float16, np.float32])
def test_other_numbers_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError, match="use uint8, uint16"):
        nvpcodec.encode(RGB.astype(dtype))


def test_planes_first_are_refused_with_advice() -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError, match=r"\(3, 21, 34\).*permute"):
        nvpcodec.encode(np.moveaxis(RGB, 2, 0))


def test_what_is_no_array_is_refused() -> None:
    for thing in ([[1, 2], [3]], {"a": 1}, object()):
        with pytest.raises(nvpcodec.UnsupportedImageError):
            nvpcodec.encode(thing)  # type: ignore[arg-type]


# --- tensors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [RGB, GREY16, RGB[..., 0] > 90], ids=["rgb", "16 bits", "bool"])
def test_tensors_come_back(array: Any) -> None:
    tensor = torch.from_numpy(array)
    data = nvpcodec.encode(tensor)
    assert data == nvpcodec.encode(array)
    back = nvpcodec.decode_tensor(data)
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor)


def test_permuted_tensors() -> None:
    tensor = torch.from_numpy(np.moveaxis(RGB, 2, 0).copy())
    assert nvpcodec.encode(tensor.permute(1, 2, 0)) == nvpcodec.encode(RGB)
    with pytest.raises(nvpcodec.UnsupportedImageError, match="permute"):
        nvpcodec.encode(tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
def test_other_tensors_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError):
        nvpcodec.encode(torch.zeros(4, 4, dtype=dtype))


def test_a_device_for_the_decoded_tensor() -> None:
    """The device without memory stands in for one that every machine has."""
    back = nvpcodec.decode_tensor(nvpcodec.encode(RGB), device="meta")
    assert back.device.type == "meta"
    assert back.shape == RGB.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_on_a_gpu() -> None:
    tensor = torch.from_numpy(RGB).cuda()
    data = nvpcodec.encode(tensor)
    assert data == nvpcodec.encode(RGB)
    back = nvpcodec.decode_tensor(data, device="cuda")
    assert back.is_cuda
    assert torch.equal(back, tensor)


# --- batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 3])
def test_batches_keep_order_and_bytes(jobs: int) -> None:
    images = [noise(seed, height=9 + seed).samples for seed in range(5)]
    files = nvpcodec.encode_batch(iter(images), jobs=jobs)
    assert files == [nvpcodec.encode(image) for image in images]
    decoded = nvpcodec.decode_batch(iter(files), jobs=jobs)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, images, strict=True))
    assert nvpcodec.encode_batch([], jobs=jobs) == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_batch_ends_with_its_first_failure(jobs: int) -> None:
    good = nvpcodec.encode(RGB)
    with pytest.raises(nvpcodec.DamagedFileError):
        nvpcodec.decode_batch([good, good[:-1], good], jobs=jobs)


def test_threads_share_a_model_without_harm() -> None:
    """Images that the flow codes, in threads that ask for the coder together."""
    images = [
        gradient(height=40, width=40 + n).samples // 2 + noise(n, height=40, width=40 + n).samples // 32
        for n in range(4)
    ]
    options = nvpcodec.Options(device="cpu")
    files = nvpcodec.encode_batch(images, options=options, jobs=4)
    assert files == nvpcodec.encode_batch(images, options=options)
    decoded = nvpcodec.decode_batch(files, options=options, jobs=4)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, images, strict=True))


def test_no_jobs_are_refused() -> None:
    with pytest.raises(nvpcodec.InputError, match="1 or more"):
        nvpcodec.encode_batch([RGB], jobs=0)
