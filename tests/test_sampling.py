"""Samples: the same seed gives the same pixels, and they are what the model says."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from nvpcodec import exact, latents, sampling, zoo
from nvpcodec.errors import ImageTooLargeError, InputError
from nvpcodec.options import Options
from nvpcodec.phase_latents import PhaseLatents
from nvpcodec.pixels import Image, Kind
from nvpcodec.sampling import RandomWords, draw, grid
from nvpcodec.scoring import score_image
from tests.models import small_options

WORDS = [2032329983, 2198257139, 3243419750]
#: The first 64 bits of the SHA-256 of one sample, by model id.
SAMPLES = {
    "2d759386c0d199fc": "6a6d5ce3b1920f87",
    "00652c1c1436589d": "02021b7159c1f813",
    "46fab360e8a72f5c": "c6c717d060d2b83f",
    "f4da4705fe94bcc6": "85490999ab6211f6",
    "08ed08dc74243336": "dfc33fabcd036871",
    "bec3ad62dae3e66b": "67721b6e61b79653",
    "36236ce389173ee6": "4c1225fb33336690",
    "61cc231e0b0f7fce": "fa97418c3f4aac45",
    "f1b6515e93f7e31c": "2ac9cf10c00476c9",
    "4808d4292f17a961": "5cdcb70139f89136",
}


def test_words_do_not_depend_on_how_many_are_taken() -> None:
    whole = RandomWords(7, 1)(25)
    pieces = RandomWords(7, 1)
    assert np.array_equal(np.concatenate([pieces(n) for n in (1, 0, 2, 7, 15)]), whole)
    assert not np.array_equal(RandomWords(7, 2)(25), whole)


def test_words_are_the_same_for_ever() -> None:
    assert RandomWords(1, 0, 0)(3).tolist() == WORDS


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_a_seed_gives_its_pixels(name: str) -> None:
    """Equal runs are equal, and a sample does not depend on how many are drawn."""
    options = Options(model=name, device="cpu")
    two = draw(2, 24, 32, 0.8, 5, options)
    assert two.shape == (2, 24, 32, 3)
    assert np.array_equal(draw(1, 24, 32, 0.8, 5, options)[0], two[0])
    assert not np.array_equal(two[0], two[1])
    assert not np.array_equal(draw(1, 24, 32, 0.8, 6, options)[0], two[0])


@pytest.mark.parametrize("model_id", SAMPLES)
def test_pixels_are_the_same_for_ever(model_id: str) -> None:
    """Of every model whose weights were released, whatever it is called."""
    path = next(zoo.WEIGHTS.glob(f"*-{model_id}.safetensors"))
    sample = draw(1, 16, 24, 0.9, 1, Options(model=str(path), device="cpu"))
    assert hashlib.sha256(sample.tobytes()).hexdigest()[:16] == SAMPLES[model_id]


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_colder_samples_have_fewer_bits(name: str) -> None:
    options = Options(model=name, device="cpu", effort=1)
    bits = [
        score_image(Image(draw(1, 40, 40, t, 2, options)[0], Kind.RGB), options).bits_per_dim
        for t in (0.6, 1.0)
    ]
    assert bits == sorted(bits)


def test_latents_of_a_sample_are_uniform() -> None:
    """A sample lies in its distributions as the model says: quarter by quarter."""
    options = small_options()
    transform = latents.transform(zoo.by_name(options.model), exact.find_device("cpu"))
    assert isinstance(transform, PhaseLatents)
    fractions = transform.forward(transform.sample(RandomWords(3), 96, 96))["latents"]
    shares = np.histogram(fractions, 4, (0, 1 << 32))[0] / fractions.size
    assert np.abs(shares - 0.25).max() < 0.02


def test_a_grid_is_filled_row_by_row() -> None:
    samples = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    picture = grid(samples)
    assert picture.shape == (2 * 2 + 2, 3 * 3 + 2 * 2, 3)
    assert picture[0, ::5, 0].tolist() == [1, 2, 3]
    assert picture[4, ::5, 0].tolist() == [4, 5, sampling.GRID_GREY]
    assert (picture[2:4] == sampling.GRID_GREY).all()
    assert np.array_equal(grid(samples[:1]), samples[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 8, 1.0, 1), "1 or more"),
        ((1, 8, 0, 1.0, 1), "1 or more"),
        ((1, 8, 8, 1.0, -1), "seed 0 or more"),
        ((1, 8, 8, 0.0, 1), "temperature is 0"),
        ((1, 8, 8, float("nan"), 1), "temperature is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: tuple[int, int, int, float, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw(*arguments, small_options())


def test_large_samples_are_refused() -> None:
    with pytest.raises(ImageTooLargeError, match="sides go up to 1024"):
        draw(1, 8, 1025, 1.0, 1, small_options())
    with pytest.raises(ImageTooLargeError, match="at most 100 pixels"):
        draw(2, 8, 8, 1.0, 1, Options(model=small_options().model, max_pixels=100))
