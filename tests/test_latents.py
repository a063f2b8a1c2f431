"""Latents and back: the very same samples, for every model, size and file."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
import pytest

from nvpcodec import latents, zoo
from nvpcodec.errors import FormatError, ImageTooLargeError, InputError, UnsupportedImageError
from nvpcodec.latents import Latents
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests.helpers import gradient, noise
from tests.models import small_options

SIZES = ((1, 1), (1, 9), (4, 4), (5, 7), (17, 16), (33, 40))
COUPLING = [name for name in zoo.CURRENT if zoo.by_name(name).kind == "realnvp"]


def all_options() -> list[Options]:
    """A phase flow, and every RealNVP that is shipped."""
    return [small_options(), *(Options(model=name, device="cpu") for name in COUPLING)]


@pytest.fixture(params=all_options(), ids=lambda o: o.model[-20:])
def options(request: pytest.FixtureRequest) -> Options:
    chosen: Options = request.param
    return chosen


def images(height: int, width: int) -> list[Image]:
    return [
        gradient(Kind.RGB, height=height, width=width),
        noise(3, Kind.RGB, height=height, width=width),
        noise(4, Kind.GREY, height=height, width=width),
    ]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_come_back(options: Options, size: tuple[int, int]) -> None:
    for image in images(*size):
        found = latents.forward(image, options)
        again = latents.inverse(latents.from_bytes(latents.to_bytes(found)), options)
        assert again.equals(image)


def test_a_phase_latent_stands_in_the_place_of_its_sample() -> None:
    """A sample of the finest scale changes its own latent, and others nearby only."""
    image = noise(5, Kind.RGB, height=60, width=70)
    before = latents.forward(image, small_options()).arrays["latents"]
    assert before.shape == (3, 60, 70)
    samples = image.samples.copy()
    samples[51, 61] ^= 1
    after = latents.forward(Image(samples, Kind.RGB), small_options()).arrays["latents"]
    changed = (before != after).any(0)
    assert changed[51, 61]
    assert not changed[:30].any()
    assert not changed[:, :40].any()


def test_the_latents_of_the_realnvp_shrink_scale_by_scale() -> None:
    found = latents.forward(gradient(Kind.RGB, height=30, width=50), Options(model=COUPLING[0], device="cpu"))
    shapes = {name: array.shape for name, array in found.arrays.items()}
    assert [shapes[f"latents{scale}"] for scale in range(3)] == [(6, 16, 28), (12, 8, 14), (48, 4, 7)]
    assert math.prod(shapes["latents0"]) * 2 == 3 * 32 * 56
    assert shapes["remainders"][0] > 0


def test_changed_latents_give_an_image(options: Options) -> None:
    found = latents.forward(gradient(Kind.RGB, height=24, width=24), options)
    arrays = {
        name: array if name == "remainders" else np.full_like(array, array.max() // 2 + 1000)
        for name, array in found.arrays.items()
    }
    again = latents.inverse(Latents(found.model_id, 24, 24, 3, arrays), options)
    assert again.samples.shape == (24, 24, 3)


@pytest.mark.parametrize("kind", [Kind.GREY_ALPHA, Kind.RGBA, Kind.PALETTE, Kind.BILEVEL])
def test_other_kinds_have_none(kind: Kind) -> None:
    with pytest.raises(UnsupportedImageError, match="only grey and RGB images of 8 bits"):
        latents.forward(noise(1, kind), small_options())


def test_sixteen_bits_have_none() -> None:
    with pytest.raises(UnsupportedImageError, match="8 bits"):
        latents.forward(noise(1, Kind.GREY, np.uint16), small_options())


def test_large_images_have_none() -> None:
    image = Image(np.zeros((1, latents.LARGEST_PIXELS + 1, 1), np.uint8), Kind.GREY)
    with pytest.raises(ImageTooLargeError, match="latents go up to 2097152"):
        latents.forward(image, small_options())


def test_arrays_of_another_image_are_refused(options: Options) -> None:
    found = latents.forward(gradient(Kind.RGB, height=24, width=24), options)
    for wrong in (
        Latents(found.model_id, 24, 16, 3, found.arrays),
        Latents(found.model_id, 24, 24, 1, found.arrays),
        Latents(found.model_id, 24, 24, 3, {}),
        Latents(found.model_id, 24, 24, 3, {n: a.astype(np.int64) for n, a in found.arrays.items()}),
    ):
        with pytest.raises(InputError, match="array"):
            latents.inverse(wrong, options)


def test_values_that_no_coder_has_are_refused() -> None:
    options = Options(model=COUPLING[0], device="cpu")
    found = latents.forward(gradient(Kind.RGB, height=8, width=8), options)
    far = {**found.arrays, "latents1": np.full_like(found.arrays["latents1"], 1 << 24)}
    with pytest.raises(InputError, match="latents1 is beyond"):
        latents.inverse(Latents(found.model_id, 8, 8, 3, far), options)
    zero = {**found.arrays, "remainders": np.zeros(3, np.uint32)}
    with pytest.raises(InputError, match="last word is not 0"):
        latents.inverse(Latents(found.model_id, 8, 8, 3, zero), options)


def test_a_model_that_is_not_here_is_named() -> None:
    found = Latents(bytes(range(8)), 8, 8, 3, {})
    with pytest.raises(FormatError, match="0001020304050607"):
        latents.inverse(found, small_options())


def npz(**entries: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **entries)  # type: ignore[arg-type]  # wrong ones are the point
    return stream.getvalue()


SHAPE = np.array((8, 8, 3), np.int64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zip at all",
        npz(shape=SHAPE),
        npz(model="00" * 8),
        npz(model="00" * 7, shape=SHAPE),
        npz(model="no number", shape=SHAPE),
        npz(model="00" * 8, shape=SHAPE[:2]),
        npz(model="00" * 8, shape=np.array(8)),
        npz(model="00" * 8, shape=SHAPE, latents=np.array([{}], object)),
        latents.to_bytes(Latents(bytes(8), 8, 8, 3, {}))[:-30],
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="holds no latents"):
        latents.from_bytes(data)


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, -1, 3), (8, 8, 4)])
def test_shapes_of_no_image_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="it must be grey or RGB"):
        latents.from_bytes(npz(model="00" * 8, shape=np.array(shape)))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("latents.npy", bytes(latents.LARGEST_BYTES + 1))
    with pytest.raises(ImageTooLargeError, match="when unpacked"):
        latents.from_bytes(stream.getvalue())
